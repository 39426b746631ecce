"""Pattern matching: LIKE, SIMILAR TO and regular expressions.

LIKE becomes a regular expression of Python's `re`, the others one that may be stopped (expressions.py), once
(`like_pattern`, `similar_pattern`, `regular_expression`). The syntax is PostgreSQL's: bracket classes, \\m \\y and the
like, flags. How a match is chosen is Python's: the first alternative that fits, where POSIX takes the longest match;
docs/functions.md says so.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from phantomdb.core.query.errors import (
    FeatureNotSupported,
    InvalidEscapeSequence,
    InvalidParameterValue,
    InvalidRegularExpression,
)
from phantomdb.core.query.functions.expressions import Expression
from phantomdb.core.query.functions.forms import ASCII, fast
from phantomdb.core.query.functions.numbers import scalar
from phantomdb.core.values import BOOL, INT, TEXT, Type, array

if TYPE_CHECKING:
    import regex

    Match = regex.Match[str]

# -------------------------------------------------------------------- LIKE


@lru_cache(maxsize=1024)
def like_pattern(pattern: str, escape: str = "\\", is_case_blind: bool = False) -> re.Pattern[str]:
    """InvalidEscapeSequence: the pattern ends with its escape character, or that is more than one character."""
    if len(escape) > 1:
        raise InvalidEscapeSequence("invalid escape string: it must be empty or one character")
    parts, letters = [""], iter(pattern)                 # what stands between the %
    for letter in letters:
        if letter == escape:
            kept = next(letters, None)
            if kept is None:
                raise InvalidEscapeSequence("LIKE pattern must not end with escape character")
            parts[-1] += re.escape(kept)
        elif letter == "%":
            parts.append("")
        else:
            parts[-1] += "." if letter == "_" else re.escape(letter)
    # Of each part the first place is as good as any later one. Said so (atomic groups), a match that fails tries no
    # others, of which there may be any number.
    first, last = parts[0], parts[-1]
    text = first if len(parts) == 1 else first + "".join(f"(?>.*?{part})" for part in parts[1:-1] if part) + ".*" + last
    return re.compile(text, re.DOTALL | (re.IGNORECASE if is_case_blind else 0))


def _like(text: str, pattern: str, escape: str = "\\") -> bool:
    return like_pattern(pattern, escape).fullmatch(text) is not None


def _ilike(text: str, pattern: str, escape: str = "\\") -> bool:
    return like_pattern(pattern, escape, True).fullmatch(text) is not None


_LITERAL = re.compile(r"'(?:[^']|'')*'")
_NO_ESCAPE = "instr({1}, '\\') = 0"


def _like_form(prefix: str) -> Any:
    def form(arguments: Sequence[str], types: Sequence[Type], result: Type) -> str | None:
        if len(arguments) > 2:
            return None
        if _LITERAL.fullmatch(arguments[1]) and "\\" not in arguments[1]:
            return f"({arguments[0]} {prefix}LIKE {arguments[1]})"           # so that DuckDB can make more of it
        return fast(_NO_ESCAPE, f"({{0}} {prefix}LIKE {{1}})")(arguments, types, result)
    return form


def _ilike_form(prefix: str) -> Any:
    def form(arguments: Sequence[str], types: Sequence[Type], result: Type) -> str | None:
        test = f"{ASCII} AND strlen({{1}}) = length({{1}}) AND {_NO_ESCAPE}"
        return fast(test, f"({{0}} {prefix}ILIKE {{1}})")(arguments, types, result) if len(arguments) == 2 else None
    return form


def _not(function: Callable[..., bool]) -> Callable[..., bool]:
    return lambda *arguments: not function(*arguments)


for _names, _python, _form, _summary in (
        (("like", "~~"), _like, _like_form, "% any text, _ any character"),
        (("ilike", "~~*"), _ilike, _ilike_form, "like, without regard to case")):
    for _name in _names:
        _is_symbol = _name.startswith("~")
        _arguments = (TEXT, TEXT) if _is_symbol else (TEXT, TEXT, TEXT)
        scalar(_name, _arguments, BOOL, _python, _form(""), _summary, optional=len(_arguments) - 2)
        scalar(("!" if _is_symbol else "not ") + _name, _arguments, BOOL, _not(_python), _form("NOT "),
               "not " + _name, optional=len(_arguments) - 2)


# -------------------------------------------------------------------- SIMILAR TO

_UNCHANGED_IN_SIMILAR = set("|*+?{}()")


@lru_cache(maxsize=1024)
def similar_pattern(pattern: str, escape: str | None = "\\") -> Expression:
    """The whole text must match. A pattern of three parts, separated by escape and quote, has the middle one as its
    only group."""
    if escape is not None and len(escape) > 1:
        raise InvalidEscapeSequence("invalid escape string: it must be empty or one character")
    pieces: list[str] = []
    position, separators = 0, 0
    while position < len(pattern):
        letter = pattern[position]
        position += 1
        if letter == escape:
            if position == len(pattern):
                raise InvalidEscapeSequence("pattern must not end with escape character")
            kept = pattern[position]
            position += 1
            if kept == '"':
                separators += 1
                if separators > 2:
                    raise InvalidRegularExpression("an SQL regular expression has at most two separators")
                # as little as possible before and after, so that the middle is what it can be
                pieces.append("){1,1}?(" if separators == 1 else "){1,1}(?:")
            else:
                pieces.append(re.escape(kept))
        elif letter == "[":
            bracket, position = _bracket(pattern, position, escape)
            pieces.append(bracket)
        elif letter == "(":
            pieces.append("(?:")
        else:
            pieces.append({"%": ".*", "_": "."}.get(letter)
                          or (letter if letter in _UNCHANGED_IN_SIMILAR else re.escape(letter)))
    body = "".join(pieces)
    if separators == 2:
        first, middle, last = re.split(r"\)\{1,1\}\??\((?:\?:)?", body)
        shortest = re.sub(r"(?<!\\)([*+?}])", r"\1?", first)
        body = f"(?:{shortest})({middle})(?:{last})"
    return Expression(f"(?:{body})", re.DOTALL, pattern)


def _similar(text: str, pattern: str, escape: str = "\\") -> bool:
    return similar_pattern(pattern, escape or None).fullmatch(text) is not None


scalar("similar to", (TEXT, TEXT, TEXT), BOOL, _similar, None, "SQL's regular expressions", optional=1, is_long=True)
scalar("not similar to", (TEXT, TEXT, TEXT), BOOL, _not(_similar), None, "not similar to", optional=1, is_long=True)


# -------------------------------------------------------------------- regular expressions

_CLASSES = {"alpha": "^\\W\\d_", "digit": "\\d", "alnum": "^\\W_", "space": "\\s", "word": "\\w", "upper": "A-Z",
            "lower": "a-z", "punct": "!-/:-@\\[-`{-~", "blank": " \\t", "cntrl": "\\x00-\\x1f\\x7f",
            "xdigit": "0-9A-Fa-f",
            "graph": "!-~", "print": " -~", "ascii": "\\x00-\\x7f"}
# those that Python can only say as "not any of": as ranges, where they stand beside others
_MIXED = {"alpha": "A-Za-z\u00aa-\u02af\u0370-\u1fff\u2c00-\ud7ff\uf900-\ufdff", "alnum":
          "0-9A-Za-z\u00aa-\u02af\u0370-\u1fff\u2c00-\ud7ff\uf900-\ufdff"}
_ESCAPES = {"m": r"\b(?=\w)", "M": r"\b(?<=\w)", "y": r"\b", "Y": r"\B", "A": r"\A", "Z": r"\Z", "a": r"\x07",
            "b": r"\x08", "B": r"\\", "e": r"\x1b", "f": r"\f", "n": r"\n", "r": r"\r", "t": r"\t", "v": r"\v",
            "d": r"\d", "D": r"\D", "s": r"\s", "S": r"\S", "w": r"\w", "W": r"\W", "0": r"\x00"}


@lru_cache(maxsize=1024)
def regular_expression(pattern: str, flags: str = "") -> Expression:
    """Flags: i without regard to case, n (or m) newline-sensitive, p and w halfway so, x with blanks and comments,
    q the pattern is plain text; c, s, t are the defaults; g is the caller's.

    InvalidParameterValue: another flag. InvalidRegularExpression: no regular expression.
    """
    if pattern.startswith("***="):
        pattern, flags = pattern[4:], flags + "q"
    elif pattern.startswith("***:"):
        pattern = pattern[4:]
    if (match := re.match(r"\(\?([a-z]+)\)", pattern)) and "q" not in flags:
        flags, pattern = flags + match.group(1), pattern[match.end():]
    options, is_line_sensitive, is_literal = re.DOTALL, False, False
    for flag in flags:
        match flag:
            case "i":
                options |= re.IGNORECASE
            case "c":
                options &= ~re.IGNORECASE
            case "n" | "m":
                options, is_line_sensitive = options & ~re.DOTALL, True
            case "p":
                options, is_line_sensitive = options & ~re.DOTALL, False
            case "w":
                options, is_line_sensitive = options | re.DOTALL, True
            case "s":
                options, is_line_sensitive = options | re.DOTALL, False
            case "x":
                options |= re.VERBOSE
            case "q":
                is_literal = True
            case "t" | "g":
                pass
            case "b" | "e":
                raise FeatureNotSupported(f'regular expressions of the kind "{flag}" are not supported')
            case _:
                raise InvalidParameterValue(f'invalid regular expression option: "{flag}"')
    if is_literal:
        return Expression(re.escape(pattern), options & ~re.VERBOSE, pattern)
    source = _translate(pattern, is_line_sensitive, bool(options & re.DOTALL))
    return Expression(source, options, pattern)


_LINE_START, _LINE_END = r"(?m:^)", r"(?m:$)"


def _translate(pattern: str, is_line_sensitive: bool, dot_is_all: bool) -> str:
    pieces: list[str] = []
    position, after_quantifier = 0, False
    while position < len(pattern):
        letter = pattern[position]
        position += 1
        is_quantifier = letter in "*+?" or (letter == "{" and pattern[position:position + 1].isdigit())
        if is_quantifier and (after_quantifier or pieces[-1:] in ([_LINE_START], [_LINE_END], [r"\A"], [r"\Z"])):
            raise InvalidRegularExpression("invalid regular expression: quantifier operand invalid")
        after_quantifier = is_quantifier
        if letter == "\\":
            piece, position = _escape(pattern, position)
        elif letter == "[":
            if pattern.startswith(("[:<:]]", "[:>:]]"), position):
                piece = _ESCAPES["m" if pattern[position + 2] == "<" else "M"]
                position += 6
            else:
                piece, position = _bracket(pattern, position, "\\", excludes_newline=not dot_is_all)
        elif letter == "^":
            piece = _LINE_START if is_line_sensitive else r"\A"
        elif letter == "$":
            piece = _LINE_END if is_line_sensitive else r"\Z"
        elif letter == "(" and pattern.startswith("?", position):
            match = re.compile(r"\?(?::|=|!|<=|<!|#[^)]*)").match(pattern, position)
            if match is None:
                raise InvalidRegularExpression("invalid regular expression: quantifier operand invalid")
            piece, position = "(" + match.group(), match.end()
        elif is_quantifier:
            end = pattern.find("}", position) + 1 if letter == "{" else position
            if letter == "{" and not re.fullmatch(r"\d+(,\d*)?\}", pattern[position:end]):
                raise InvalidRegularExpression("invalid regular expression: invalid repetition count(s)")
            end += pattern.startswith("?", end)
            piece, position = pattern[position - 1:end], end
        elif letter == "{":
            piece = r"\{"
        else:
            piece = letter
        pieces.append(piece)
    return "".join(pieces)


def _escape(pattern: str, position: int) -> tuple[str, int]:
    """What follows a backslash at `position` - 1."""
    if position == len(pattern):
        raise InvalidRegularExpression("invalid regular expression: invalid escape \\ sequence")
    letter = pattern[position]
    if letter.isdigit() and letter != "0":
        match = re.compile(r"\d{1,2}", re.ASCII).match(pattern, position)
        assert match is not None
        return f"(?:\\{match.group()})", match.end()
    if hexadecimal := re.compile(r"x[0-9a-fA-F]+|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}").match(pattern, position):
        code = int(hexadecimal.group()[1:], 16)
        if code > 0x10FFFF:
            raise InvalidRegularExpression("invalid regular expression: invalid escape \\ sequence")
        return re.escape(chr(code)), hexadecimal.end()
    if letter == "c" and position + 1 < len(pattern):
        return re.escape(chr(ord(pattern[position + 1]) & 31)), position + 2
    if letter in _ESCAPES:
        return _ESCAPES[letter], position + 1
    if letter.isalnum():
        raise InvalidRegularExpression("invalid regular expression: invalid escape \\ sequence")
    return re.escape(letter), position + 1


def _bracket(pattern: str, position: int, escape: str | None, excludes_newline: bool = False) -> tuple[str, int]:
    """A bracket expression whose [ is at `position` - 1, and where it ends."""
    start, members = position, []
    negated = pattern.startswith("^", position)
    position += negated
    first, classes = True, []
    while True:
        if position >= len(pattern):
            raise InvalidRegularExpression("invalid regular expression: brackets [] not balanced")
        letter = pattern[position]
        if letter == "]" and not first:
            break
        first = False
        if named := re.compile(r"\[([:.=])(.+?)\1\]").match(pattern, position):
            kind, name = named.groups()
            if kind == ":":
                if name not in _CLASSES:
                    raise InvalidRegularExpression("invalid regular expression: invalid character class")
                classes.append(name)
            elif len(name) == 1:
                members.append(re.escape(name))
            else:
                raise InvalidRegularExpression("invalid regular expression: invalid collating element")
            position = named.end()
        elif letter == escape and escape == "\\":
            piece, position = _escape(pattern, position + 1)
            members.append(piece)
        elif letter == escape:
            members.append(re.escape(pattern[position + 1:position + 2]))
            position += 2
        else:
            # a hyphen between two letters is a range in both
            members.append("-" if letter == "-" else re.escape(letter))
            position += 1
    if len(classes) == 1 and not members and _CLASSES[classes[0]].startswith("^"):
        body = _CLASSES[classes[0]]
        return (f"[{body[1:]}]" if negated else f"[{body}]"), position + 1
    body = "".join(_MIXED.get(name, _CLASSES[name]) for name in classes) + "".join(members)
    if not body:
        raise InvalidRegularExpression(f"invalid regular expression: empty brackets at {start}")
    newline = "\\n" if negated and excludes_newline else ""
    return f"[{'^' * negated}{body}{newline}]", position + 1


def _match(flags: str) -> Callable[[str, str], bool]:
    return lambda text, pattern: regular_expression(pattern, flags).search(text) is not None


_PLAIN = re.compile(r"'\^?[A-Za-z0-9 _,;:@#%&=<>~-]+\$?'")


def _plain_form(is_negated: bool) -> Any:
    """A pattern without any operator is a search for a text."""
    def form(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str | None:
        text, pattern = arguments
        if not _PLAIN.fullmatch(pattern):
            return None
        sought = "'" + pattern[1:-1].removeprefix("^").removesuffix("$") + "'"
        if pattern[1] == "^" and pattern[-2] == "$":
            test = f"({text} = {sought})"
        elif pattern[1] == "^":
            test = f"starts_with({text}, {sought})"
        elif pattern[-2] == "$":
            test = f"suffix({text}, {sought})"
        else:
            test = f"contains({text}, {sought})"
        return f"(NOT {test})" if is_negated else test
    return form


for _symbol, _flags, _summary in (("~", "", "matches the regular expression"),
                                  ("~*", "i", "matches the regular expression, without regard to case")):
    scalar(_symbol, (TEXT, TEXT), BOOL, _match(_flags), None if _flags else _plain_form(False), _summary,
           is_long=True)
    scalar("!" + _symbol, (TEXT, TEXT), BOOL, _not(_match(_flags)), None if _flags else _plain_form(True),
           "not: " + _summary, is_long=True)


# -------------------------------------------------------------------- regexp_*

def _flags_without_g(name: str, flags: str) -> str:
    if "g" in flags:
        raise InvalidParameterValue(f'{name}() does not support the "global" option')
    return flags


def _positive(name: str, value: int, least: int = 1) -> int:
    if value < least:
        raise InvalidParameterValue(f'invalid value for parameter "{name}": {value}')
    return value


def _nth(text: str, pattern: str, start: int, n: int, flags: str) -> Match | None:
    found = regular_expression(pattern, flags).matches(text, min(start - 1, len(text)), n)
    return found[-1] if len(found) == n else None


def regexp_match(text: str, pattern: str, flags: str = "") -> list[str | None] | None:
    found = regular_expression(pattern, _flags_without_g("regexp_match", flags)).search(text)
    return None if found is None else list(found.groups()) or [found.group()]


def _regexp_count(text: str, pattern: str, start: int = 1, flags: str = "") -> int:
    expression = regular_expression(pattern, _flags_without_g("regexp_count", flags))
    return len(expression.matches(text, min(_positive("start", start) - 1, len(text))))


def _regexp_instr(text: str, pattern: str, start: int = 1, n: int = 1, endoption: int = 0, flags: str = "",
                  group: int = 0) -> int:
    _positive("start", start)
    _positive("n", n)
    if endoption not in (0, 1):
        raise InvalidParameterValue(f'invalid value for parameter "endoption": {endoption}')
    _positive("subexpr", group, 0)
    found = _nth(text, pattern, start, n, _flags_without_g("regexp_instr", flags))
    if found is None or group > len(found.groups()):
        return 0
    place = found.end(group) if endoption else found.start(group)
    return place + 1


def _regexp_like(text: str, pattern: str, flags: str = "") -> bool:
    return regular_expression(pattern, _flags_without_g("regexp_like", flags)).search(text) is not None


def _replacement(template: str) -> Callable[[Match], str]:
    """\\1 to \\9 and \\& stand for what matched, \\\\ for a backslash."""
    pieces = re.split(r"(\\[1-9&\\])", template)

    def fill(match: Match) -> str:
        filled = []
        for piece in pieces:
            if len(piece) == 2 and piece[0] == "\\" and piece[1] in "123456789&\\":
                if piece[1] == "\\":
                    filled.append("\\")
                else:
                    number = 0 if piece[1] == "&" else int(piece[1])
                    filled.append((match.group(number) or "") if number <= len(match.groups()) else "")
            else:
                filled.append(piece)
        return "".join(filled)
    return fill


def _regexp_replace(text: str, pattern: str, replacement: str, flags: str = "") -> str:
    if flags[:1].isdigit():
        raise InvalidParameterValue(f'invalid regular expression option: "{flags[0]}"')
    found = regular_expression(pattern, flags).matches(text, count=None if "g" in flags else 1)
    return _replaced(text, found, _replacement(replacement))


def _replaced(text: str, found: Sequence[Match], fill: Callable[[Match], str]) -> str:
    pieces: list[str] = []
    last = 0
    for match in found:
        pieces += text[last:match.start()], fill(match)
        last = match.end()
    return "".join((*pieces, text[last:]))


def _regexp_replace_from(text: str, pattern: str, replacement: str, start: int, n: int = 1, flags: str = "") -> str:
    _positive("start", start)
    _positive("n", n, 0)
    head, tail = text[:start - 1], text[start - 1:]
    found = regular_expression(pattern, flags).matches(tail, count=n or None)
    return head + _replaced(tail, found if n == 0 else found[n - 1:], _replacement(replacement))


def split_by(text: str, pattern: str, flags: str = "") -> list[str]:
    """The parts of the text between the matches. An empty match at the end, or where the one before ended, is none."""
    parts, last = [], 0
    for found in regular_expression(pattern, flags).matches(text):
        if found.end() == found.start() and found.start() in (last, len(text)):
            continue
        parts.append(text[last:found.start()])
        last = found.end()
    return [*parts, text[last:]]


def _regexp_split_to_array(text: str, pattern: str, flags: str = "") -> list[str]:
    return split_by(text, pattern, _flags_without_g("regexp_split_to_array", flags))


def _regexp_substr(text: str, pattern: str, start: int = 1, n: int = 1, flags: str = "", group: int = 0) -> str | None:
    _positive("start", start)
    _positive("n", n)
    _positive("subexpr", group, 0)
    found = _nth(text, pattern, start, n, _flags_without_g("regexp_substr", flags))
    return None if found is None or group > len(found.groups()) else found.group(group)


def _substring_by(text: str, pattern: str) -> str | None:
    found = regular_expression(pattern).search(text)
    return None if found is None else found.group(1 if found.groups() else 0)


def _substring_similar(text: str, pattern: str, escape: str) -> str | None:
    found = similar_pattern(pattern, escape or None).fullmatch(text)
    return None if found is None else found.group(1 if found.groups() else 0)


scalar("regexp_match", (TEXT, TEXT, TEXT), array(TEXT), regexp_match, None, "the groups of the first match",
       optional=1, is_long=True)
scalar("regexp_count", (TEXT, TEXT, INT, TEXT), INT, _regexp_count, None, "how many matches", optional=2, is_long=True)
scalar("regexp_instr", (TEXT, TEXT, INT, INT, INT, TEXT, INT), INT, _regexp_instr, None, "where a match is, from 1",
       optional=5, is_long=True)
scalar("regexp_like", (TEXT, TEXT, TEXT), BOOL, _regexp_like, None, "whether there is a match", optional=1,
       is_long=True)
scalar("regexp_replace", (TEXT, TEXT, TEXT, TEXT), TEXT, _regexp_replace, None,
       "the first match, with flag g all, replaced", optional=1, is_long=True)
scalar("regexp_replace", (TEXT, TEXT, TEXT, INT, INT, TEXT), TEXT, _regexp_replace_from, None,
       "the n-th match from a place on replaced, 0 for all", optional=2, is_long=True)
scalar("regexp_split_to_array", (TEXT, TEXT, TEXT), array(TEXT), _regexp_split_to_array, None,
       "the parts between the matches", optional=1, is_long=True)
scalar("regexp_substr", (TEXT, TEXT, INT, INT, TEXT, INT), TEXT, _regexp_substr, None, "the n-th match", optional=4,
       is_long=True)
scalar("substring", (TEXT, TEXT), TEXT, _substring_by, None, "the first match, or its first group",
       is_long=True)
scalar("substring", (TEXT, TEXT, TEXT), TEXT, _substring_similar, None,
       "the part between the separators of an SQL regular expression", is_long=True)
