"""Sequences: the options that CREATE SEQUENCE, ALTER SEQUENCE and identity columns share."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from phantomdb.core.query.errors import FeatureNotSupported, InvalidParameterValue, SyntaxFailure
from phantomdb.core.values import Kind, Type
from phantomdb.frontends.sql.reader import Reader

_OPTION_WORDS = {"INCREMENT", "START", "CACHE", "NO", "MINVALUE", "MAXVALUE", "CYCLE", "OWNED", "RESTART"}


@dataclass(slots=True)
class SequenceOptions:
    """`values`: what of a SequenceDefinition was named. `owner`: the parts of table.column, or () for NONE."""

    values: dict[str, Any] = field(default_factory=dict)
    type: Type | None = None
    owner: list[str] | None = None
    is_restarted: bool = False
    restart: int | None = None                               # the next value; None: the start


def sequence_options(reader: Reader, *, of_sequence: bool = False) -> SequenceOptions:
    """All that come next. `of_sequence`: AS, OWNED BY and RESTART are options, too. SyntaxFailure."""
    made = SequenceOptions()
    seen: set[str] = set()
    while not reader.is_at_end() and reader.word() != ")":
        position = reader.position
        option = _read_option(reader, made, of_sequence)
        if option in seen:
            raise SyntaxFailure("conflicting or redundant options", position=position)
        seen.add(option)
    return made


def _read_option(reader: Reader, made: SequenceOptions, of_sequence: bool) -> str:
    """Its name."""
    values = made.values
    if reader.accept("INCREMENT"):
        reader.accept("BY")
        values["increment"] = reader.integer()
        return "increment"
    if reader.accept("START"):
        reader.accept("WITH")
        values["start"] = reader.integer()
        return "start"
    if reader.accept("CACHE"):
        values["cache"] = reader.integer()
        return "cache"
    for word, name in (("MINVALUE", "minimum"), ("MAXVALUE", "maximum")):
        if reader.accept("NO", word):
            values[name] = None
            return name
        if reader.accept(word):
            values[name] = reader.integer()
            return name
    for words, is_cyclic in ((("CYCLE",), True), (("NO", "CYCLE"), False)):
        if reader.accept(*words):
            values["is_cyclic"] = is_cyclic
            return "cycle"
    if of_sequence:
        return _read_own_option(reader, made)
    if reader.accept("SEQUENCE", "NAME"):
        position = reader.position
        found = reader.dotted()
        if len(found) > 1:
            raise FeatureNotSupported("the sequence of a column stands in the schema of its table", position=position)
        values["name"] = found[0]
        return "name"
    raise reader.failure()


def _read_own_option(reader: Reader, made: SequenceOptions) -> str:
    if reader.accept("AS"):
        position = reader.position
        made.type = reader.until(_OPTION_WORDS).type()[0]
        if made.type.kind is not Kind.INT:
            raise InvalidParameterValue("sequence type must be smallint, integer, or bigint", position=position)
        return "type"
    if reader.accept("OWNED", "BY"):
        found = reader.dotted()
        made.owner = [] if found == ["none"] else found
        return "owner"
    if reader.accept("RESTART"):
        reader.accept("WITH")
        made.is_restarted = True
        if reader.word() == "-" or reader.word().isdecimal():
            made.restart = reader.integer()
        return "restart"
    raise reader.failure()
