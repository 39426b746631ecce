"""Text: joining, cutting, padding, case. Positions and lengths count characters, from 1.

Upper and lower case are taken letter by letter, so that a text keeps its length, whatever the language.
"""
from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from phantomdb.core.query import cast_duckdb, casts
from phantomdb.core.query.errors import (
    CharacterNotInRepertoire,
    InvalidParameterValue,
    ProgramLimitExceeded,
    SubstringError,
    SyntaxFailure,
)
from phantomdb.core.query.functions.forms import ASCII, fast
from phantomdb.core.query.functions.numbers import scalar
from phantomdb.core.query.functions.registry import Like, Volatility
from phantomdb.core.values import BIGINT, BOOL, INT, TEXT, Type

LENGTH_MAX = 0x3FFFFFFF                  # bytes, as PostgreSQL's


def limited(length: int) -> int:
    """A length that a text may have. ProgramLimitExceeded: more."""
    if length > LENGTH_MAX:
        raise ProgramLimitExceeded("requested length too large")
    return length


# -------------------------------------------------------------------- joining

def _joined(types: Sequence[Type], *values: Any) -> str:
    return "".join(casts.cast(value, type_, TEXT, True) for value, type_ in zip(values, types, strict=True))


def _joined_form(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str | None:
    texts = [cast_duckdb.native_cast(argument, type_, TEXT, True)
             for argument, type_ in zip(arguments, types, strict=True)]
    return f"({texts[0]} || {texts[1]})" if None not in texts else None


scalar("||", (TEXT, TEXT), TEXT, lambda a, b: a + b, "({0} || {1})", "one after the other")
for _arguments in ((TEXT, Like.ANY), (Like.ANY, TEXT)):
    scalar("||", _arguments, TEXT, _joined, _joined_form, "one after the other, as text", takes_types=True)


def _concat(types: Sequence[Type], *values: Any) -> str:
    return "".join(casts.output_text(value, type_) for value, type_ in zip(values, types, strict=True)
                   if value is not None)


def _concat_ws(types: Sequence[Type], separator: str | None, *values: Any) -> str | None:
    if separator is None:
        return None
    return separator.join(casts.output_text(value, type_) for value, type_ in zip(values, types[1:], strict=True)
                          if value is not None)


def _concat_form(name: str) -> Any:
    def form(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str | None:
        if not all(type_ == TEXT for type_ in types) or len(arguments) < 2:
            return None
        return f"{name}({', '.join(arguments)})"
    return form


scalar("concat", (Like.ANY, Like.ANY), TEXT, _concat, _concat_form("concat"), "all as one text, NULLs left out",
       is_variadic=True, is_strict=False, takes_types=True)
scalar("concat_ws", (TEXT, Like.ANY), TEXT, _concat_ws, _concat_form("concat_ws"),
       "all with a separator between, NULLs left out", is_variadic=True, is_strict=False, takes_types=True)


# -------------------------------------------------------------------- case

def _by_letter(change: Callable[[str], str]) -> Callable[[str], str]:
    def convert(text: str) -> str:
        changed = change(text)
        if len(changed) == len(text) and "\u03c2" not in changed:           # a final sigma hangs on its place
            return changed
        return "".join(new if len(new := change(letter)) == 1 else letter for letter in text)
    return convert


lower, upper = _by_letter(str.lower), _by_letter(str.upper)


def _initcap(text: str) -> str:
    letters, is_inside = [], False
    for letter in text:
        letters.append(lower(letter) if is_inside else upper(letter))
        is_inside = letter.isalnum()
    return "".join(letters)


scalar("lower", (TEXT,), TEXT, lower, fast(ASCII, "lower({0})"), "in lower case")
scalar("upper", (TEXT,), TEXT, upper, fast(ASCII, "upper({0})"), "in upper case")
scalar("initcap", (TEXT,), TEXT, _initcap, None, "each word with a capital")


# -------------------------------------------------------------------- lengths

for _name in ("length", "char_length", "character_length"):
    scalar(_name, (TEXT,), INT, len, "CAST(length({0}) AS INTEGER)", "number of characters")
scalar("octet_length", (TEXT,), INT, lambda text: len(text.encode()), "CAST(strlen({0}) AS INTEGER)",
       "number of bytes")
scalar("bit_length", (TEXT,), INT, lambda text: 8 * len(text.encode()), "CAST(8 * strlen({0}) AS INTEGER)",
       "number of bits")


# -------------------------------------------------------------------- parts

def substring(text: Any, start: int, length: int | None = None) -> Any:
    """Of texts and of bytes. Characters before the first count for the length."""
    if length is None:
        return text[max(start, 1) - 1:]
    if length < 0:
        raise SubstringError
    stop = max(start + length, 1)
    return text[max(start, 1) - 1:stop - 1]


def overlay(text: Any, new: Any, start: int, count: int | None = None) -> Any:
    if start <= 0:
        raise SubstringError
    removed = len(new) if count is None else count
    return text[:start - 1] + new + substring(text, start + removed)


_PROPER = "{1} >= 1 AND {2} >= 0 AND {2} < 1000000000 AND {1} < 1000000000"
for _name in ("substring", "substr"):
    scalar(_name, (TEXT, INT), TEXT, substring, fast("{1} >= 1", "substring({0}, {1})"), "from a place on")
    scalar(_name, (TEXT, INT, INT), TEXT, substring, fast(_PROPER, "substring({0}, {1}, {2})"),
           "so many characters from a place on")
scalar("overlay", (TEXT, TEXT, INT, INT), TEXT, overlay, None, "a part replaced", optional=1)
scalar("left", (TEXT, INT), TEXT, lambda text, n: text[:n] if n >= 0 else text[:max(len(text) + n, 0)],
       fast("{1} >= 0", "left({0}, {1})"), "the first so many; negative: without the last so many")
scalar("right", (TEXT, INT), TEXT, lambda text, n: text[max(len(text) - n, 0):] if n >= 0 else text[-n:],
       fast("{1} >= 0", "right({0}, {1})"), "the last so many; negative: without the first so many")


def _split_part(text: str, delimiter: str, n: int) -> str:
    if n == 0:
        raise InvalidParameterValue("field position must not be zero")
    parts = text.split(delimiter) if delimiter else [text]
    place = n - 1 if n > 0 else len(parts) + n
    return parts[place] if 0 <= place < len(parts) else ""


scalar("split_part", (TEXT, TEXT, INT), TEXT, _split_part,
       fast("{2} > 0 AND {1} <> '' AND {0} <> ''", "split_part({0}, {1}, {2})"),
       "the n-th part between delimiters; negative: from the end")
for _name in ("strpos", "position"):
    scalar(_name, (TEXT, TEXT), INT, lambda text, sought: text.find(sought) + 1,
           "CAST(strpos({0}, {1}) AS INTEGER)", "where the second is in the first, 0 for nowhere")
for _name in ("starts_with", "^@"):
    scalar(_name, (TEXT, TEXT), BOOL, str.startswith, "starts_with({0}, {1})", "the first begins with the second")


# -------------------------------------------------------------------- padding, trimming, replacing

def _fill(fill: str, count: int) -> str:
    return (fill * (count // len(fill) + 1))[:count] if fill else ""


def _lpad(text: str, length: int, fill: str = " ") -> str:
    limited(length if fill else 0)
    return text[:length] if 0 < length <= len(text) else "" if length <= 0 else _fill(fill, length - len(text)) + text


def _rpad(text: str, length: int, fill: str = " ") -> str:
    limited(length if fill else 0)
    return text[:length] if 0 < length <= len(text) else "" if length <= 0 else text + _fill(fill, length - len(text))


def _pad_form(name: str) -> Any:
    def form(arguments: Sequence[str], types: Sequence[Type], result: Type) -> str:
        fill, is_filled = ("' '", "") if len(arguments) == 2 else ("{2}", " AND {2} <> ''")
        return fast("{1} >= 0 AND {1} < 1000000" + is_filled, f"{name}({{0}}, {{1}}, {fill})")(arguments, types, result)
    return form


scalar("lpad", (TEXT, INT, TEXT), TEXT, _lpad, _pad_form("lpad"), "filled up or cut to a length, on the left",
       optional=1)
scalar("rpad", (TEXT, INT, TEXT), TEXT, _rpad, _pad_form("rpad"), "filled up or cut to a length, on the right",
       optional=1)


def _trim_form(name: str) -> Any:
    def form(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str:
        return f"{name}({', '.join([*arguments, chr(39) + ' ' + chr(39)][:2])})"
    return form


for _name, _trim, _where in (("ltrim", str.lstrip, "the beginning"), ("rtrim", str.rstrip, "the end"),
                             ("btrim", str.strip, "both ends"), ("trim", str.strip, "both ends")):
    scalar(_name, (TEXT, TEXT), TEXT, lambda text, letters=" ", _trim=_trim: _trim(text, letters),
           _trim_form("trim" if _name == "btrim" else _name), f"without blanks, or the letters given, at {_where}",
           optional=1)


def _repeat(text: str, count: int) -> str:
    limited(len(text) * max(count, 0))
    return text * count


def _translate(text: str, before: str, after: str) -> str:
    table: dict[int, str] = {}
    for place, letter in enumerate(before):
        table.setdefault(ord(letter), after[place:place + 1])
    return text.translate(table)


scalar("repeat", (TEXT, INT), TEXT, _repeat, fast("{1} >= 0 AND {1} * strlen({0}) < 1000000", "repeat({0}, {1})"),
       "so many times")
scalar("replace", (TEXT, TEXT, TEXT), TEXT,
       lambda text, old, new: text.replace(old, new) if old else text, "replace({0}, {1}, {2})",
       "each place of the second made the third")
scalar("translate", (TEXT, TEXT, TEXT), TEXT, _translate, "translate({0}, {1}, {2})", "letter by letter")
scalar("reverse", (TEXT,), TEXT, lambda text: text[::-1], fast(ASCII, "reverse({0})"), "from the end to the beginning")


# -------------------------------------------------------------------- characters, codes

def _chr(code: int) -> str:
    if code == 0:
        raise ProgramLimitExceeded("null character not permitted")
    if code < 0:
        raise InvalidParameterValue("character number must be positive")
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ProgramLimitExceeded(f"requested character not valid for encoding: {code}")
    return chr(code)


scalar("ascii", (TEXT,), INT, lambda text: ord(text[0]) if text else 0,
       fast("{0} <> ''", "unicode({0})"), "code of the first character")
scalar("chr", (INT,), TEXT, _chr, fast("{0} > 0 AND {0} < 55296", "chr({0})"), "the character of a code")
scalar("md5", (TEXT,), TEXT, lambda text: hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
       "md5({0})", "MD5 in hexadecimal")
scalar("to_hex", (INT,), TEXT, lambda n: f"{n & 0xFFFFFFFF:x}", None, "in hexadecimal")
scalar("to_hex", (BIGINT,), TEXT, lambda n: f"{n & 0xFFFFFFFFFFFFFFFF:x}", None, "in hexadecimal")
scalar("pg_client_encoding", (), TEXT, lambda: "UTF8", "'UTF8'", "the encoding of texts", volatility=Volatility.STABLE)

_FORMS = ("NFC", "NFD", "NFKC", "NFKD")


def _form_named(name: str) -> Any:
    if name.upper() not in _FORMS:
        raise InvalidParameterValue(f"invalid normalization form: {name}")
    return name.upper()


scalar("normalize", (TEXT, TEXT), TEXT, lambda text, form="NFC": unicodedata.normalize(_form_named(form), text), None,
       "in a normal form of Unicode", optional=1)
scalar("is_normalized", (TEXT, TEXT), BOOL,
       lambda text, form="NFC": unicodedata.is_normalized(_form_named(form), text), None,
       "in a normal form of Unicode already", optional=1)


def _unistr(text: str) -> str:
    import re
    match_code = re.compile(r"\\(?:(\\)|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|\+([0-9a-fA-F]{6})|([0-9a-fA-F]{4}))?")

    def letter(match: re.Match[str]) -> str:
        if match.group() == "\\":
            raise SyntaxFailure("invalid Unicode escape")
        if match.group(1):
            return "\\"
        code = int(next(digits for digits in match.groups()[1:] if digits), 16)
        if code == 0 or code > 0x10FFFF:
            raise SyntaxFailure("invalid Unicode escape value")
        return chr(code)
    found = match_code.sub(letter, text)
    try:
        return found.encode("utf-16", "surrogatepass").decode("utf-16")     # pairs become one character
    except UnicodeDecodeError:
        raise CharacterNotInRepertoire("invalid Unicode surrogate pair") from None


scalar("unistr", (TEXT,), TEXT, _unistr, None, "Unicode escapes made characters")
