"""Loading many rows: what COPY and Database.load() do.

    batches -> values of the stored types (load_values.py) -> insert   through TableWriter, in the transaction
                                                           -> ingest   keys and records sorted, made tables at once

A transaction holds its writes in memory, so it has a limit. A session without an open transaction may load more into an
empty table: rows and index entries become finished tables of the store, past log and memtable, and appear all at once
(core/ingest.py). While commits wait for that moment, it is checked that the table and what its foreign keys point to
have not changed since the load began; else the load fails and nothing is there.
"""
from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from phantomdb.core._ext.keyspace import KeySpace
from phantomdb.core.catalog.keys import CATALOG_PREFIX
from phantomdb.core.catalog.objects import Column, Table
from phantomdb.core.catalog.storage import fence_key
from phantomdb.core.errors import LimitExceeded, RetryableConflict
from phantomdb.core.ingest import ingest
from phantomdb.core.query.errors import (
    DatatypeMismatch, DuplicateColumn, FeatureNotSupported, GeneratedColumn, QueryError, UndefinedColumn,
    UndefinedSchema, UndefinedTable, WrongObjectType,
)
from phantomdb.core.query.load_runs import Pair, SortedRuns
from phantomdb.core.query.load_values import Batch, values_of
from phantomdb.core.tables import violations
from phantomdb.core.tables.constraints import Outgoing
from phantomdb.core.tables.layout import ROWS_PREFIX, ByteRange, Row, TableLayout
from phantomdb.core.tables.rows import DEFAULT, RowTransaction
from phantomdb.core.tables.statement import RowStatement

if TYPE_CHECKING:
    from phantomdb.core.query.session import Session

FEW_ROWS = 20_000                        # up to here a transaction is the better way
SORT_BYTES = 256 << 20                   # of rows and index entries in memory, all together
BATCH_ROWS = 65_536
KNOWN_PARENTS = 1_000_000                # keys of parents remembered, for each foreign key


def load(session: Session, table: str, data: Any, columns: Sequence[str] | None = None, *, schema: str = "public"
         ) -> int:
    """Adds the rows of anything with __arrow_c_stream__; see Database.load()."""
    import pyarrow as pa
    if not hasattr(data, "__arrow_c_stream__"):
        raise DatatypeMismatch(f"a load takes Arrow data or a data frame, not {type(data).__name__}")
    catalog = session.catalog
    database = catalog.database(session.name)
    found = None if database is None else catalog.schema(database.id, schema)
    if found is None:
        raise UndefinedSchema(f'schema "{schema}" does not exist')
    target = catalog.find([found.id], table)
    if target is None:
        raise UndefinedTable(f'relation "{table}" does not exist', table=table)
    if not isinstance(target, Table):
        raise WrongObjectType(f'"{table}" is not a table', table=table)
    reader = pa.RecordBatchReader.from_stream(data)
    names = reader.schema.names if columns is None else list(columns)
    if len(names) != len(reader.schema.names):
        raise DatatypeMismatch(f"{len(names)} columns are named, but the data has {len(reader.schema.names)}")
    return load_batches(session, target, names, _arrow_batches(reader, names))


def _arrow_batches(reader: Any, names: Sequence[str]) -> Iterator[Batch]:
    done = 0
    for whole in reader:
        for start in range(0, whole.num_rows, BATCH_ROWS):
            batch = whole.slice(start, BATCH_ROWS)
            yield Batch(names, batch.columns, batch.num_rows, partial(_place, done + 1))
            done += batch.num_rows


def _place(first: int, row: int) -> str:
    return f"row {first + row}"


def load_batches(session: Session, table: Table, names: Sequence[str], batches: Iterable[Batch]) -> int:
    """Adds the rows of `batches`, each with the columns `names`, to the table; how many. Inside the session's
    transaction, or else all at once. Errors as of INSERT; LimitExceeded: too much for a transaction."""
    columns = _columns(table, names)
    if session.in_transaction:
        loaded = session.run(lambda rows: _insert(rows, table.id, columns, batches))
        session.engine.figures.note(table.id, loaded)
        return loaded
    waiting, few, count = iter(batches), [], 0
    while count <= FEW_ROWS and (batch := next(waiting, None)) is not None:
        few.append(batch)
        count += batch.row_count
    whole = few if count <= FEW_ROWS else chain(few, waiting)
    session.begin("snapshot")
    try:
        if count <= FEW_ROWS or not session.run(lambda rows: _may_ingest(rows, table.id), writes=False):
            loaded = session.run(lambda rows: _insert(rows, table.id, columns, whole))
        else:
            loaded = session.run(lambda rows: _Ingest(session, rows, table.id, columns).run(whole))
        session.commit()
    except BaseException:
        session.rollback()
        raise
    session.engine.figures.note(table.id, loaded)
    return loaded


def _columns(table: Table, names: Sequence[str]) -> list[Column]:
    """UndefinedColumn, DuplicateColumn, GeneratedColumn; FeatureNotSupported: a flexible table."""
    if table.is_flexible:
        raise FeatureNotSupported(f'loading into the collection "{table.name}"')
    found = []
    for name in names:
        column = table.column(name)
        if column is None:
            raise UndefinedColumn(f'column "{name}" of relation "{table.name}" does not exist', table=table.name,
                                  column=name)
        if column.generated is not None:
            raise GeneratedColumn(f'column "{name}" is a generated column', table=table.name, column=name)
        if column in found:
            raise DuplicateColumn(f'column "{name}" specified more than once', column=name)
        found.append(column)
    return found


def _insert(rows: RowTransaction, number: int, columns: Sequence[Column], batches: Iterable[Batch]) -> int:
    statement = RowStatement(rows)
    writer = statement.writer(number)
    layout = writer.layout
    places = [layout.positions[column.id] for column in columns]
    count = 0
    try:
        for batch in batches:
            lists = [values_of(data, column.type, batch.place)
                     for data, column in zip(batch.columns, columns, strict=True)]
            given: list[Any] = [[DEFAULT] * batch.row_count] * len(layout.table.columns)
            for place, values in zip(places, lists, strict=True):
                given[place] = values
            with _NamedRow(batch) as at:
                for at.row, row in enumerate(zip(*given, strict=True)):
                    writer.insert(row)
            count += batch.row_count
        statement.finish()
    except LimitExceeded as error:
        raise LimitExceeded(f"{error}. A load outside of a transaction into an empty table has no such limit; or load "
                            "in parts, or open the database with a larger memtable_bytes") from None
    return count


class _NamedRow:
    """Puts the place of the row at hand in front of an error's message."""

    def __init__(self, batch: Batch) -> None:
        self.batch, self.row = batch, 0

    def __enter__(self) -> _NamedRow:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, QueryError):
            error.args = (f"{self.batch.place(self.row)}: {error}", *error.args[1:])


# -------------------------------------------------------------------- past the transaction

def _may_ingest(rows: RowTransaction, number: int) -> bool:
    """Whether the table is empty and nothing about it needs to see its own new rows."""
    layout = rows.layout(number)
    keys = layout.table.foreign_keys
    if layout.expiry is not None or any(key.target == number or key.is_deferrable for key in keys):
        return False
    if any(rows.layout(key.target).expiry is not None for key in keys):
        return False
    return next(rows.space.scan(*layout.range(), False, 1), None) is None


class _Ingest:
    """One load into an empty table."""

    def __init__(self, session: Session, rows: RowTransaction, number: int, columns: Sequence[Column]) -> None:
        self.session, self.rows, self.columns = session, rows, columns
        self.writer = RowStatement(rows).writer(number)
        self.layout: TableLayout = self.writer.layout
        self.table = self.layout.table
        self.outgoing: list[tuple[Outgoing, set[bytes]]] = [
            (Outgoing(rows, self.table, key), set()) for key in self.table.foreign_keys]
        self.snapshot = rows.transaction.snapshot_timestamp
        store = session.engine.store
        limit = SORT_BYTES // (1 + len(self.layout.indexes))
        folder = store.options.temporary_folder
        self.runs = {self.table.id: SortedRuns(limit, folder)}
        self.runs |= {index.index.id: SortedRuns(limit, folder) for index in self.layout.indexes}

    def run(self, batches: Iterable[Batch]) -> int:
        store = self.session.engine.store
        with contextlib.ExitStack() as stack:
            for runs in self.runs.values():
                stack.enter_context(runs)
            count = sum(self.add(batch) for batch in batches)
            ingest(store, ROWS_PREFIX, self.pairs(), self.check)
        return count

    def add(self, batch: Batch) -> int:
        """Keys, records and index entries of a batch."""
        rows = self.complete(batch)
        layout = self.layout
        prefix = layout.keys.prefix
        if layout.has_hidden_key:
            ids = self.rows.sequences.next_row_ids(self.table.id, len(rows))
            row_keys = list(map(layout.hidden_row_key, ids))
        else:
            row_keys = list(map(layout.row_key, rows))
        keys = [prefix + key for key in row_keys]
        self.runs[self.table.id].add(list(zip(keys, map(layout.record, rows), strict=True)))
        for index in layout.indexes:
            entries = index.entries
            self.runs[index.index.id].add([pair for row, key in zip(rows, row_keys, strict=True)
                                           for pair in entries(row, key).items()])
        for outgoing, known in self.outgoing:
            self.require_parents(outgoing, known, rows, batch)
        return len(rows)

    def complete(self, batch: Batch) -> list[Row]:
        """The rows with defaults and generated columns, checked by themselves."""
        layout, writer, count = self.layout, self.writer, batch.row_count
        given: dict[int, list[Any]] = {
            layout.positions[column.id]: values_of(data, column.type, batch.place)
            for data, column in zip(batch.columns, self.columns, strict=True)}
        generated = {position for position, _ in layout.generated}
        lists = []
        for position in range(len(self.table.columns)):
            if position in given:
                lists.append(given[position])
            elif position in generated:
                lists.append([None] * count)
            else:
                lists.append([writer.default(position) for _ in range(count)])
        rows: list[Row] = list(zip(*lists, strict=True))
        if layout.generated or layout.checks:
            completed = []
            with _NamedRow(batch) as at:
                for at.row, row in enumerate(rows):
                    completed.append(writer.completed(row))
            return completed
        for position in layout.not_null:
            if None in lists[position]:
                with _NamedRow(batch) as at:
                    at.row = lists[position].index(None)
                    raise violations.not_null(self.table, position, rows[at.row])
        return rows

    def require_parents(self, outgoing: Outgoing, known: set[bytes], rows: Sequence[Row], batch: Batch) -> None:
        """ForeignKeyViolation. What is read is not noted one by one: check() looks at the whole parent."""
        places = [outgoing.place(row) for row in rows]
        asked = [place for place in set(places) - known if place]
        missing = {place for place, value in zip(asked, self.rows.space.multi_get(asked), strict=True) if value is None}
        with _NamedRow(batch) as at:
            for at.row, (place, row) in enumerate(zip(places, rows, strict=True)):
                if place == b"" or place in missing:
                    outgoing.verify(row)
        if len(known) > KNOWN_PARENTS:
            known.clear()
        known.update(asked)

    def pairs(self) -> Iterator[Pair]:
        """All keys in order. UniqueViolation."""
        layout = self.layout
        for number in sorted(self.runs):
            before = None
            for pair in self.runs[number]:
                key = pair[0]
                if key == before:
                    if number == self.table.id:
                        raise violations.duplicate_key(self.table, layout.keys.decode(key))
                    index = layout.index(number)
                    raise violations.duplicate_entry(self.table, index.index, index.keys.types, index.keys.decode(key))
                before = key
                yield pair

    def check(self) -> None:
        """Just before the rows become visible, while commits wait. RetryableConflict."""
        engine = self.session.engine.store.engine
        rows, catalog = KeySpace(engine, ROWS_PREFIX), KeySpace(engine, CATALOG_PREFIX)
        ranges: list[ByteRange] = [self.layout.range()]
        fences = [fence_key(self.table.id)]
        for key in self.table.foreign_keys:
            parent = self.rows.layout(key.target)
            ranges += [parent.range(), *((index.keys.start, index.keys.stop) for index in parent.indexes)]
            fences.append(fence_key(key.target))
        if any(rows.changed_since(self.snapshot, start, stop) for start, stop in ranges) or any(
                catalog.changed_since(self.snapshot, fence, fence + b"\0") for fence in fences):
            raise RetryableConflict(f'table "{self.table.name}", or one its foreign keys point to, was changed during '
                                    "the load; nothing was loaded, run it again")
