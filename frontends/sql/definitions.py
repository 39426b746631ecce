"""Statements that define things: CREATE, ALTER, DROP, COMMENT and TRUNCATE, to steps (definitions_steps.py).

    DefinitionBinder(queries).bind(statement)  ->  Definition("CREATE TABLE", [ChangeCatalog(...)], notices)

The text is read to its end when it is bound, and the objects that it changes are looked up. What it says about them
is bound when the step is taken, with the catalog as it is then: ADD COLUMN a, ADD CHECK (a > 0) are two steps. IF
EXISTS and IF NOT EXISTS leave a notice and no step. A definition has no parameters.

Our own words: CREATE COLLECTION (definitions_tables.py), fields and options of an index (definitions_indexes.py).
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from phantomdb.core.catalog import alteration, constraints
from phantomdb.core.catalog import definition as d
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.dependencies import drop_relations
from phantomdb.core.catalog.objects import Sequence, Table, View
from phantomdb.core.catalog.work import Change, RebindView, RowWork
from phantomdb.core.query import plan
from phantomdb.core.query.builder import Builder
from phantomdb.core.query.errors import (
    DependentObjects, FeatureNotSupported, InvalidColumnReference, QueryError, UndefinedColumn, UndefinedSchema,
    WrongObjectType,
)
from phantomdb.core.values import BIGINT
from phantomdb.frontends.sql.definitions_alterations import (
    bind_alter_index, bind_alter_schema, bind_alter_sequence, bind_alter_table, find, find_index, sequence_owner,
)
from phantomdb.frontends.sql.definitions_indexes import bind_create_index
from phantomdb.frontends.sql.definitions_sequences import sequence_options
from phantomdb.frontends.sql.definitions_steps import (
    ChangeCatalog, Clear, Definition, Fill, Restart, Step, Work,
)
from phantomdb.frontends.sql.definitions_tables import bind_create_collection, bind_create_table
from phantomdb.frontends.sql.names import Names
from phantomdb.frontends.sql.parse import Statement, split
from phantomdb.frontends.sql.queries import QueryBinder
from phantomdb.frontends.sql.reader import Part, Reader

__all__ = ["ChangeCatalog", "Clear", "Definition", "DefinitionBinder", "Fill", "Restart", "Step"]

WORDS = ("CREATE", "ALTER", "DROP", "COMMENT", "TRUNCATE")       # the first of a definition
_RELATIONS: dict[str, type[Table] | type[View] | type[Sequence]] = {
    "TABLE": Table, "COLLECTION": Table, "VIEW": View, "SEQUENCE": Sequence}
_ALTERED: dict[str, Callable[[Work], None]] = {
    "TABLE": partial(bind_alter_table, kind=Table, word="table"),
    "COLLECTION": partial(bind_alter_table, kind=Table, word="collection"),
    "VIEW": partial(bind_alter_table, kind=View, word="view"),
    "INDEX": bind_alter_index, "SEQUENCE": bind_alter_sequence, "SCHEMA": bind_alter_schema}
# What PostgreSQL can define and we cannot.
_OTHER_KINDS = frozenset("""
    ACCESS AGGREGATE CAST COLLATION CONSTRAINT CONVERSION DEFAULT DOMAIN EVENT EXTENSION FOREIGN FUNCTION GROUP LANGUAGE
    LARGE MATERIALIZED OPERATOR OWNED POLICY PROCEDURE PUBLICATION RECURSIVE ROLE ROUTINE RULE SERVER STATISTICS
    SUBSCRIPTION SYSTEM TABLESPACE TEXT TRANSFORM TRIGGER TYPE USER""".split())


class DefinitionBinder:
    """Binds definitions in the names of `queries`."""

    def __init__(self, queries: QueryBinder) -> None:
        self.queries = queries

    def bind(self, statement: Statement) -> Definition:
        """All errors of definitions: SyntaxFailure, FeatureNotSupported, those of the names it uses; what is wrong with
        the definition itself is raised by its steps."""
        reader = Reader(statement)
        method = {"CREATE": self._create, "ALTER": self._alter, "DROP": self._drop, "COMMENT": self._comment,
                  "TRUNCATE": self._truncate}.get(reader.word())
        if method is None:
            raise reader.failure()
        verb = reader.accept_any(*WORDS)
        work = Work(self.queries, reader, verb)
        method(work)
        reader.end()
        return work.definition

    # ---------------------------------------------------------------- CREATE

    def _create(self, work: Work) -> None:
        reader = work.reader
        or_replace = reader.accept("OR", "REPLACE")
        reader.accept_any("GLOBAL", "LOCAL")
        if reader.word() in ("TEMP", "TEMPORARY"):
            raise reader.unsupported("a temporary table, view or sequence (TEMP); make a table in a schema of its own")
        reader.refuse("UNLOGGED")
        is_unique = reader.accept("UNIQUE")
        word = self._kind(work, "CREATE")
        if (or_replace and word != "VIEW") or (is_unique and word != "INDEX"):
            reader.index -= 1
            raise reader.failure()
        if word == "VIEW":
            self._create_view(work, or_replace)
        elif word == "INDEX":
            bind_create_index(work, is_unique=is_unique)
        elif word == "TABLE":
            bind_create_table(work)
        elif word == "COLLECTION":
            bind_create_collection(work)
        elif word == "SEQUENCE":
            self._create_sequence(work)
        elif word == "SCHEMA":
            self._create_schema(work)
        else:
            self._create_database(work)

    @staticmethod
    def _kind(work: Work, verb: str) -> str:
        """TABLE, INDEX, ...: what is defined."""
        reader = work.reader
        if reader.word() in _OTHER_KINDS:
            raise reader.unsupported(f"{verb} {reader.word()}")
        word = reader.accept_any(*_RELATIONS, "INDEX", "SCHEMA", "DATABASE")
        if not word:
            raise reader.failure()
        work.definition.tag = f"{verb} {word}"
        return word

    def _create_schema(self, work: Work) -> None:
        reader = work.reader
        may_exist = reader.accept("IF", "NOT", "EXISTS")
        reader.refuse("AUTHORIZATION")
        name = reader.name()
        reader.refuse("AUTHORIZATION", "CREATE", "GRANT")
        database = work.names.database.id
        if may_exist and work.names.catalog.schema(database, name) is not None:
            work.notice(f'schema "{name}" already exists, skipping')
        else:
            work.add(lambda catalog: d.create_schema(catalog, database, name))

    def _create_database(self, work: Work) -> None:
        reader = work.reader
        may_exist = reader.accept("IF", "NOT", "EXISTS")
        name = reader.name()
        if not reader.is_at_end():
            raise reader.unsupported("an option of CREATE DATABASE")
        if may_exist and work.names.catalog.database(name) is not None:
            work.notice(f'database "{name}" already exists, skipping')
        else:
            work.add(lambda catalog: d.create_database(catalog, name))

    def _create_sequence(self, work: Work) -> None:
        reader = work.reader
        may_exist = reader.accept("IF", "NOT", "EXISTS")
        name = reader.qualified()
        options = sequence_options(reader, of_sequence=True)
        if options.is_restarted:
            raise reader.failure()
        schema = work.names.creation_schema(name.schema, name.position).id
        if may_exist and work.names.catalog.is_taken(schema, name.name):
            work.notice(f'relation "{name.name}" already exists, skipping')
            return
        work.add(lambda catalog: d.create_sequence(
            catalog, schema, d.SequenceDefinition(name.name, **options.values), options.type or BIGINT,
            sequence_owner(work, catalog, options.owner or [])))

    # ---------------------------------------------------------------- views

    def _create_view(self, work: Work, or_replace: bool) -> None:
        reader = work.reader
        name = reader.qualified()
        columns = reader.names() if reader.word() == "(" else ()
        reader.refuse("WITH")
        reader.expect("AS")
        for words in ("CHECK OPTION", "LOCAL CHECK OPTION", "CASCADED CHECK OPTION"):
            if reader.ends_with("WITH", *words.split(" ")):
                raise reader.unsupported(f"WITH {words}")
        part = reader.rest()
        schema = work.names.creation_schema(name.schema, name.position).id
        definition = self._view(name.name, columns, part)

        def apply(catalog: Catalog) -> Change:
            return self._with_views_over(d.create_view(catalog, schema, definition, or_replace))

        work.add(apply)

    def _view(self, name: str, columns: tuple[str, ...], part: Part) -> d.ViewDefinition:
        """InvalidColumnReference, and all errors of queries."""
        node, as_of = part.query()
        queries, names = self.queries, self.queries.names
        queries.as_of.update(as_of)
        used, names.used = names.used, set()
        try:
            query = queries.settled(queries.bind(node))
            views = tuple(number for number in sorted(names.used) if isinstance(names.catalog.get(number), View))
        finally:
            names.used |= used
        if len(columns) > len(query.names):
            raise InvalidColumnReference("CREATE VIEW specifies more column names than columns", position=part.position)
        shown = (*columns, *query.names[len(columns):])
        return d.ViewDefinition(name, shown, tuple(column.type for column in query.columns), part.text,
                                plan.Query(query.plan, shown, query.columns), views)

    def _with_views_over(self, change: Change) -> Change:
        """A view that was replaced: those made of it are bound anew. QueryError: one does not fit any more."""
        catalog, rest = change.catalog, list[RowWork]()
        for item in change.work:
            if isinstance(item, RebindView):
                catalog = self._rebound(catalog, catalog.view(item.view))
            else:
                rest.append(item)
        return change._replace(catalog=catalog, work=tuple(rest))

    def _rebound(self, catalog: Catalog, view: View) -> Catalog:
        """The names in its text are looked up in its own schema first."""
        names = self.queries.names
        own = catalog.schema_by_id(view.schema).name
        queries = QueryBinder(Builder(), Names(catalog, names.database.name, [own, *names.search_path]))
        statement = split(view.text)[0]
        try:
            made = DefinitionBinder(queries)._view(view.name, view.column_names, Part(statement, statement.tokens))
            return d.create_view(catalog, view.schema, made, or_replace=True).catalog
        except QueryError as error:
            raise DependentObjects(f'view "{view.name}", which is made of it, would not fit any more: {error}'
                                   ) from error

    # ---------------------------------------------------------------- ALTER, DROP

    def _alter(self, work: Work) -> None:
        word = self._kind(work, "ALTER")
        if word == "DATABASE":
            raise work.reader.unsupported("ALTER DATABASE")
        _ALTERED[word](work)

    def _drop(self, work: Work) -> None:
        reader = work.reader
        word = self._kind(work, "DROP")
        if word == "INDEX":
            reader.accept("CONCURRENTLY")
        if_exists = reader.accept("IF", "EXISTS")
        if word == "DATABASE":
            self._drop_database(work, if_exists)
            return
        names = [reader.qualified()]
        while reader.accept(","):
            names.append(reader.qualified())
        cascade = work.accept_cascade()
        if word == "INDEX":
            for name in names:
                if (table := find_index(work, name, if_exists)) is not None:
                    work.add(partial(constraints.drop_index, table=table.id, name=name.name, cascade=cascade))
            return
        if word == "SCHEMA":
            for name in names:
                if name.schema:
                    raise FeatureNotSupported(f"cross-database references are not implemented: {name}",
                                              position=name.position)
                self._drop_schema(work, name.name, name.position, if_exists, cascade)
            return
        ids = []
        for name in names:
            found = find(work, name, if_exists, word.lower())
            if found is None:
                continue
            is_strict = isinstance(found, Table) and not found.is_flexible
            if not isinstance(found, _RELATIONS[word]) or (word == "COLLECTION" and is_strict):
                raise WrongObjectType(f'"{name.name}" is not a {word.lower()}', position=name.position, table=name.name)
            ids.append(found.id)
        if ids:
            work.add(lambda catalog: drop_relations(catalog, ids, cascade))

    @staticmethod
    def _drop_schema(work: Work, name: str, position: int, if_exists: bool, cascade: bool) -> None:
        found = work.names.catalog.schema(work.names.database.id, name)
        if found is not None:
            work.add(partial(d.drop_schema, schema=found.id, cascade=cascade))
        elif if_exists:
            work.notice(f'schema "{name}" does not exist, skipping')
        else:
            raise UndefinedSchema(f'schema "{name}" does not exist', position=position)

    @staticmethod
    def _drop_database(work: Work, if_exists: bool) -> None:
        reader = work.reader
        position, name = reader.position, reader.name()
        reader.refuse("WITH", "(")
        found = work.names.catalog.database(name)
        if found is None:
            if not if_exists:
                raise UndefinedSchema(f'database "{name}" does not exist', position=position)
            work.notice(f'database "{name}" does not exist, skipping')
        elif found.id == work.names.database.id:
            raise DependentObjects("cannot drop the currently open database", position=position)
        else:
            work.add(partial(d.drop_database, database=found.id))

    # ---------------------------------------------------------------- COMMENT, TRUNCATE

    @staticmethod
    def _comment(work: Work) -> None:
        """COMMENT ON TABLE t IS '...', COLUMN t.a, COLLECTION c; NULL for none."""
        reader = work.reader
        reader.expect("ON")
        word = reader.accept_any("TABLE", "COLLECTION", "COLUMN")
        if not word:
            raise reader.unsupported(f"COMMENT ON {reader.word()}")
        position = reader.position
        path = reader.dotted()
        column = path.pop() if word == "COLUMN" else None
        if not 1 <= len(path) <= 2:
            raise WrongObjectType("a comment is on table.column" if not path else "a name of too many parts",
                                  position=position)
        reader.expect("IS")
        comment = "" if reader.accept("NULL") else reader.string()
        table = work.names.table(path[-1], path[0] if len(path) == 2 else "", position)
        if column is not None and table.column(column) is None:
            raise UndefinedColumn(f'column "{column}" of relation "{table.name}" does not exist', position=position,
                                  table=table.name, column=column)
        work.add(lambda catalog: Change(alteration.set_comment(catalog, table.id, comment, column)))

    def _truncate(self, work: Work) -> None:
        reader, names = work.reader, work.names
        work.definition.tag = "TRUNCATE TABLE"
        reader.accept("TABLE")
        tables: dict[int, Table] = {}
        while True:
            reader.accept("ONLY")
            name = reader.qualified()
            table = names.table(name.name, name.schema, name.position)
            tables[table.id] = table
            reader.accept("*")
            if not reader.accept(","):
                break
        does_restart = reader.accept("RESTART", "IDENTITY")
        if not does_restart:
            reader.accept("CONTINUE", "IDENTITY")
        cascade = work.accept_cascade()
        waiting = list(tables.values())
        while waiting:
            table = waiting.pop(0)
            for user, key in names.catalog.referencing(table.id):
                if user.id in tables:
                    continue
                if not cascade:
                    raise FeatureNotSupported(
                        "cannot truncate a table referenced in a foreign key constraint", table=table.name,
                        constraint=key.name,
                        detail=f'table "{user.name}" references "{table.name}"; truncate it at the same time, or use '
                               "CASCADE")
                work.notice(f'truncate cascades to table "{user.name}"')
                tables[user.id] = user
                waiting.append(user)
        work.definition.steps.append(Clear(tuple(tables)))
        if does_restart:
            work.definition.steps += [Restart(sequence) for sequence in _sequences(names.catalog, tables.values())]


def _sequences(catalog: Catalog, tables: Iterable[Table]) -> list[int]:
    """Those that columns of the tables own."""
    return [sequence.id for table in tables for sequence in catalog.owned_sequences(table.id)]
