"""What a change of the catalog does to rows (core/catalog/work.py), and indexes built while others write.

execute() does it inside the transaction of the change, which must be serializable: what it has read counts, so no row
can slip in unseen. A large table would hold up its writers for long, so there an index is built in steps:

    1. the index is saved WRITE_ONLY: from that commit on, all writers keep it up to date, as the fence sees to
    2. batches: each adds the entries of a few hundred rows, and the place to go on from, in one small transaction
    3. the index is made PUBLIC

A batch reads at one snapshot and is checked for the keys it writes only. That is enough: a writer that meanwhile
changes or removes an entry of a row has written that entry's key, and one that does not leaves the entry right.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from phantomdb.core.catalog import constraints as catalog_constraints
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.keys import CATALOG_PREFIX, statistics_key
from phantomdb.core.catalog.objects import IndexState, Table
from phantomdb.core.catalog.work import (
    BuildIndex,
    Change,
    DropRange,
    FillColumn,
    RebindView,
    RewriteRows,
    RowWork,
    ConvertColumn,
    ValidateCheck,
    ValidateForeignKey,
    ValidateNotNull,
)
from phantomdb.core.query.errors import UniqueViolation
from phantomdb.core.query.evaluate import EvaluationContext, compile_expression
from phantomdb.core.tables import violations
from phantomdb.core.tables.constraints import Outgoing
from phantomdb.core.tables.layout import IndexLayout, TableLayout, id_prefix, id_range
from phantomdb.core.tables.rows import DEFAULT, RowTransaction, TableStore
from phantomdb.core.tables.statement import RowStatement
from phantomdb.core.tables.writer import TableWriter
from phantomdb.core.transactions import Transaction, run

if TYPE_CHECKING:
    from phantomdb.core.transactions import Isolation

SMALL_TABLE_ROWS = 10_000            # up to here an index is built inside the transaction that makes it
BATCH_ROWS = 500
STEP_TIMEOUT_S = 60.0
T = TypeVar("T")
PROGRESS = b"b"                      # under the catalog's prefix: b | index id -> whole key of the row to go on from


# -------------------------------------------------------------------- inside the transaction

def execute(rows: RowTransaction, work: Iterable[RowWork]) -> Catalog:
    """Does `work`, in its order, for a change whose catalog is `rows.catalog`. Gives the catalog to save: indexes that
    were built are public in it. RebindView is the frontend's and is passed over.

    NotNullViolation, CheckViolation, UniqueViolation, ForeignKeyViolation; LimitExceeded: too much for a transaction.
    """
    for item in work:
        match item:
            case DropRange():
                rows.delete_ranges([id_range(item.id)])
                rows.catalog_space.delete(_progress_key(item.id))
            case BuildIndex():
                _build_all(rows, item)
            case FillColumn():
                _fill(rows, item)
            case RewriteRows():
                _rewrite(rows, item)
            case ConvertColumn():
                _convert(rows, item)
            case ValidateNotNull() | ValidateCheck() | ValidateForeignKey():
                _validate(rows, item)
            case RebindView():
                pass
    return rows.catalog


def put_off_builds(rows: RowTransaction, change: Change) -> tuple[Change, tuple[BuildIndex, ...]]:
    """The change without the building of indexes on tables that are not small, and what was taken out: build_index is
    to be called for each after the commit."""
    later = tuple(item for item in change.work if isinstance(item, BuildIndex) and not _is_small(rows, item.table))
    return change._replace(work=tuple(item for item in change.work if item not in later)), later


def _is_small(rows: RowTransaction, table: int) -> bool:
    start, stop = id_range(table)
    return sum(1 for _ in rows.space.scan(start, stop, False, SMALL_TABLE_ROWS + 1)) <= SMALL_TABLE_ROWS


def _build_all(rows: RowTransaction, item: BuildIndex) -> None:
    layout = rows.layout(item.table)
    writer = RowStatement(rows).writer(item.table)
    _add_entries(rows, writer, layout.index(item.index), *layout.range())
    rows.catalog = catalog_constraints.set_index_state(rows.catalog, item.table, item.index, IndexState.PUBLIC)


def _add_entries(rows: RowTransaction, writer: TableWriter, index: IndexLayout, start: bytes, stop: bytes,
                 limit: int | None = None) -> tuple[int, bytes]:
    """Adds the entries of the rows from `start` on; (how many rows, key to go on from)."""
    layout = writer.layout
    count, skipped = 0, len(layout.keys.prefix)
    is_alive = rows.life_test(layout)
    for key, record in rows.space.scan(start, stop, False, limit):
        row, row_key = layout.decode(key, record), key[skipped:]
        if is_alive is None or is_alive(row):
            writer.add_entries(index, row, row_key)
        else:
            writer.remove(row_key, row)                      # so that every row that is stored has its entries
        count += 1
        start = key + b"\0"
    return count, start


def _fill(rows: RowTransaction, item: FillColumn) -> None:
    statement = RowStatement(rows)
    layout, writer = rows.layout(item.table), statement.writer(item.table)
    position = layout.positions[item.column]
    for row_key, row in rows.scan(layout):
        values: list[object] = list(row)
        values[position] = DEFAULT
        writer.replace(row_key, row, values)
    statement.finish()


def _rewrite(rows: RowTransaction, item: RewriteRows) -> None:
    """Rows keep their values; their keys and all entries are new."""
    statement = RowStatement(rows)
    before = TableLayout(item.before)
    writer = statement.writer(item.after.id)
    found = [row for _, row in rows.scan(before)]
    rows.delete_ranges([before.range(), *(id_range(index.id) for index in item.before.indexes)])
    places = [before.positions[column.id] for column in writer.layout.table.columns]
    for row in found:
        writer.insert([row[place] for place in places])
    statement.finish()


def _convert(rows: RowTransaction, item: ConvertColumn) -> None:
    """One row at a time; what is written takes the transaction's own memory and must fit it."""
    statement = RowStatement(rows)
    before, writer = TableLayout(item.before), statement.writer(item.after.id)
    evaluate = compile_expression(item.conversion.bound, before.positions, EvaluationContext())
    position, is_alive = before.positions[item.column], rows.life_test(before)
    found = rows.space.scan(*before.range(), False)          # of the rows before they are removed
    rows.delete_ranges([before.range(), *(id_range(index.id) for index in item.before.indexes)])
    rows.catalog_space.delete(statistics_key(item.after.id))
    for key, record in found:
        row = before.decode(key, record)
        if is_alive is None or is_alive(row):
            values: list[object] = list(row)
            values[position] = evaluate(row)
            writer.insert(values)
    statement.finish()


def _validate(rows: RowTransaction, item: ValidateNotNull | ValidateCheck | ValidateForeignKey) -> None:
    layout = rows.layout(item.table)
    table = layout.table
    rows.fence(table.id)
    if isinstance(item, ValidateNotNull):
        position = layout.positions[item.column]
        for _, row in rows.scan(layout):
            if row[position] is None:
                raise violations.null_in_column(table, position)
    elif isinstance(item, ValidateCheck):
        holds = dict(layout.checks)[item.name]
        for _, row in rows.scan(layout):
            if holds(row) is False:
                raise violations.check_of_some_row(table, item.name)
    else:
        outgoing = Outgoing(rows, table, next(key for key in table.foreign_keys if key.name == item.name))
        for _, row in rows.scan(layout):
            outgoing.verify(row)


# -------------------------------------------------------------------- in steps

def unfinished_builds(catalog: Catalog) -> list[BuildIndex]:
    """The indexes to go on with after opening."""
    return [BuildIndex(item.id, index.id) for item in catalog.objects.values() if isinstance(item, Table)
            for index in item.indexes if index.state is IndexState.WRITE_ONLY]


def build_index(tables: TableStore, table: int, index: int, progress: Callable[[int], None] | None = None,
                check: Callable[[], None] = lambda: None) -> None:
    """Completes a WRITE_ONLY index whose definition is committed, and makes it public, while others write. Stopped at
    any time, it goes on from there when called again. `progress(rows)`: after each batch, how many it has added since
    the call. `check`: before each transaction; may raise to stop. Nothing happens when the index is gone or complete.

    UniqueViolation: two rows have one key; the index is dropped. RetryableConflict: no batch came through for
    STEP_TIMEOUT_S.
    """
    total = 0

    def batch(transaction: Transaction) -> int:
        check()
        return _batch(tables, transaction, table, index)

    try:
        count = BATCH_ROWS
        while count == BATCH_ROWS:                           # fewer: the end; rows that come later have their entries
            count = run_step(tables, batch, "snapshot")
            total += count
            if progress is not None and count:
                progress(total)
    except UniqueViolation:
        run_step(tables, lambda transaction: _drop(tables, transaction, table, index), "serializable")
        raise
    run_step(tables, lambda transaction: _publish(tables, transaction, table, index), "serializable")


def _batch(tables: TableStore, transaction: Transaction, table: int, index: int) -> int:
    """Adds the entries of the next rows; how many rows there were."""
    rows = tables.rows(transaction)
    if not _is_building(rows.catalog, table, index):
        return 0
    layout = rows.layout(table)
    start, stop = layout.range()
    progress_key = _progress_key(index)
    start = rows.catalog_space.get(progress_key) or start
    statement = RowStatement(rows)
    count, reached = _add_entries(rows, statement.writer(table), layout.index(index), start, stop, BATCH_ROWS)
    statement.finish()
    if count:
        # Also the meeting point with a transaction that drops the index: it deletes this key.
        rows.catalog_space.put(progress_key, reached)
    return count


def _publish(tables: TableStore, transaction: Transaction, table: int, index: int) -> None:
    rows = tables.rows(transaction)
    if _is_building(rows.catalog, table, index):
        tables.catalogs.change(transaction, catalog_constraints.set_index_state(rows.catalog, table, index,
                                                                                IndexState.PUBLIC))
        rows.catalog_space.delete(_progress_key(index))


def _drop(tables: TableStore, transaction: Transaction, table: int, index: int) -> None:
    rows = tables.rows(transaction)
    if _is_building(rows.catalog, table, index):
        change = _without_index(rows.catalog, table, index)
        rows.catalog = change.catalog
        tables.catalogs.change(transaction, execute(rows, change.work))


def _without_index(catalog: Catalog, table: int, index: int) -> Change:
    of = catalog.table(table)
    found = next(item for item in of.indexes if item.id == index)
    drop = catalog_constraints.drop_constraint if found.is_constraint else catalog_constraints.drop_index
    return drop(catalog, table, found.name, cascade=True)


def _is_building(catalog: Catalog, table: int, index: int) -> bool:
    found = catalog.get(table)
    return isinstance(found, Table) and any(item.id == index and item.state is IndexState.WRITE_ONLY
                                            for item in found.indexes)


def _progress_key(index: int) -> bytes:
    return PROGRESS + id_prefix(index)


def run_step(tables: TableStore, function: Callable[[Transaction], T], isolation: Isolation) -> T:
    """Calls `function` in a transaction of its own until it commits. RetryableConflict: it did not, for
    STEP_TIMEOUT_S."""
    return run(lambda age: Transaction(tables.store, CATALOG_PREFIX, isolation, age), function,
               timeout_s=STEP_TIMEOUT_S)
