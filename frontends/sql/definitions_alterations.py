"""ALTER TABLE, COLLECTION, INDEX, VIEW, SEQUENCE and SCHEMA.

Several actions of one ALTER TABLE are done in PostgreSQL's order: first what drops, then columns, what is said of them,
keys and at last the constraints that may need them.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from phantomdb.core.catalog import alteration, constraints
from phantomdb.core.catalog import definition as d
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.names import constraint_names
from phantomdb.core.catalog.objects import Sequence, Table, View
from phantomdb.core.catalog.work import Change
from phantomdb.core.query.errors import UndefinedColumn, UndefinedObject, UndefinedTable, WrongObjectType
from phantomdb.frontends.sql import definitions_expressions as x
from phantomdb.frontends.sql.definitions_columns import (
    CONSTRAINT_WORDS, ColumnText, ConstraintText, bind_column, bind_constraint, read_column, read_constraint,
)
from phantomdb.frontends.sql.definitions_sequences import SequenceOptions, sequence_options
from phantomdb.frontends.sql.definitions_steps import ChangeCatalog, Restart, Work
from phantomdb.frontends.sql.definitions_tables import read_validator
from phantomdb.frontends.sql.definitions_types import change_type, read_type
from phantomdb.frontends.sql.names import Relation
from phantomdb.frontends.sql.reader import QualifiedName

_DROP, _TYPE, _ADD_COLUMN, _COLUMN, _KEY, _CONSTRAINT, _OTHER = range(7)
_Apply = Callable[[Catalog], Change]
_Ranked = tuple[int, _Apply]


def bind_alter_table(work: Work, kind: type, word: str) -> None:
    """Behind ALTER TABLE, VIEW or COLLECTION."""
    reader = work.reader
    if_exists = reader.accept("IF", "EXISTS")
    reader.accept("ONLY")
    name = reader.qualified()
    reader.accept("*")
    found = find(work, name, if_exists)
    if reader.accept("RENAME", "TO"):
        new_name = reader.name()
        reader.end()
        if found is not None:
            if kind is not Table and not isinstance(found, kind):
                raise _wrong_type(name, word)
            work.add(lambda catalog: Change(d.rename_relation(catalog, found.id, new_name)))
        return
    if found is not None and not isinstance(found, Table):
        if isinstance(found, View) and kind is View:
            raise reader.unsupported("this action of ALTER VIEW")
        raise _wrong_type(name, word)
    if kind is View:
        raise reader.failure() if found is None else _wrong_type(name, word)
    actions: list[_Ranked] = []
    number = found.id if found is not None else 0
    if reader.accept("RENAME"):
        actions.append(_read_rename(work, number))
    else:
        actions += _read_action(work, number)
        while reader.accept(","):
            actions += _read_action(work, number)
    reader.end()
    if found is not None:
        work.definition.steps += [ChangeCatalog(apply) for _, apply in sorted(actions, key=lambda action: action[0])]


def find(work: Work, name: QualifiedName, if_exists: bool, kind: str = "relation") -> Relation | None:
    """A relation by its name; None, and a notice, for one that need not exist. UndefinedTable, UndefinedSchema."""
    if if_exists and name.schema and work.names.catalog.schema(work.names.database.id, name.schema) is None:
        work.notice(f'schema "{name.schema}" does not exist, skipping')
        return None
    found = work.names.find(name.name, name.schema, name.position)
    if found is None:
        if not if_exists:
            raise UndefinedTable(f'{kind} "{name}" does not exist', position=name.position, table=name.name)
        work.notice(f'{kind} "{name}" does not exist, skipping')
    return found


def _wrong_type(name: QualifiedName, word: str) -> WrongObjectType:
    return WrongObjectType(f'"{name.name}" is not a {word.lower()}', position=name.position, table=name.name)


# -------------------------------------------------------------------- actions of ALTER TABLE

def _read_rename(work: Work, table: int) -> _Ranked:
    reader = work.reader
    is_constraint = reader.accept("CONSTRAINT")
    if not is_constraint:
        reader.accept("COLUMN")
    old = reader.name()
    reader.expect("TO")
    new = reader.name()
    rename = constraints.rename_constraint if is_constraint else alteration.rename_column
    return _OTHER, lambda catalog: Change(rename(catalog, table, old, new))


def _read_action(work: Work, table: int) -> list[_Ranked]:
    reader = work.reader
    if reader.accept("ADD"):
        if reader.word() in CONSTRAINT_WORDS:
            return [_add_constraint(work, table, read_constraint(reader))]
        reader.accept("COLUMN")
        may_exist = reader.accept("IF", "NOT", "EXISTS")
        return _add_column(work, table, read_column(reader), may_exist)
    if reader.accept("DROP"):
        return [_read_drop(work, table)]
    if reader.accept("ALTER"):
        reader.refuse("CONSTRAINT")
        reader.accept("COLUMN")
        return [_read_alter_column(work, table)]
    if reader.accept("VALIDATE", "CONSTRAINT"):
        return [_read_validate(work, table)]
    if reader.accept("SET", "("):
        validator = read_validator(reader)
        reader.expect(")")
        return [(_OTHER, lambda catalog: Change(alteration.set_validator(catalog, table, validator)))]
    if reader.accept("RESET", "("):
        if reader.name() != "validator":
            raise reader.unsupported("this option")
        reader.expect(")")
        return [(_OTHER, lambda catalog: Change(alteration.set_validator(catalog, table, "")))]
    if reader.word() == "RENAME":
        raise reader.failure()                               # only by itself
    reader.refuse("SET", "OWNER TO", "ENABLE", "DISABLE", "INHERIT", "NO INHERIT", "CLUSTER", "ATTACH", "DETACH",
                  "REPLICA IDENTITY", "FORCE", "NO FORCE", "OF", "NOT OF")
    raise reader.failure()


def _add_constraint(work: Work, table: int, text: ConstraintText) -> _Ranked:
    def apply(catalog: Catalog) -> Change:
        bound = bind_constraint(work.queries, work.names_in(catalog), text, x.Columns.of(catalog.table(table)))
        return constraints.add_constraint(catalog, table, bound)

    return _KEY if isinstance(text, constraints.KeyDefinition) else _CONSTRAINT, apply


def _add_column(work: Work, table: int, text: ColumnText, may_exist: bool) -> list[_Ranked]:
    """The column, then each of its constraints."""
    was_there = False

    def apply(catalog: Catalog) -> Change:
        nonlocal was_there
        of = catalog.table(table)
        if may_exist and of.column(text.name) is not None:
            work.notice(f'column "{text.name}" of relation "{of.name}" already exists, skipping')
            was_there = True
            return Change(catalog)
        columns = x.Columns.of(of)
        bound = bind_column(work.queries, text, columns)
        missing, is_constant = x.constant(bound.default) if bound.default is not None else (None, True)
        return alteration.add_column(catalog, table, bound, missing, fill=not is_constant)

    def unless_there(rank: int, add: _Apply) -> _Ranked:
        return rank, lambda catalog: Change(catalog) if was_there else add(catalog)

    return [(_ADD_COLUMN, apply), *(unless_there(*_add_constraint(work, table, item)) for item in text.constraints)]


def _read_drop(work: Work, table: int) -> _Ranked:
    reader = work.reader
    is_constraint = reader.accept("CONSTRAINT")
    if not is_constraint:
        reader.accept("COLUMN")
    if_exists = reader.accept("IF", "EXISTS")
    name = reader.name()
    cascade = work.accept_cascade()

    def apply(catalog: Catalog) -> Change:
        of = catalog.table(table)
        if if_exists and (name not in constraint_names(of) if is_constraint else of.column(name) is None):
            kind = "constraint" if is_constraint else "column"
            work.notice(f'{kind} "{name}" of relation "{of.name}" does not exist, skipping')
            return Change(catalog)
        drop = constraints.drop_constraint if is_constraint else alteration.drop_column
        return drop(catalog, table, name, cascade)

    return _DROP, apply


def _read_alter_column(work: Work, table: int) -> _Ranked:
    """Behind ALTER [COLUMN]."""
    reader = work.reader
    name = reader.name()
    if reader.accept("SET", "NOT", "NULL"):
        return _COLUMN, lambda catalog: alteration.set_not_null(catalog, table, name)
    if reader.accept("DROP", "NOT", "NULL"):
        return _DROP, lambda catalog: Change(alteration.drop_not_null(catalog, table, name))
    if reader.accept("DROP", "DEFAULT"):
        return _DROP, lambda catalog: Change(alteration.set_default(catalog, table, name, None))
    if reader.accept("SET", "DEFAULT"):
        part = reader.until({","})

        def apply(catalog: Catalog) -> Change:
            of = catalog.table(table)
            column = of.column(name)
            if column is None:
                raise UndefinedColumn(f'column "{name}" of relation "{of.name}" does not exist', table=of.name,
                                      column=name)
            bound = x.default(work.queries, part, column.type, name, x.Columns.of(of))
            return Change(alteration.set_default(catalog, table, name, bound))

        return _CONSTRAINT, apply
    if reader.accept("TYPE") or reader.accept("SET", "DATA", "TYPE"):
        text = read_type(work, name)
        return _TYPE, lambda catalog: change_type(work, catalog, table, text)
    reader.refuse("ADD GENERATED", "DROP IDENTITY", "DROP EXPRESSION", "SET GENERATED", "SET STATISTICS", "SET STORAGE",
                  "SET COMPRESSION", "RESTART", "SET (", "RESET (")
    raise reader.failure()


def _read_validate(work: Work, table: int) -> _Ranked:
    """All constraints hold for all rows: there is no NOT VALID."""
    name = work.reader.name()

    def apply(catalog: Catalog) -> Change:
        of = catalog.table(table)
        if name not in constraint_names(of):
            raise UndefinedObject(f'constraint "{name}" of relation "{of.name}" does not exist', table=of.name,
                                  constraint=name)
        return Change(catalog)

    return _OTHER, apply


# -------------------------------------------------------------------- the other kinds

def bind_alter_index(work: Work) -> None:
    """Behind ALTER INDEX."""
    reader = work.reader
    if_exists = reader.accept("IF", "EXISTS")
    name = reader.qualified()
    found = find_index(work, name, if_exists)
    reader.refuse("SET", "RESET", "ATTACH", "ALTER", "DEPENDS", "NO DEPENDS")
    reader.expect("RENAME", "TO")
    new_name = reader.name()
    reader.end()
    if found is not None:
        work.add(lambda catalog: Change(constraints.rename_index(catalog, found.id, name.name, new_name)))


def find_index(work: Work, name: QualifiedName, if_exists: bool) -> Table | None:
    """The table of an index. UndefinedObject, UndefinedSchema."""
    if if_exists and name.schema and work.names.catalog.schema(work.names.database.id, name.schema) is None:
        work.notice(f'schema "{name.schema}" does not exist, skipping')
        return None
    path = work.names.path(name.schema, name.position)
    found = work.names.catalog.find_index(path, name.name)
    if found is not None:
        return found[0]
    if work.names.catalog.find(path, name.name) is not None:
        raise WrongObjectType(f'"{name.name}" is not an index', position=name.position, table=name.name)
    if not if_exists:
        raise UndefinedObject(f'index "{name}" does not exist', position=name.position)
    work.notice(f'index "{name}" does not exist, skipping')
    return None


def bind_alter_sequence(work: Work) -> None:
    """Behind ALTER SEQUENCE."""
    reader = work.reader
    if_exists = reader.accept("IF", "EXISTS")
    name = reader.qualified()
    found = find(work, name, if_exists)
    if found is not None and not isinstance(found, Sequence):
        raise _wrong_type(name, "sequence")
    if reader.accept("RENAME", "TO"):
        new_name = reader.name()
        reader.end()
        if found is not None:
            work.add(lambda catalog: Change(d.rename_relation(catalog, found.id, new_name)))
        return
    reader.refuse("SET", "OWNER TO")
    options = sequence_options(reader, of_sequence=True)
    if options.type is not None:
        raise reader.unsupported("changing the type of a sequence")
    if not (options.values or options.is_restarted or options.owner is not None):
        raise reader.failure()
    reader.end()
    if found is None:
        return
    if options.values or options.owner is not None:
        work.add(lambda catalog: _alter_sequence(work, catalog, found.id, options))
    if options.is_restarted:
        work.definition.steps.append(Restart(found.id, options.restart))


def _alter_sequence(work: Work, catalog: Catalog, sequence: int, options: SequenceOptions) -> Change:
    old = catalog.sequence(sequence)
    if options.values:
        given = {"start": old.start, "increment": old.increment, "minimum": old.minimum, "maximum": old.maximum,
                 "is_cyclic": old.is_cyclic, "cache": old.cache, **options.values}
        catalog = d.alter_sequence(catalog, sequence, d.SequenceDefinition("sequence", **given))
    if options.owner is not None:
        owner = sequence_owner(work, catalog, options.owner)
        catalog = catalog.with_object(replace(catalog.sequence(sequence), owner=owner))
    return Change(catalog)


def sequence_owner(work: Work, catalog: Catalog, path: list[str]) -> tuple[int, int] | None:
    """OWNED BY table.column as ids; None for NONE. WrongObjectType, UndefinedTable, UndefinedColumn."""
    if not path:
        return None
    if len(path) not in (2, 3):
        raise WrongObjectType("OWNED BY takes table.column or NONE")
    table = work.names_in(catalog).table(path[-2], path[0] if len(path) == 3 else "")
    column = table.column(path[-1])
    if column is None:
        raise UndefinedColumn(f'column "{path[-1]}" of relation "{table.name}" does not exist', table=table.name,
                              column=path[-1])
    return table.id, column.id


def bind_alter_schema(work: Work) -> None:
    """Behind ALTER SCHEMA."""
    reader = work.reader
    position = reader.position
    schema = work.names.schema(reader.name(), position)
    reader.refuse("OWNER TO")
    reader.expect("RENAME", "TO")
    new_name = reader.name()
    reader.end()
    work.add(lambda catalog: Change(d.rename_schema(catalog, schema.id, new_name)))
