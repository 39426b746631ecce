"""CREATE TABLE in its forms, and CREATE COLLECTION.

    CREATE TABLE [IF NOT EXISTS] name ( column | constraint | LIKE table [INCLUDING ...] , ... )
    CREATE TABLE [IF NOT EXISTS] name [(a, b)] AS query [WITH [NO] DATA]
    CREATE COLLECTION [IF NOT EXISTS] name [WITH (validator = 'JSON Schema')]
"""
from __future__ import annotations

from dataclasses import dataclass, field, replace

from phantomdb.core.catalog import definition as d
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.constraints import (
    CheckDefinition, ConstraintDefinition, IndexDefinition, KeyDefinition, create_index, set_index_state,
)
from phantomdb.core.catalog.objects import Column, IndexState, StoredExpression, Table
from phantomdb.core.catalog.work import Change
from phantomdb.core.query import coercion, plan
from phantomdb.core.query.errors import InvalidColumnReference, InvalidParameterValue
from phantomdb.core.query.rewrite import transform
from phantomdb.core.values import Kind, Type
from phantomdb.frontends.sql import definitions_expressions as x
from phantomdb.frontends.sql.definitions_columns import (
    CONSTRAINT_WORDS, ColumnText, ConstraintText, bind_column, bind_constraint, read_column, read_constraint,
)
from phantomdb.frontends.sql.definitions_steps import Fill, Work
from phantomdb.frontends.sql.reader import QualifiedName, Reader

_LIKE_OPTIONS = {"COMMENTS", "CONSTRAINTS", "DEFAULTS", "GENERATED", "IDENTITY", "INDEXES"}
# PostgreSQL has them; here there is nothing to copy.
_LIKE_OPTIONS_WITHOUT_MEANING = {"COMPRESSION", "STATISTICS", "STORAGE"}


@dataclass(slots=True)
class _LikeText:
    source: QualifiedName
    options: set[str]


@dataclass(slots=True)
class _TableText:
    items: list[ColumnText | _LikeText] = field(default_factory=list)
    constraints: list[ConstraintText] = field(default_factory=list)


@dataclass(slots=True)
class _Made:
    """A table's definition while it is put together."""

    columns: list[d.ColumnDefinition] = field(default_factory=list)
    constraints: list[ConstraintDefinition] = field(default_factory=list)
    indexes: list[IndexDefinition] = field(default_factory=list)


def bind_create_table(work: Work) -> None:
    """Behind CREATE TABLE."""
    reader = work.reader
    may_exist = reader.accept("IF", "NOT", "EXISTS")
    name = reader.qualified()
    reader.refuse("PARTITION OF", "OF")
    if reader.word() == "AS" or (reader.word() == "(" and _is_list_of_names(reader)):
        _bind_create_as(work, name, may_exist)
        return
    text = _read(reader)
    schema = work.names.creation_schema(name.schema, name.position).id
    if may_exist and _is_there(work, schema, name.name):
        return

    def apply(catalog: Catalog) -> Change:
        return _create(work, catalog, schema, name.name, text)

    work.add(apply)


def bind_create_collection(work: Work) -> None:
    """Behind CREATE COLLECTION."""
    reader = work.reader
    may_exist = reader.accept("IF", "NOT", "EXISTS")
    name = reader.qualified()
    validator = ""
    if reader.accept("WITH"):
        reader.expect("(")
        validator = read_validator(reader)
        reader.expect(")")
    reader.end()
    schema = work.names.creation_schema(name.schema, name.position).id
    if not (may_exist and _is_there(work, schema, name.name)):
        work.add(lambda catalog: d.create_table(catalog, schema, d.collection(name.name, validator)))


def read_validator(reader: Reader) -> str:
    """validator = 'JSON Schema'. InvalidParameterValue: no JSON object."""
    import msgspec
    position = reader.position
    if reader.name() != "validator":
        raise InvalidParameterValue("the option of a collection is validator", position=position)
    reader.expect("=")
    text = reader.string()
    try:
        msgspec.json.decode(text, type=dict)
    except msgspec.DecodeError as error:
        raise InvalidParameterValue(f"a validator is a JSON Schema, which is a JSON object: {error}", position=position
                                    ) from None
    return text


def _is_there(work: Work, schema: int, name: str) -> bool:
    if not work.names.catalog.is_taken(schema, name):
        return False
    work.notice(f'relation "{name}" already exists, skipping')
    return True


# -------------------------------------------------------------------- columns and constraints

def _read(reader: Reader) -> _TableText:
    text = _TableText()
    reader.expect("(")
    while reader.word() != ")":
        if reader.accept("LIKE"):
            text.items.append(_read_like(reader))
        elif reader.word() in CONSTRAINT_WORDS:
            text.constraints.append(read_constraint(reader))
        else:
            text.items.append(read_column(reader))
        if not reader.accept(","):
            break
        if reader.word() == ")":
            raise reader.failure()
    reader.expect(")")
    reader.refuse("INHERITS", "PARTITION BY", "USING", "WITH", "WITHOUT", "ON COMMIT", "TABLESPACE")
    reader.end()
    return text


def _read_like(reader: Reader) -> _LikeText:
    source = reader.qualified()
    options: set[str] = set()
    while word := reader.accept_any("INCLUDING", "EXCLUDING"):
        named = reader.accept_any("ALL", *_LIKE_OPTIONS, *_LIKE_OPTIONS_WITHOUT_MEANING)
        if not named:
            raise reader.failure()
        changed = _LIKE_OPTIONS if named == "ALL" else {named}
        options = options | changed if word == "INCLUDING" else options - changed
    return _LikeText(source, options)


def _create(work: Work, catalog: Catalog, schema: int, name: str, text: _TableText) -> Change:
    names = work.names_in(catalog)
    made = _Made()
    plain = _numbered(work, catalog, text)
    columns = x.Columns(name, plain)
    own: list[ConstraintText] = []
    for item in text.items:
        if isinstance(item, _LikeText):
            source = names.table(item.source.name, item.source.schema, item.source.position)
            _copy(catalog, source, item.options, made, work)
        else:
            made.columns.append(bind_column(work.queries, item, columns))
            own += item.constraints
    for constraint in [*own, *text.constraints]:
        made.constraints.append(bind_constraint(work.queries, names, constraint, columns, (schema, name)))
    change = d.create_table(catalog, schema, d.TableDefinition(name, tuple(made.columns), tuple(made.constraints)))
    catalog = change.catalog
    for index in made.indexes:
        added = create_index(catalog, change.created, index)
        catalog = set_index_state(added.catalog, change.created, added.created, IndexState.PUBLIC)
    return change._replace(catalog=catalog)


def _numbered(work: Work, catalog: Catalog, text: _TableText) -> list[plan.Column]:
    """The columns the table will have."""
    found: list[plan.Column] = []
    for item in text.items:
        if isinstance(item, _LikeText):
            source = work.names_in(catalog).table(item.source.name, item.source.schema, item.source.position)
            given = [(column.type, column.name) for column in source.columns]
        else:
            given = [(item.type, item.name)]
        found += [plan.Column(type_, len(found) + place, name) for place, (type_, name) in enumerate(given, 1)]
    return found


# -------------------------------------------------------------------- LIKE

def _copy(catalog: Catalog, source: Table, options: set[str], made: _Made, work: Work) -> None:
    """Columns of `source` with what the options name. Foreign keys are never copied."""
    if source.is_flexible:
        raise work.reader.unsupported("LIKE of a collection")
    numbers = {column.id: len(made.columns) + place for place, column in enumerate(source.columns, 1)}
    for column in source.columns:
        made.columns.append(_copied_column(catalog, column, options, numbers))
    if "CONSTRAINTS" in options:
        made.constraints += [CheckDefinition(_renumbered(check.condition, numbers), check.name)
                             for check in source.checks]
    if "INDEXES" not in options:
        return
    if not source.has_hidden_key:
        made.constraints.append(KeyDefinition(tuple(source.column_by_id(number).name for number in source.primary_key),
                                              is_primary=True))
    for index in source.indexes:
        if index.is_constraint:
            made.constraints.append(KeyDefinition(
                tuple(source.column_by_id(part.column or 0).name for part in index.columns), "", False,
                index.is_deferrable, index.is_deferred, index.nulls_distinct))
            continue
        parts = tuple(replace(part, column=None if part.column is None else numbers[part.column],
                              expression=None if part.expression is None else _renumbered(part.expression, numbers))
                      for part in index.columns)
        made.indexes.append(IndexDefinition(
            parts, "", index.is_unique, index.nulls_distinct,
            None if index.predicate is None else _renumbered(index.predicate, numbers), index.is_multi_key,
            index.ttl_s))


def _copied_column(catalog: Catalog, column: Column, options: set[str], numbers: dict[int, int]) -> d.ColumnDefinition:
    default = column.default if "DEFAULTS" in options else None
    generated = column.generated if "GENERATED" in options else None
    sequence = None
    if column.identity and column.sequence is not None and "IDENTITY" in options:
        of = catalog.sequence(column.sequence)
        sequence = d.SequenceDefinition("", of.start, of.increment, of.minimum, of.maximum, of.is_cyclic, of.cache)
    elif column.sequence is not None and not column.identity and "DEFAULTS" in options:
        of = catalog.sequence(column.sequence)               # serial: the default is the same sequence
        default = StoredExpression(f"nextval('{of.name}')", _next_value(catalog, column.sequence))
    return d.ColumnDefinition(
        column.name, column.type, column.is_nullable, default,
        None if generated is None else _renumbered(generated, numbers), column.identity if sequence else "", sequence,
        column.comment if "COMMENTS" in options else "")


def _next_value(catalog: Catalog, sequence: int) -> plan.Expression:
    from phantomdb.core.query.builder import Builder
    of = catalog.sequence(sequence)
    builder = Builder()
    return builder.call("nextval", [builder.literal(f"{catalog.schema_by_id(of.schema).name}.{of.name}")])


def _renumbered(expression: StoredExpression, numbers: dict[int, int]) -> StoredExpression:
    def change(part: object) -> object:
        return replace(part, id=numbers[part.id]) if isinstance(part, plan.Column) else part

    return StoredExpression(expression.text, transform(expression.bound, change))


# -------------------------------------------------------------------- AS query

def _is_list_of_names(reader: Reader) -> bool:
    """Whether (a, b, ...) AS comes next."""
    ahead = 1
    while reader.word(ahead) not in ("", ")") or ahead == 1:
        if ahead % 2 == 0 and reader.word(ahead) != ",":
            return False
        ahead += 1
        if reader.index + ahead >= len(reader.tokens):
            return False
    return reader.word(ahead) == ")" and reader.word(ahead + 1) == "AS"


def _bind_create_as(work: Work, name: QualifiedName, may_exist: bool) -> None:
    reader = work.reader
    names = reader.names() if reader.word() == "(" else ()
    reader.expect("AS")
    reader.refuse("EXECUTE")
    has_data, ending = True, tuple[str, ...]()
    for words, says_data in ((("WITH", "NO", "DATA"), False), (("WITH", "DATA"), True)):
        if reader.ends_with(*words):
            has_data, ending = says_data, words
    part = reader.rest(*ending)
    schema = work.names.creation_schema(name.schema, name.position).id
    if may_exist and _is_there(work, schema, name.name):
        return
    node, as_of = part.query()
    work.queries.as_of.update(as_of)
    query = work.queries.settled(work.queries.bind(node))
    if len(names) > len(query.names):
        raise InvalidColumnReference("too many column names were specified", position=part.position)
    shown = (*names, *query.names[len(names):])
    columns = tuple(d.ColumnDefinition(shown_name, _kept_type(query.plan, column))
                    for shown_name, column in zip(shown, query.columns, strict=True))

    def insert(_catalog: Catalog, created: int) -> plan.Insert:
        return plan.Insert(created, query.plan, tuple(plan.Assignment(number, column)
                                                      for number, column in enumerate(query.columns, 1)))

    work.add(lambda catalog: d.create_table(catalog, schema, d.TableDefinition(name.name, columns)))
    if has_data:
        work.definition.tag = "SELECT"
        work.definition.steps.append(Fill(insert))
    else:
        work.definition.tag = "CREATE TABLE AS"


def _kept_type(node: plan.Node, column: plan.Column) -> Type:
    """The type of a column that CREATE TABLE AS makes: a number that was computed may have any digits later."""
    while isinstance(node, (plan.Sort, plan.Limit, plan.Distinct)):
        node = node.input
    is_plain = isinstance(node, plan.Project) and any(
        item.column == column and isinstance(item.expression, plan.Column) for item in node.items)
    return column.type if is_plain or column.type.kind is not Kind.DECIMAL else coercion.without_parameters(column.type)
