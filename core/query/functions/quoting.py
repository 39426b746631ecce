"""Texts as parts of SQL: quoting, format(), and names taken apart."""
from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from phantomdb.core.query import casts
from phantomdb.core.query.errors import InvalidParameterValue, NullValueNotAllowed
from phantomdb.core.query.functions.numbers import scalar
from phantomdb.core.query.functions.registry import Like
from phantomdb.core.values import BOOL, TEXT, Type, array

# Words that are no names without quotes: PostgreSQL's reserved ones, and those that cannot name a column or function.
_KEYWORDS = frozenset("""
all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case cast char
character check coalesce collate collation column concurrently constraint create cross current_catalog current_date
current_role current_schema current_time current_timestamp current_user dec decimal default deferrable desc distinct do
else end except exists extract false fetch float for foreign freeze from full grant greatest group grouping having ilike
in initially inner inout int integer intersect interval into is isnull join lateral leading least left like limit
localtime localtimestamp national natural nchar none normalize not notnull null nullif numeric offset on only or order
out outer overlaps overlay placing position precision primary real references returning right row select session_user
setof similar smallint some substring symmetric table tablesample then time timestamp to trailing treat trim true union
unique user using values varchar variadic verbose when where window with xmlattributes xmlconcat xmlelement xmlexists
xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable""".split())


def quote_ident(name: str) -> str:
    if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    quoted = "'" + text.replace("'", "''") + "'"
    return "E" + quoted.replace("\\", "\\\\") if "\\" in text else quoted


def _quote_any(types: Sequence[Type], value: Any) -> str:
    return quote_literal(casts.cast(value, types[0], TEXT, True))


def _quote_nullable(types: Sequence[Type], value: Any) -> str:
    return "NULL" if value is None else _quote_any(types, value)


scalar("quote_ident", (TEXT,), TEXT, quote_ident, None, "as a name in SQL")
scalar("quote_literal", (TEXT,), TEXT, quote_literal, None, "as a literal in SQL")
scalar("quote_literal", (Like.ANY,), TEXT, _quote_any, None, "as a literal in SQL", takes_types=True)
scalar("quote_nullable", (TEXT,), TEXT, _quote_nullable, None, "as a literal in SQL, NULL for none",
       takes_types=True, is_strict=False)
scalar("quote_nullable", (Like.ANY,), TEXT, _quote_nullable, None, "as a literal in SQL, NULL for none",
       takes_types=True, is_strict=False)

_SPECIFIER = re.compile(r"%(?:(\d+)\$)?(-?)(\*(?:(\d+)\$)?|\d*)(.)?", re.DOTALL | re.ASCII)


def _format(types: Sequence[Type], template: str | None, *values: Any) -> str | None:
    """%s the value as text, %I as a name, %L as a literal; %n$ names the n-th, a number or * sets the least width."""
    if template is None:
        return None
    next_index = 0

    def take(number: str | None) -> tuple[Any, Type]:
        nonlocal next_index
        if number is not None:
            next_index = int(number) - 1
            if next_index < 0:
                raise InvalidParameterValue("format specifies argument 0, but arguments are numbered from 1")
        if next_index >= len(values):
            raise InvalidParameterValue("too few arguments for format()")
        next_index += 1
        return values[next_index - 1], types[next_index]

    def fill(match: re.Match[str]) -> str:
        number, minus, width, width_number, kind = match.groups()
        if kind == "%" and not width and not minus and number is None:
            return "%"
        if kind is None:
            raise InvalidParameterValue("unterminated format() type specifier")
        if kind not in "sIL":
            raise InvalidParameterValue(f'unrecognized format() type specifier "{kind}"')
        columns, is_left = 0, bool(minus)
        if width.startswith("*"):
            columns = take(width_number)[0] or 0
            if not isinstance(columns, int):
                raise InvalidParameterValue("the width of format() must be an integer")
            is_left, columns = is_left or columns < 0, abs(columns)
        elif width:
            columns = int(width)
        value, type_ = take(number)
        if kind == "I" and value is None:
            raise NullValueNotAllowed("null values cannot be formatted as an SQL identifier")
        if value is None:
            text = "NULL" if kind == "L" else ""
        else:
            text = casts.output_text(value, type_)
            text = quote_ident(text) if kind == "I" else quote_literal(text) if kind == "L" else text
        return text.ljust(columns) if is_left else text.rjust(columns)
    return _SPECIFIER.sub(fill, template)


scalar("format", (TEXT, Like.ANY), TEXT, _format, None, "values put into a template", is_variadic=True,
       is_strict=False, takes_types=True)


def _parse_ident(text: str, is_strict: bool = True) -> list[str]:
    names: list[str] = []
    position = 0
    part = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*))\s*', re.ASCII)
    while True:
        match = part.match(text, position)
        if match is None or match.group(1) == "":
            raise InvalidParameterValue(f'string is not a valid identifier: "{text}"')
        names.append(match.group(1).replace('""', '"') if match.group(1) is not None else match.group(2).lower())
        position = match.end()
        if text[position:position + 1] != ".":
            break
        position += 1
    if is_strict and position < len(text):
        raise InvalidParameterValue(f'string is not a valid identifier: "{text}"')
    return names


scalar("parse_ident", (TEXT, BOOL), array(TEXT), _parse_ident, None, "the parts of a qualified name", optional=1)
