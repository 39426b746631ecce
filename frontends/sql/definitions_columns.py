"""Columns and constraints as CREATE TABLE and ALTER TABLE write them: read from the text, then bound to a table.

    name type [COLLATE "C"] { NOT NULL | DEFAULT e | GENERATED ... | PRIMARY KEY | UNIQUE | CHECK (e) | REFERENCES t }
    [CONSTRAINT name] { PRIMARY KEY (c) | UNIQUE (c) | CHECK (e) | FOREIGN KEY (c) REFERENCES t (c) }

Reading needs no catalog. Binding is done when the change is made, with the table as it is then.
"""
from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from phantomdb.core.catalog.constraints import (
    SELF, CheckDefinition, ConstraintDefinition, ForeignKeyDefinition, KeyDefinition,
)
from phantomdb.core.catalog.definition import ColumnDefinition, SequenceDefinition
from phantomdb.core.catalog.objects import Action
from phantomdb.core.query.errors import FeatureNotSupported, SyntaxFailure
from phantomdb.core.values import Type
from phantomdb.frontends.sql import definitions_expressions as x
from phantomdb.frontends.sql.definitions_sequences import sequence_options
from phantomdb.frontends.sql.reader import Part, QualifiedName, Reader

if TYPE_CHECKING:
    from phantomdb.frontends.sql.names import Names
    from phantomdb.frontends.sql.queries import QueryBinder

# Where a type or a default ends.
_COLUMN_WORDS = {",", ")", "COLLATE", "CONSTRAINT", "NOT", "NULL", "CHECK", "DEFAULT", "GENERATED", "UNIQUE",
                 "PRIMARY KEY", "PRIMARY", "REFERENCES", "DEFERRABLE", "INITIALLY", "USING", "STORAGE", "COMPRESSION"}
_COLLATIONS = {"C", "POSIX", "default", "ucs_basic"}
CONSTRAINT_WORDS = {"CONSTRAINT", "CHECK", "UNIQUE", "PRIMARY KEY", "PRIMARY", "FOREIGN KEY", "FOREIGN", "EXCLUDE"}


@dataclass(slots=True)
class CheckText:
    condition: Part
    name: str = ""


@dataclass(slots=True)
class ReferenceText:
    """A foreign key whose target is not looked up yet."""

    target: QualifiedName
    definition: ForeignKeyDefinition


ConstraintText = KeyDefinition | CheckText | ReferenceText


@dataclass(slots=True)
class ColumnText:
    name: str
    type: Type
    position: int
    is_nullable: bool | None = None                          # None: nothing was said
    default: Part | None = None
    generated: Part | None = None
    identity: str = ""
    sequence: SequenceDefinition | None = None
    constraints: list[ConstraintText] = field(default_factory=list)


# -------------------------------------------------------------------- reading

def read_column(reader: Reader) -> ColumnText:
    """SyntaxFailure, FeatureNotSupported, UndefinedObject: no such type."""
    position = reader.position
    name = reader.name()
    type_, is_serial = reader.until(_COLUMN_WORDS).type()
    column = ColumnText(name, type_, position, sequence=SequenceDefinition() if is_serial else None)
    while not reader.is_at_end() and reader.word() not in (",", ")"):
        _read_column_constraint(reader, column)
    if column.sequence is not None and column.is_nullable is True:
        raise SyntaxFailure(f'conflicting NULL/NOT NULL declarations for column "{name}"', position=position,
                            column=name)
    return column


def _read_column_constraint(reader: Reader, column: ColumnText) -> None:
    position = reader.position
    name = reader.name() if reader.accept("CONSTRAINT") else ""
    if reader.accept("COLLATE"):
        read_collation(reader)
    elif reader.accept("NOT", "NULL"):
        _set_nullable(column, False, position)
    elif reader.accept("NULL"):
        _set_nullable(column, True, position)
    elif reader.accept("DEFAULT"):
        _once(column, column.default is None and column.sequence is None and column.generated is None, position)
        column.default = reader.until(_COLUMN_WORDS)
    elif reader.accept("GENERATED"):
        _read_generated(reader, column, position)
    elif reader.accept("CHECK"):
        column.constraints.append(_read_check(reader, name))
    elif reader.accept("PRIMARY", "KEY"):
        column.constraints.append(_read_key(reader, (column.name,), name, is_primary=True))
    elif reader.accept("UNIQUE"):
        column.constraints.append(_read_unique(reader, name, (column.name,)))
    elif reader.accept("REFERENCES"):
        column.constraints.append(_read_reference(reader, (column.name,), name))
    else:
        reader.refuse("STORAGE", "COMPRESSION")
        raise reader.failure()


def _set_nullable(column: ColumnText, is_nullable: bool, position: int) -> None:
    if column.is_nullable is (not is_nullable):
        raise SyntaxFailure(f'conflicting NULL/NOT NULL declarations for column "{column.name}"', position=position,
                            column=column.name)
    column.is_nullable = is_nullable


def _once(column: ColumnText, is_first: bool, position: int) -> None:
    if not is_first:
        raise SyntaxFailure(f'multiple default values specified for column "{column.name}"', position=position,
                            column=column.name)


def read_collation(reader: Reader) -> None:
    position = reader.position
    if reader.dotted()[-1] not in _COLLATIONS:
        raise FeatureNotSupported('collations other than "C" are not supported: text is ordered by code point',
                                  position=position)


def _read_generated(reader: Reader, column: ColumnText, position: int) -> None:
    is_always = reader.accept("ALWAYS")
    if not is_always:
        reader.expect("BY", "DEFAULT")
    reader.expect("AS")
    _once(column, column.default is None and column.sequence is None and column.generated is None, position)
    if reader.accept("IDENTITY"):
        column.identity = "always" if is_always else "by default"
        options: dict[str, Any] = {}
        if reader.accept("("):
            options = sequence_options(reader).values
            reader.expect(")")
        column.sequence = SequenceDefinition(**options)
        return
    if not is_always:
        raise reader.failure()
    column.generated = reader.parenthesized()
    reader.refuse("VIRTUAL")
    reader.expect("STORED")


def read_constraint(reader: Reader) -> ConstraintText:
    """A constraint of the table. SyntaxFailure, FeatureNotSupported."""
    name = reader.name() if reader.accept("CONSTRAINT") else ""
    if reader.accept("CHECK"):
        return _read_check(reader, name)
    if reader.accept("UNIQUE"):
        return _read_unique(reader, name, None)
    if reader.accept("PRIMARY", "KEY"):
        reader.refuse("USING INDEX")
        return _read_key(reader, reader.names(), name, is_primary=True)
    if reader.accept("FOREIGN", "KEY"):
        columns = reader.names()
        reader.expect("REFERENCES")
        return _read_reference(reader, columns, name)
    reader.refuse("EXCLUDE")
    raise reader.failure()


def _read_check(reader: Reader, name: str) -> CheckText:
    check = CheckText(reader.parenthesized(), name)
    reader.refuse("NO INHERIT", "NOT VALID")
    if reader.word() in ("DEFERRABLE", "INITIALLY"):
        raise reader.failure()
    return check


def _read_unique(reader: Reader, name: str, columns: tuple[str, ...] | None) -> KeyDefinition:
    """UNIQUE [NULLS [NOT] DISTINCT] of a column, or with columns behind it."""
    nulls_distinct = True
    if reader.accept("NULLS"):
        nulls_distinct = not reader.accept("NOT")
        reader.expect("DISTINCT")
    reader.refuse("USING INDEX")
    return _read_key(reader, columns if columns is not None else reader.names(), name, nulls_distinct=nulls_distinct)


def _read_key(reader: Reader, columns: tuple[str, ...], name: str, *, is_primary: bool = False,
              nulls_distinct: bool = True) -> KeyDefinition:
    reader.refuse("INCLUDE", "WITH", "USING")
    is_deferrable, is_deferred = _read_timing(reader)
    return KeyDefinition(columns, name, is_primary, is_deferrable, is_deferred, nulls_distinct)


def _read_reference(reader: Reader, columns: tuple[str, ...], name: str) -> ReferenceText:
    target = reader.qualified()
    target_columns = reader.names() if reader.word() == "(" else ()
    actions: dict[str, Action] = {}
    if reader.accept("MATCH"):
        reader.refuse("PARTIAL")
        if reader.word() == "FULL" and len(columns) > 1:
            raise reader.unsupported("MATCH FULL of several columns")
        if not reader.accept_any("SIMPLE", "FULL"):
            raise reader.failure()
    while reader.word() == "ON" and reader.word(1) in ("DELETE", "UPDATE") and reader.word(1) not in actions:
        reader.expect("ON")
        event = reader.accept_any("DELETE", "UPDATE")
        actions[event] = _read_action(reader)
    is_deferrable, is_deferred = _read_timing(reader)
    reader.refuse("NOT VALID")
    return ReferenceText(target, ForeignKeyDefinition(
        columns, SELF, target_columns, name, actions.get("DELETE", Action.NO_ACTION),
        actions.get("UPDATE", Action.NO_ACTION), is_deferrable, is_deferred))


def _read_action(reader: Reader) -> Action:
    for action in Action:
        if reader.accept(*action.value.upper().split(" ")):
            if reader.word() == "(":
                raise reader.unsupported("SET NULL or SET DEFAULT of some of the columns")
            return action
    raise reader.failure()


def _read_timing(reader: Reader) -> tuple[bool, bool]:
    """[NOT] DEFERRABLE [INITIALLY DEFERRED | IMMEDIATE] as (deferrable, deferred)."""
    is_deferrable: bool | None = None
    is_deferred: bool | None = None
    while True:
        if is_deferrable is None and reader.accept("NOT", "DEFERRABLE"):
            is_deferrable = False
        elif is_deferrable is None and reader.accept("DEFERRABLE"):
            is_deferrable = True
        elif is_deferred is None and reader.accept("INITIALLY"):
            is_deferred = reader.accept("DEFERRED")
            if not is_deferred:
                reader.expect("IMMEDIATE")
        else:
            break
    if is_deferred and is_deferrable is False:
        raise SyntaxFailure("constraint declared INITIALLY DEFERRED must be DEFERRABLE", position=reader.position)
    return bool(is_deferrable or is_deferred), bool(is_deferred)


# -------------------------------------------------------------------- binding

def bind_column(queries: QueryBinder, column: ColumnText, columns: x.Columns) -> ColumnDefinition:
    """Without its constraints. All errors of definitions_expressions.py."""
    return ColumnDefinition(
        column.name, column.type, column.is_nullable is not False,
        None if column.default is None else x.default(queries, column.default, column.type, column.name, columns),
        None if column.generated is None else x.generated(queries, column.generated, column.type, column.name, columns),
        column.identity, column.sequence)


def bind_constraint(queries: QueryBinder, names: Names, constraint: ConstraintText, columns: x.Columns,
                    own: tuple[int, str] | None = None) -> ConstraintDefinition:
    """`own`: (schema, name) of a table that is being made, which a foreign key may refer to. UndefinedTable,
    WrongObjectType, and all errors of definitions_expressions.py."""
    if isinstance(constraint, CheckText):
        return CheckDefinition(x.condition(queries, constraint.condition, columns, x.CHECK), constraint.name)
    if isinstance(constraint, ReferenceText):
        target = constraint.target
        if own is not None and own[1] == target.name and own[0] in names.path(target.schema, target.position):
            return constraint.definition                     # to itself
        found = names.table(target.name, target.schema, target.position)
        return replace(constraint.definition, target=found.id)
    return constraint
