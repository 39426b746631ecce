"""Arrow batches against the rows they were made from: types, NULLs, defaults, transactions, memory."""
from __future__ import annotations

import datetime
import gc
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from row_values import SCALARS, TEXTS

import phantomdb
from phantomdb.core._ext.arrow_reader import (
    FROM_KEY,
    FROM_RECORD,
    FROM_ROW_KEY,
    ArrowColumn,
    ArrowReader,
    live_batch_count,
)
from phantomdb.core._ext.document import decode, encode
from phantomdb.core._ext.key_tuple import KeyCodec
from phantomdb.core._ext.record import RecordCodec
from phantomdb.core._ext.transaction import TransactionKeySpace
from phantomdb.core.errors import CorruptionError, InvalidArgument, RetryableConflict, SnapshotClosed
from phantomdb.core.values import Interval, Kind

UTC = datetime.UTC
PREFIX = b"t\0\0\0\1"
KEY = KeyCodec([(Kind.INT, False, False)])
PARAMETERS: dict[Kind, dict[str, Any]] = {Kind.DECIMAL: {"precision": 38, "scale": 6}}


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    gc.collect()
    before = live_batch_count()
    yield
    gc.collect()
    assert live_batch_count() == before


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[phantomdb.Database]:
    with phantomdb.open(tmp_path_factory.mktemp("arrow") / "db", durability="none", value_threshold_bytes=1000) as db:
        yield db


def fill(db: phantomdb.Database, codec: RecordCodec, rows: list[tuple[Any, ...]]) -> None:
    db.kv.delete_range()
    db.kv.write([(PREFIX + KEY.encode((number,)), codec.encode(row)) for number, row in enumerate(rows)])


def columns_of(kinds: list[Kind], **parameters: Any) -> list[ArrowColumn]:
    return [ArrowColumn(f"c{position}", FROM_RECORD, position, kind, **(PARAMETERS.get(kind, {}) | parameters))
            for position, kind in enumerate(kinds)]


def read(source: Any, codec: RecordCodec | None, columns: list[ArrowColumn], key: KeyCodec | None = KEY,
         **options: Any) -> pa.Table:
    reader = ArrowReader(source.scan(PREFIX, PREFIX + b"\xff"), len(PREFIX), key, codec, columns, **options)
    schema = pa.schema(reader)
    table = pa.Table.from_batches([pa.record_batch(batch) for batch in reader], schema)
    table.validate(full=True)
    return table


def shown(kind: Kind, value: Any) -> Any:
    """How to_pylist() shows a value."""
    if value is None:
        return None
    match kind:
        case Kind.UUID:
            return str(value)
        case Kind.JSON | Kind.ANY:
            return encode(value)
        case Kind.TIMESTAMPTZ:
            return value.astimezone(UTC)
        case Kind.FLOAT:
            return "NaN" if math.isnan(value) else value
    return value


ARROW_KINDS: dict[Kind, st.SearchStrategy[Any]] = SCALARS | {
    Kind.DECIMAL: st.decimals(-10**12, 10**12, places=6) | st.integers(-10**20, 10**20).map(Decimal),
    Kind.JSON: st.dictionaries(TEXTS, st.integers(-9, 9) | TEXTS, max_size=3) | st.floats(allow_nan=False),
}
del ARROW_KINDS[Kind.INTERVAL]                                 # to_pylist shows it in pyarrow's own class


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Kind], list[tuple[Any, ...]]]:
    kinds = draw(st.lists(st.sampled_from(list(ARROW_KINDS)), min_size=1, max_size=5))
    return kinds, draw(st.lists(st.tuples(*[st.none() | ARROW_KINDS[kind] for kind in kinds]), max_size=20))


@settings(max_examples=60)
@given(tables(), st.integers(1, 8))
def test_batches_equal_rows(store: phantomdb.Database, made: tuple[list[Kind], list[tuple[Any, ...]]],
                            batch_rows: int) -> None:
    kinds, rows = made
    codec = RecordCodec(kinds)
    fill(store, codec, rows)
    columns = [ArrowColumn("id", FROM_KEY, 0, Kind.INT), *columns_of(kinds),
               ArrowColumn("key", FROM_ROW_KEY, 0, Kind.BYTES)]
    table = read(store.kv, codec, columns, batch_rows=batch_rows)
    expected = [(number, *map(shown, kinds, row), KEY.encode((number,))) for number, row in enumerate(rows)]
    got = [tuple("NaN" if isinstance(value, float) and math.isnan(value) else value for value in row.values())
           for row in table.to_pylist()]
    assert got == expected
    assert all(batch.num_rows <= batch_rows for batch in table.to_batches())


@pytest.mark.parametrize(("kind", "parameters", "type_"), [
    (Kind.BOOL, {}, pa.bool_()), (Kind.INT, {"bits": 16}, pa.int16()), (Kind.INT, {"bits": 32}, pa.int32()),
    (Kind.INT, {}, pa.int64()), (Kind.FLOAT, {"bits": 32}, pa.float32()), (Kind.FLOAT, {}, pa.float64()),
    (Kind.DECIMAL, {"precision": 15, "scale": 2}, pa.decimal128(15, 2)), (Kind.TEXT, {}, pa.utf8()),
    (Kind.BYTES, {}, pa.binary()), (Kind.DATE, {}, pa.date32()), (Kind.TIME, {}, pa.time64("us")),
    (Kind.TIMESTAMP, {}, pa.timestamp("us")), (Kind.TIMESTAMPTZ, {}, pa.timestamp("us", "UTC")),
    (Kind.INTERVAL, {}, pa.month_day_nano_interval()), (Kind.UUID, {}, pa.utf8()), (Kind.JSON, {}, pa.binary()),
    (Kind.ANY, {}, pa.binary()),
])
def test_types(store: phantomdb.Database, kind: Kind, parameters: dict[str, Any], type_: pa.DataType) -> None:
    codec = RecordCodec([kind])
    fill(store, codec, [(None,)])
    table = read(store.kv, codec, [ArrowColumn("c", FROM_RECORD, 0, kind, **parameters)])
    assert table.schema == pa.schema([pa.field("c", type_)])
    assert table.column("c").to_pylist() == [None]
    element = ArrowColumn("", FROM_RECORD, 0, kind, **parameters)
    codec = RecordCodec([Kind.ARRAY])
    fill(store, codec, [([],), ([None],), (None,)])
    table = read(store.kv, codec, [ArrowColumn("c", FROM_RECORD, 0, Kind.ARRAY, element=element)])
    assert table.schema.field("c").type == pa.list_(type_)
    assert table.column("c").to_pylist() == [[], [None], None]


def test_small_numbers_and_intervals(store: phantomdb.Database) -> None:
    kinds = [Kind.INT, Kind.INT, Kind.FLOAT, Kind.INTERVAL]
    codec = RecordCodec(kinds)
    rows = [(-32768, -2**31, 1.5, Interval(14, -3, 5)), (32767, 2**31 - 1, -0.25, Interval(0, 0, -7))]
    fill(store, codec, rows)
    table = read(store.kv, codec, [ArrowColumn("a", FROM_RECORD, 0, Kind.INT, bits=16),
                                   ArrowColumn("b", FROM_RECORD, 1, Kind.INT, bits=32),
                                   ArrowColumn("c", FROM_RECORD, 2, Kind.FLOAT, bits=32),
                                   ArrowColumn("d", FROM_RECORD, 3, Kind.INTERVAL)])
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        (*rows[0][:3], pa.MonthDayNano([14, -3, 5000])), (*rows[1][:3], pa.MonthDayNano([0, 0, -7000]))]


def test_nested_lists(store: phantomdb.Database) -> None:
    codec = RecordCodec([Kind.ARRAY])
    values = [[[1, None], []], [], None, [None, [2]]]
    fill(store, codec, [(value,) for value in values])
    inner = ArrowColumn("", FROM_RECORD, 0, Kind.ARRAY, element=ArrowColumn("", FROM_RECORD, 0, Kind.INT))
    table = read(store.kv, codec, [ArrowColumn("c", FROM_RECORD, 0, Kind.ARRAY, element=inner)], batch_rows=3)
    assert table.column("c").to_pylist() == values


def test_columns_added_later(store: phantomdb.Database) -> None:
    fill(store, RecordCodec([Kind.INT]), [(1,), (None,)])
    codec = RecordCodec([Kind.INT, Kind.TEXT, Kind.TEXT, Kind.INT, Kind.DECIMAL])
    columns = [ArrowColumn("a", FROM_RECORD, 1, Kind.TEXT, default="new"), ArrowColumn("b", FROM_RECORD, 2, Kind.TEXT),
               ArrowColumn("c", FROM_RECORD, 3, Kind.INT, default=0),
               ArrowColumn("d", FROM_RECORD, 4, Kind.DECIMAL, precision=9, scale=3, default=Decimal("1.5")),
               ArrowColumn("e", FROM_RECORD, 1, Kind.TEXT, default="")]
    assert [tuple(row.values()) for row in read(store.kv, codec, columns).to_pylist()] == [
        ("new", None, 0, Decimal("1.500"), "")] * 2


def test_composite_descending_keys(store: phantomdb.Database) -> None:
    key = KeyCodec([(Kind.TEXT, True, True), (Kind.DECIMAL, False, False), (Kind.UUID, False, False)])
    rows = [("b\0", Decimal("1.5"), UUID(int=1)), ("a", None, UUID(int=2)), (None, Decimal(-7), UUID(int=3))]
    store.kv.delete_range()
    store.kv.write([(PREFIX + key.encode(row), RecordCodec([]).encode(())) for row in rows])
    columns = [ArrowColumn(str(position), FROM_KEY, position, kind, scale=2 * (kind == Kind.DECIMAL))
               for position, (kind, _, _) in enumerate(key.columns)]
    table = read(store.kv, None, columns, key)
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        (text, number, str(uuid)) for text, number, uuid in [rows[2], rows[0], rows[1]]]
    assert read(store.kv, None, columns[:1], key).column(0).to_pylist() == [None, "b\0", "a"]


def test_large_values_and_many_rows(store: phantomdb.Database) -> None:
    codec = RecordCodec([Kind.TEXT, Kind.INT])
    rows = [("x" * (number % 7 * 400) + "ä", number) for number in range(3000)] + [("y" * 3_000_000, 1)] * 2
    fill(store, codec, rows)
    table = read(store.kv, codec, columns_of([Kind.TEXT, Kind.INT]), batch_rows=1000)
    assert [tuple(row.values()) for row in table.to_pylist()] == rows
    assert [batch.num_rows for batch in table.to_batches()] == [1000, 1000, 1000, 2]


def test_a_batch_ends_when_its_texts_are_long(store: phantomdb.Database) -> None:
    codec = RecordCodec([Kind.BYTES])
    fill(store, codec, [(bytes(20 << 20),)] * 9)
    reader = ArrowReader(store.kv.scan(), len(PREFIX), None, codec, columns_of([Kind.BYTES]))
    assert [len(batch) for batch in reader] == [4, 4, 1]


@pytest.mark.parametrize(("text", "scale", "needed"), [
    ("1.5", 0, 1), ("0.00001", 2, 5), ("1E-30", 2, 30), ("1.000", 0, None), ("1E+5", 2, None), ("0E-90", 2, None),
    ("1" * 30 + ".5", 2, None), ("-" + "1" * 36 + ".50", 1, None), ("0.0", 38, None), ("123456789012.10", 2, None),
])
def test_scales(store: phantomdb.Database, text: str, scale: int, needed: int | None) -> None:
    codec = RecordCodec([Kind.DECIMAL])
    fill(store, codec, [(Decimal(text),)])
    column = ArrowColumn("c", FROM_RECORD, 0, Kind.DECIMAL, scale=scale)
    if needed is None:
        assert read(store.kv, codec, [column]).column("c").to_pylist() == [Decimal(text)]
    else:
        with pytest.raises(InvalidArgument, match=f"needs scale {needed}"):
            read(store.kv, codec, [column])
        assert column.needed_scale == needed
        array = RecordCodec([Kind.ARRAY])
        fill(store, array, [([Decimal(text)],)])
        column = ArrowColumn("c", FROM_RECORD, 0, Kind.ARRAY,
                             element=ArrowColumn("", FROM_RECORD, 0, Kind.DECIMAL, scale=scale))
        with pytest.raises(InvalidArgument, match=f"needs scale {needed}"):
            read(store.kv, array, [column])
        assert column.needed_scale == needed


@pytest.mark.parametrize(("kind", "value", "parameters"), [
    (Kind.INT, 2**15, {"bits": 16}), (Kind.INT, -2**31 - 1, {"bits": 32}), (Kind.DECIMAL, Decimal("NaN"), {}),
    (Kind.DECIMAL, Decimal(1000), {"precision": 3}), (Kind.DECIMAL, Decimal(10) ** 38, {}),
    (Kind.DECIMAL, Decimal(10) ** 37, {"scale": 1}), (Kind.DECIMAL, Decimal("1E-50"), {"scale": 38}),
    (Kind.DECIMAL, Decimal("1E+40"), {}), (Kind.DECIMAL, Decimal("1.0") / 3, {"precision": 38, "scale": 2}),
    (Kind.INTERVAL, Interval(0, 0, 2**62), {}),
])
def test_values_that_do_not_fit(store: phantomdb.Database, kind: Kind, value: Any, parameters: dict[str, Any]) -> None:
    codec = RecordCodec([kind])
    fill(store, codec, [(None,), (value,)])
    column = ArrowColumn("c", FROM_RECORD, 0, kind, **parameters)
    reader = ArrowReader(store.kv.scan(), len(PREFIX), None, codec, [column])
    with pytest.raises(InvalidArgument):
        next(reader)
    with pytest.raises(StopIteration):
        next(reader)


def test_elements_of_another_kind(store: phantomdb.Database) -> None:
    codec = RecordCodec([Kind.ARRAY])
    fill(store, codec, [([1, "a"],)])
    column = ArrowColumn("c", FROM_RECORD, 0, Kind.ARRAY, element=ArrowColumn("", FROM_RECORD, 0, Kind.INT))
    with pytest.raises(InvalidArgument, match="element"):
        read(store.kv, codec, [column])


def test_a_transaction_sees_its_own_writes_and_is_validated(store: phantomdb.Database) -> None:
    codec = RecordCodec([Kind.INT])
    fill(store, codec, [(number,) for number in range(5)])
    columns = columns_of([Kind.INT])
    with store.transaction() as txn:
        txn.kv.put(PREFIX + KEY.encode((9,)), codec.encode((9,)))
        txn.kv.delete(PREFIX + KEY.encode((2,)))
        assert read(txn.kv, codec, columns).column(0).to_pylist() == [0, 1, 3, 4, 9]

    def run(other: Callable[[], None]) -> None:
        with store.transaction() as txn:
            reader = ArrowReader(txn.kv.scan(PREFIX, PREFIX + b"\xff"), len(PREFIX), KEY, codec, columns, 2)
            assert len(next(reader)) == 2                   # the rest counts as read all the same
            other()
            txn.kv.put(b"elsewhere", b"")

    run(lambda: store.kv.put(b"zzz", b""))
    with pytest.raises(RetryableConflict):
        run(lambda: store.kv.put(PREFIX + KEY.encode((1000,)), codec.encode((1,))))
    assert isinstance(txn.kv, TransactionKeySpace)


def test_snapshots(store: phantomdb.Database) -> None:
    codec = RecordCodec([Kind.INT])
    fill(store, codec, [(1,), (2,)])
    with store.kv.snapshot() as snapshot:
        fill(store, codec, [(3,)])
        assert read(snapshot, codec, columns_of([Kind.INT])).column(0).to_pylist() == [1, 2]
        reader = ArrowReader(snapshot.scan(), 5, None, codec, columns_of([Kind.INT]), 1)
    with pytest.raises(SnapshotClosed):
        next(reader)


def test_damaged_rows(store: phantomdb.Database) -> None:
    codec = RecordCodec([Kind.TEXT])
    good = codec.encode(("ä",))
    for key, record in [(PREFIX + KEY.encode((1,)), good[:-1]), (PREFIX + KEY.encode((1,)), b""), (PREFIX, good),
                        (PREFIX[:3], good)]:
        store.kv.delete_range()
        store.kv.put(key, record)
        reader = ArrowReader(store.kv.scan(), len(PREFIX), KEY, codec,
                             [ArrowColumn("id", FROM_KEY, 0, Kind.INT), *columns_of([Kind.TEXT])])
        with pytest.raises(CorruptionError):
            next(reader)


def test_batches_outlive_everything_and_may_be_taken_twice(store: phantomdb.Database) -> None:
    codec = RecordCodec([Kind.TEXT, Kind.ARRAY])
    fill(store, codec, [("a", [1]), (None, None)])
    before = live_batch_count()
    element = ArrowColumn("", FROM_RECORD, 0, Kind.INT)
    reader = ArrowReader(store.kv.scan(), len(PREFIX), None, codec,
                         [*columns_of([Kind.TEXT]), ArrowColumn("list", FROM_RECORD, 1, Kind.ARRAY, element=element)])
    batch = next(reader)
    reader.close()
    first, second = pa.record_batch(batch), pa.record_batch(batch)
    unused = batch.__arrow_c_array__()                      # never imported: the capsules release it
    del batch, reader
    assert live_batch_count() == before + 1
    column = first.column(1)
    del first, second
    assert column.to_pylist() == [[1], None]
    assert live_batch_count() == before + 1
    del column
    assert live_batch_count() == before + 1
    del unused
    assert live_batch_count() == before


def test_no_rows_and_no_columns(store: phantomdb.Database) -> None:
    codec = RecordCodec([Kind.TEXT])
    fill(store, codec, [])
    assert read(store.kv, codec, columns_of([Kind.TEXT])).num_rows == 0
    fill(store, codec, [("a",), ("b",)])
    reader = ArrowReader(store.kv.scan(), 5, None, None, [])
    assert [len(batch) for batch in reader] == [2]


def test_documents_are_as_stored(store: phantomdb.Database) -> None:
    codec = RecordCodec([Kind.JSON])
    value = {"a": [1, 2.5, None, True, "ä\n"], "b": {}}
    fill(store, codec, [(value,)])
    assert decode(read(store.kv, codec, columns_of([Kind.JSON])).column(0).to_pylist()[0]) == value


@pytest.mark.parametrize(("kind", "parameters"), [
    (Kind.INT, {"bits": 8}), (Kind.FLOAT, {"bits": 16}), (Kind.DECIMAL, {"precision": 39}), (Kind.ARRAY, {}),
    (Kind.DECIMAL, {"precision": 2, "scale": 3}), (Kind.NULL, {}), (99, {}),
])
def test_no_such_column(kind: int, parameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="no such column"):
        ArrowColumn("c", FROM_RECORD, 0, kind, **parameters)


def test_wrong_arguments(store: phantomdb.Database) -> None:
    codec = RecordCodec([Kind.TEXT])
    for columns in ([ArrowColumn("c", FROM_RECORD, 1, Kind.TEXT)], [ArrowColumn("c", FROM_RECORD, 0, Kind.INT)],
                    [ArrowColumn("c", FROM_KEY, 1, Kind.INT)], [ArrowColumn("c", FROM_KEY, 0, Kind.TEXT)]):
        with pytest.raises(ValueError, match="column c"):
            ArrowReader(store.kv.scan(), 5, KEY, codec, columns)
    with pytest.raises(ValueError, match="rows"):
        ArrowReader(store.kv.scan(), 5, KEY, codec, [], 0)
    with pytest.raises(TypeError):
        ArrowReader(None, 5, KEY, codec, [])                # type: ignore[arg-type]
    with pytest.raises(ValueError, match="row key"):
        ArrowColumn("c", FROM_ROW_KEY, 0, Kind.TEXT)
