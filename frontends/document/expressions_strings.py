"""Expressions: strings and regular expressions. Positions count code points (CP) or bytes of UTF-8."""
from __future__ import annotations

import datetime
import re
from typing import Any

from bson import Code

from phantomdb.frontends.document import values
from phantomdb.frontends.document.expression_base import (
    fail,
    is_null,
    named,
    need_text,
    need_whole,
    nullable,
    plain,
)
from phantomdb.frontends.document.filters import compile_pattern, is_regex, option_flags
from phantomdb.frontends.document.values import MISSING

_BLANKS = "\0 \t\n\v\f\r\u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B)))


def as_text(value: Any, name: str) -> str:
    """A string, or what MongoDB's string functions take for one: null is empty."""
    from phantomdb.frontends.document.expressions_dates import iso_text
    if is_null(value):
        return ""
    if isinstance(value, Code | str):
        return str(value)
    if isinstance(value, datetime.datetime):
        return iso_text(value)
    if values.is_number(value):
        from phantomdb.frontends.document.expressions_types import number_text
        return number_text(value)
    raise fail(16007, f"can't convert from BSON type {values.type_name(value)} to String ({name})")


@nullable("$concat", 0, None)
def concat(*items: Any) -> str:
    return "".join(need_text(item, "$concat", 16702) for item in items)


@plain("$toLower", 1)
def to_lower(value: Any) -> str:
    return as_text(value, "$toLower").lower()


@plain("$toUpper", 1)
def to_upper(value: Any) -> str:
    return as_text(value, "$toUpper").upper()


@plain("$strcasecmp", 2)
def strcasecmp(a: Any, b: Any) -> int:
    left, right = as_text(a, "$strcasecmp").upper(), as_text(b, "$strcasecmp").upper()
    return (left > right) - (left < right)


@plain("$strLenCP", 1)
def str_len_cp(value: Any) -> int:
    return len(need_text(value, "$strLenCP", 34471))


@plain("$strLenBytes", 1)
def str_len_bytes(value: Any) -> int:
    return len(need_text(value, "$strLenBytes", 34473).encode())


@plain("$substrCP", 3)
def substr_cp(value: Any, start: Any, length: Any) -> str:
    text = as_text(value, "$substrCP")
    first, count = need_whole(start, "$substrCP", 34450), need_whole(length, "$substrCP", 34452)
    if first < 0 or count < 0:
        raise fail(34455, "$substrCP: the starting index and the length must be non-negative integers")
    return text[first:first + count]


def _substr_bytes(name: str) -> None:
    @plain(name, 3)
    def function(value: Any, start: Any, length: Any) -> str:
        data = as_text(value, name).encode()
        first, count = need_whole(start, name, 16034), need_whole(length, name, 16035)
        if first < 0:
            raise fail(50752, f"{name}: starting index must be non-negative (got: {first})")
        end = len(data) if count < 0 else min(first + count, len(data))
        if first >= len(data):
            return ""
        for place, number in ((first, 28656), (end, 28657)):
            if place < len(data) and data[place] & 0xC0 == 0x80:
                raise fail(number, f"{name}: Invalid range, it begins or ends in the middle of a UTF-8 character")
        return data[first:end].decode()


_substr_bytes("$substr")
_substr_bytes("$substrBytes")


@nullable("$split", 2)
def split(text: Any, delimiter: Any) -> list[str]:
    need_text(text, "$split", 40085)
    if is_regex(delimiter):
        raise fail(40086, "$split by a regular expression is not supported")
    if not need_text(delimiter, "$split", 40086):
        raise fail(40087, "$split requires a non-empty separator")
    return list(text.split(delimiter))


def _bounds(start: Any, end: Any, length: int, name: str) -> tuple[int, int] | None:
    first = 0 if start is MISSING else need_whole(start, name, 40096)
    last = length if end is MISSING else need_whole(end, name, 40096)
    if first < 0 or last < 0:
        raise fail(40097, f"{name} requires non-negative positions, found: {first}, {last}")
    return (first, min(last, length)) if first <= length and last >= first else None


def _index_of(name: str, encode: bool) -> None:
    @plain(name, 2, 4)
    def function(value: Any, part: Any, start: Any = MISSING, end: Any = MISSING) -> Any:
        if is_null(value):
            return None
        text, wanted = need_text(value, name, 40091), need_text(part, name, 40092)
        if encode:
            data, piece = text.encode(), wanted.encode()
            bounds = _bounds(start, end, len(data), name)
            return -1 if bounds is None else data.find(piece, *bounds)
        bounds = _bounds(start, end, len(text), name)
        return -1 if bounds is None else text.find(wanted, *bounds)


_index_of("$indexOfCP", False)
_index_of("$indexOfBytes", True)


def _trim(name: str, from_left: bool, from_right: bool) -> None:
    @named(name, "input", optional=("chars",))
    def function(arguments: dict[str, Any]) -> Any:
        if is_null(arguments["input"]) or is_null(arguments.get("chars", "")):
            return None
        text = need_text(arguments["input"], name, 50699)
        letters = need_text(arguments.get("chars", _BLANKS), name, 50700)
        if from_left:
            text = text.lstrip(letters)
        return text.rstrip(letters) if from_right else text


_trim("$trim", True, True)
_trim("$ltrim", True, False)
_trim("$rtrim", False, True)


def _replace(name: str, count: int) -> None:
    @named(name, "input", "find", "replacement")
    def function(arguments: dict[str, Any]) -> Any:
        text, find, replacement = (arguments[key] for key in ("input", "find", "replacement"))
        for item in (text, find, replacement):
            if not is_null(item):
                need_text(item, name, 51746)
        if is_null(text) or is_null(find) or is_null(replacement):
            return None
        return text.replace(find, replacement, count)


_replace("$replaceOne", 1)
_replace("$replaceAll", -1)


# -------------------------------------------------------------------- regular expressions

def _pattern(arguments: dict[str, Any], name: str) -> re.Pattern[str] | None:
    regex, options = arguments["regex"], arguments.get("options", MISSING)
    if not is_null(options):
        need_text(options, name, 51106)
    flags = option_flags(options, name) if not is_null(options) else 0
    if is_null(regex):
        return None
    if is_regex(regex):
        if flags and regex.flags & ~re.UNICODE:
            raise fail(51107, f"{name}: found regex option(s) specified in both 'regex' and 'option' fields")
        pattern = regex.pattern if isinstance(regex.pattern, str) else regex.pattern.decode()
        return compile_pattern(pattern, regex.flags | flags)
    return compile_pattern(need_text(regex, name, 51105), flags)


def _regex_input(arguments: dict[str, Any], name: str) -> str | None:
    value = arguments["input"]
    return None if is_null(value) else need_text(value, name, 51104)


def _found(match: re.Match[str]) -> dict[str, Any]:
    return {"match": match.group(), "idx": match.start(), "captures": list(match.groups())}


@named("$regexMatch", "input", "regex", optional=("options",))
def regex_match(arguments: dict[str, Any]) -> bool:
    text, pattern = _regex_input(arguments, "$regexMatch"), _pattern(arguments, "$regexMatch")
    return text is not None and pattern is not None and pattern.search(text) is not None


@named("$regexFind", "input", "regex", optional=("options",))
def regex_find(arguments: dict[str, Any]) -> Any:
    text, pattern = _regex_input(arguments, "$regexFind"), _pattern(arguments, "$regexFind")
    match = pattern.search(text) if text is not None and pattern is not None else None
    return None if match is None else _found(match)


@named("$regexFindAll", "input", "regex", optional=("options",))
def regex_find_all(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    text, pattern = _regex_input(arguments, "$regexFindAll"), _pattern(arguments, "$regexFindAll")
    return [_found(match) for match in pattern.finditer(text)] if text is not None and pattern is not None else []
