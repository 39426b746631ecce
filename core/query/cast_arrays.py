"""Arrays as text: {1,2,NULL,"a b"}, read and written as PostgreSQL does."""
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from phantomdb.core.query.errors import FeatureNotSupported, InvalidTextRepresentation
from phantomdb.core.values import Kind, Type

_BLANKS = " \t\n\r\f\v"
# a quoted element, or one without quotes; a backslash keeps the letter after it
_ITEM = re.compile(r'"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>(?:[^"\\{},]|\\.)+)', re.DOTALL)
_MUST_QUOTE = re.compile(r'[\s{},"\\]|^$|^null$', re.IGNORECASE | re.ASCII)


def read_array(text: str, target: Type, reader: Callable[[Type], Callable[[str], Any]]) -> list[Any]:
    def bad() -> InvalidTextRepresentation:
        return InvalidTextRepresentation(f'malformed array literal: "{text}"')

    body = text.strip(_BLANKS)
    if body.startswith("["):
        raise FeatureNotSupported("arrays whose subscripts do not begin at 1 are not supported")
    value, end = _read(body, 0, target, reader, bad)
    if body[end:].strip(_BLANKS):
        raise bad()
    return value


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _BLANKS:
        position += 1
    return position


def _read(text: str, position: int, target: Type, reader: Callable[[Type], Callable[[str], Any]],
          bad: Callable[[], Exception]) -> tuple[list[Any], int]:
    """One {...} from `position`: its elements, and where it ends."""
    if text[position:position + 1] != "{":
        raise bad()
    assert target.element is not None
    element = target.element
    read = None if element.kind is Kind.ARRAY else reader(element)
    items: list[Any] = []
    position = _skip(text, position + 1)
    if text[position:position + 1] == "}":
        return items, position + 1
    while True:
        position = _skip(text, position)
        if read is None:
            inner, position = _read(text, position, element, reader, bad)
            items.append(inner)
        else:
            if text[position:position + 1] == "{":
                raise FeatureNotSupported(f"an array of arrays is not of type {target}, but of {target}[]")
            match = _ITEM.match(text, position)
            if match is None:
                raise bad()
            position = match.end()
            if match["quoted"] is not None:
                items.append(read(re.sub(r"\\(.)", r"\1", match["quoted"], flags=re.DOTALL)))
            else:
                items.append(_read_plain(match["plain"], read, bad))
        position = _skip(text, position)
        if text[position:position + 1] == "}":
            return items, position + 1
        if text[position:position + 1] != ",":
            raise bad()
        position += 1


def _read_plain(raw: str, read: Callable[[str], Any], bad: Callable[[], Exception]) -> Any:
    plain = raw.rstrip(_BLANKS)
    if not plain:
        raise bad()
    if plain.endswith("\\"):                                 # the blank after it was meant
        plain = raw[:len(plain) + 1]
    return None if plain.lower() == "null" else read(re.sub(r"\\(.)", r"\1", plain, flags=re.DOTALL))


def write_array(value: list[Any], source: Type, writer: Callable[[Type], Callable[[Any], str]]) -> str:
    assert source.element is not None
    is_nested = source.element.kind is Kind.ARRAY
    write = writer(source.element)
    # a boolean inside of an array is t or f
    if source.element.kind is Kind.BOOL:
        write = lambda item: "t" if item else "f"
    pieces = []
    for item in value:
        if item is None:
            pieces.append("NULL")
            continue
        text = write(item)
        if not is_nested and _MUST_QUOTE.search(text):
            text = '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
        pieces.append(text)
    return "{" + ",".join(pieces) + "}"
