"""Tables made and written without SQL, and the question whether index and table agree."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import phantomdb
from phantomdb.core.catalog import constraints, definition
from phantomdb.core.catalog.catalog import PUBLIC_ID, Catalog
from phantomdb.core.catalog.objects import IndexColumn, StoredExpression, Table
from phantomdb.core.catalog.work import Change
from phantomdb.core.query.plan import Call, Column, Expression, Literal
from phantomdb.core.tables import work
from phantomdb.core.tables.rows import RowTransaction, TableStore
from phantomdb.core.tables.statement import RowStatement
from phantomdb.core.tables.writer import TableWriter
from phantomdb.core.values import BOOL, INT, Type


class Work(NamedTuple):
    """One transaction with one statement."""

    rows: RowTransaction
    statement: RowStatement

    def writer(self, table: int) -> TableWriter:
        return self.statement.writer(table)


class House:
    def __init__(self, database: phantomdb.Database) -> None:
        self.database = database
        self.tables = TableStore(database.store)

    @contextmanager
    def transaction(self, **options: Any) -> Iterator[RowTransaction]:
        with self.database.transaction(**options) as transaction:
            rows = self.tables.rows(transaction)
            yield rows
            rows.check_deferred()

    @contextmanager
    def work(self, **options: Any) -> Iterator[Work]:
        with self.transaction(**options) as rows:
            statement = RowStatement(rows)
            yield Work(rows, statement)
            statement.finish()

    def change(self, function: Callable[[Catalog], Change], is_online: bool = False) -> int:
        """Makes a change of the catalog with its work; the id of what was made."""
        with self.transaction() as rows:
            change = function(rows.catalog)
            rows.catalog = change.catalog
            later: Sequence[Any] = ()
            if is_online:
                later = [item for item in change.work if isinstance(item, work.BuildIndex)]
                change = change._replace(work=tuple(item for item in change.work if item not in later))
            self.tables.catalogs.change(rows.transaction, work.execute(rows, change.work))
        return change.created

    def table(self, name: str, columns: dict[str, Any], *given: Any, key: Sequence[str] = (), **options: Any) -> int:
        """Makes a table; a column is its type or the other arguments of ColumnDefinition."""
        made = tuple(definition.ColumnDefinition(name, **column) if isinstance(column, dict)
                     else definition.ColumnDefinition(name, column) for name, column in columns.items())
        keys = (constraints.KeyDefinition(tuple(key), is_primary=True),) if key else ()
        return self.change(lambda catalog: definition.create_table(
            catalog, PUBLIC_ID, definition.TableDefinition(name, made, (*keys, *given), **options)))

    def index(self, table: int, *columns: Any, is_online: bool = False, **options: Any) -> int:
        """Makes an index over column ids or IndexColumns."""
        parts = tuple(part if isinstance(part, IndexColumn) else IndexColumn(part) for part in columns)
        return self.change(lambda catalog: constraints.create_index(
            catalog, table, constraints.IndexDefinition(parts, **options)), is_online)

    def definition(self, table: int) -> Table:
        with self.transaction() as rows:
            return rows.catalog.table(table)

    def insert(self, table: int, *values: Sequence[Any], **options: Any) -> list[Any]:
        with self.work(**options) as made:
            return [made.writer(table).insert(row) for row in values]

    def rows(self, table: int) -> list[Any]:
        with self.transaction() as rows:
            return [row for _, row in rows.scan(rows.layout(table))]

    def update(self, table: int, change: Callable[[tuple[Any, ...]], Sequence[Any] | None], **options: Any) -> None:
        """One statement: `change` gives each row's new values, or None to leave it."""
        with self.work(**options) as made:
            self.update_in(made, table, change)

    def update_in(self, made: Work, table: int, change: Callable[[tuple[Any, ...]], Sequence[Any] | None]) -> None:
        for row_key, row in list(made.rows.scan(made.rows.layout(table))):
            if (values := change(row)) is not None:
                made.writer(table).update(row_key, row, values)

    def delete(self, table: int, test: Callable[[tuple[Any, ...]], bool] = lambda row: True) -> None:
        with self.work() as made:
            for row_key, row in list(made.rows.scan(made.rows.layout(table))):
                if test(row):
                    made.writer(table).delete(row_key, row)

    def check(self, table: int) -> None:
        """Every index has the entries of the rows that are there, and no others."""
        with self.transaction() as rows:
            layout = rows.layout(table)
            stored = list(rows.space.scan(*layout.range()))
            for index in layout.indexes:
                wanted: dict[bytes, bytes] = {}
                for key, record in stored:
                    wanted |= index.entries(layout.decode(key, record), key[4:])
                found = dict(rows.space.scan(index.keys.start, index.keys.stop))
                assert found == wanted, index.index.name
                for key, value in found.items():
                    assert rows.space.get(layout.key_of(index.row_key(key, value))) is not None


def stored(bound: Expression, text: str = "...") -> StoredExpression:
    return StoredExpression(text, bound)


def column(number: int, type_: Type = INT) -> Column:
    return Column(type_, number)


def literal(value: Any, type_: Type = INT) -> Literal:
    return Literal(type_, value)


def call(name: str, *arguments: Expression, type_: Type = BOOL) -> Call:
    return Call(type_, name, arguments)
