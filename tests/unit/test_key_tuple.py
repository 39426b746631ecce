"""Key tuples: the order of the bytes is the order of the values, and the values come back."""
from __future__ import annotations

import datetime
import random
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_values import KINDS, VALUES, any_order, compare_rows, order_of, same

from phantomdb.core._ext.key_tuple import KeyCodec
from phantomdb.core.errors import CorruptionError, PhantomError
from phantomdb.core.values import Interval, Kind

Column = tuple[Kind, bool, bool]
COLUMNS = st.lists(st.tuples(st.sampled_from(KINDS), st.booleans(), st.booleans()), min_size=1, max_size=4)


@st.composite
def rows(draw: st.DrawFn, count: int) -> tuple[list[Column], list[tuple[Any, ...]]]:
    """Columns and rows that often begin with the same values."""
    columns = draw(COLUMNS)
    pools = [draw(st.lists(st.none() | VALUES[kind], min_size=1, max_size=3)) for kind, _, _ in columns]
    return columns, [tuple(draw(st.sampled_from(pool)) for pool in pools) for _ in range(count)]


def key(kind: Kind, value: Any, is_descending: bool = False, nulls_first: bool = False) -> bytes:
    return KeyCodec([(kind, is_descending, nulls_first)]).encode((value,))


@given(rows(2))
def test_bytes_order_as_values(made: tuple[list[Column], list[tuple[Any, ...]]]) -> None:
    columns, (a, b) = made
    codec = KeyCodec(columns)
    x, y = codec.encode(a), codec.encode(b)
    assert (x > y) - (x < y) == compare_rows(columns, a, b)


@given(rows(1))
def test_decode_gives_equal_values(made: tuple[list[Column], list[tuple[Any, ...]]]) -> None:
    columns, (row,) = made
    codec = KeyCodec(columns)
    encoded = codec.encode(row)
    decoded = codec.decode(b"??" + encoded + b"tail", 2)
    for (kind, _, _), before, after in zip(columns, row, decoded, strict=True):
        if before is None:
            assert after is None
        elif kind in (Kind.JSON, Kind.ARRAY, Kind.ANY, Kind.DECIMAL, Kind.FLOAT):
            assert order_of(kind, before) == order_of(kind, after)
        else:
            assert same(before, after)
    assert codec.encode(decoded) == encoded
    assert codec.skip(encoded + b"tail") == len(encoded)


@given(rows(2), st.integers(0, 4))
def test_a_prefix_begins_just_the_keys_that_begin_so(made: tuple[list[Column], list[tuple[Any, ...]]],
                                                     count: int) -> None:
    columns, (a, b) = made
    count = min(count, len(columns))
    codec = KeyCodec(columns)
    prefix = codec.encode(a[:count], count)
    assert codec.encode(b).startswith(prefix) == (compare_rows(columns[:count], a[:count], b[:count]) == 0)
    assert codec.skip(codec.encode(a), 0, count) == len(prefix)


@given(st.lists(VALUES[Kind.ANY], max_size=8))
def test_any_sorts_as_the_model(values: list[Any]) -> None:
    by_key = sorted(values, key=lambda value: key(Kind.ANY, value))
    assert [any_order(value) for value in by_key] == sorted(any_order(value) for value in values)


def test_classes_of_any_in_their_order() -> None:
    values = [None, float("-inf"), -5, Decimal("-1.5"), -0.5, 0, Decimal("1E-30"), 0.1, 1, 1.5, 2**62, 1e300,
              float("inf"), float("nan"), "", "a", "a\0", "b", {}, {"a": 1}, {"a": 1, "b": 0}, {"a": 2}, [], [None],
              [None, 1], [1], b"", b"\xff", UUID(int=0), UUID(int=2**128 - 1), False, True, datetime.date(2024, 1, 1),
              datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), datetime.time(1),
              Interval(0, 0, 0)]
    keys = [KeyCodec([(Kind.ARRAY, False, False)]).encode(([value],)) for value in values]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(("value", "decoded"), [
    (1, 1), (1.0, 1), (Decimal("1.00"), 1), (-(2**63), -(2**63)), (0.1, 0.1), (Decimal("0.1"), 0.1), (-0.0, 0),
    (Decimal("0.1000000000000000055"), Decimal("0.1000000000000000055")), (1e300, 1e300), (5e-324, 5e-324),
    (Decimal(10**25 + 1), Decimal(10**25 + 1)), (2.0**63, 9.223372036854776e18),
])
def test_equal_numbers_of_any_have_one_key(value: Any, decoded: Any) -> None:
    codec = KeyCodec([(Kind.ANY, False, False)])
    assert same(codec.decode(codec.encode((value,)))[0], decoded)
    assert codec.encode((decoded,)) == codec.encode((value,))


@pytest.mark.parametrize(("kind", "value", "size"), [
    (Kind.INT, 0, 1), (Kind.INT, -16, 1), (Kind.INT, 221, 1), (Kind.INT, 222, 2), (Kind.INT, -17, 2),
    (Kind.INT, 2**63 - 1, 9), (Kind.INT, -(2**63), 9), (Kind.FLOAT, 1.5, 8), (Kind.TEXT, "abc", 4), (Kind.TEXT, "", 2),
    (Kind.UUID, UUID(int=5 << 120), 16), (Kind.BOOL, True, 1),
])
def test_sizes(kind: Kind, value: Any, size: int) -> None:
    assert len(key(kind, value)) == size
    assert len(key(kind, value, is_descending=True)) == size


def test_decimals_are_keyed_by_number() -> None:
    assert key(Kind.DECIMAL, Decimal("1.50")) == key(Kind.DECIMAL, Decimal("1.5"))
    assert key(Kind.DECIMAL, Decimal("-0.00")) == key(Kind.DECIMAL, Decimal(0))
    codec = KeyCodec([(Kind.DECIMAL, False, False)])
    assert str(codec.decode(codec.encode((Decimal("1.50E+5"),)))[0]) == "150000"


def test_floats_are_keyed_by_number() -> None:
    assert key(Kind.FLOAT, -0.0) == key(Kind.FLOAT, 0.0)
    assert key(Kind.FLOAT, float("nan")) == key(Kind.FLOAT, -float("nan")) > key(Kind.FLOAT, float("inf"))


def test_equal_intervals_keep_their_parts() -> None:
    codec = KeyCodec([(Kind.INTERVAL, False, False)])
    month, days = Interval(1, 0, 0), Interval(0, 30, 0)
    assert codec.decode(codec.encode((month,))) == (month,)
    assert codec.encode((days,)) < codec.encode((month,)) < codec.encode((Interval(0, 30, 1),))


@pytest.mark.parametrize(("kind", "value"), [(Kind.INT, True), (Kind.INT, 1.0), (Kind.DATE, datetime.datetime.now()),
                                             (Kind.ARRAY, {}), (Kind.TIMESTAMPTZ, datetime.datetime.now())])
def test_wrong_types(kind: Kind, value: Any) -> None:
    with pytest.raises(TypeError):
        key(kind, value)


def test_wrong_arguments() -> None:
    codec = KeyCodec([(Kind.INT, False, False)] * 2)
    with pytest.raises(OverflowError):
        codec.encode((2**63, 0))
    for values in [(1,), (1, 2, 3)]:
        with pytest.raises(ValueError, match="values for"):
            codec.encode(values)
    with pytest.raises(ValueError, match="values for"):
        codec.encode((1, 2), 3)
    with pytest.raises(ValueError, match="kind"):
        KeyCodec([(0, False, False)])
    with pytest.raises(CorruptionError):
        codec.decode(codec.encode((1,), 1))


def test_damaged_keys_never_crash() -> None:
    random_ = random.Random(5)
    columns = [(kind, is_descending, False) for kind in KINDS for is_descending in (False, True)]
    codec = KeyCodec(columns)
    row = (True, 500, 1.5, Decimal("12.5"), "text\0", b"\1", datetime.date(2024, 1, 1), datetime.time(2),
           datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), Interval(1, 2, 3),
           UUID(int=7), {"a": [1.5, "b"]}, [1, None], [{"x": b"y"}])
    encoded = codec.encode([value for value in row for _ in range(2)])
    damaged = [encoded[:size] for size in range(len(encoded))]
    for position in range(len(encoded)):
        for byte in {encoded[position] ^ 1 << bit for bit in range(8)} | {0, 1, 254, 255, random_.randrange(256)}:
            damaged.append(encoded[:position] + bytes([byte]) + encoded[position + 1:])
    refused = 0
    for data in damaged:
        try:
            codec.decode(data)
        except (PhantomError, ValueError):
            refused += 1
    assert refused >= len(encoded)
