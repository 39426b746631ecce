"""The values of documents: PyMongo's classes come back as they were, and both forms of a value have one order."""
from __future__ import annotations

import datetime
import re
import subprocess
import sys
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from document_values import BSON_LEAVES, LEAVES, ONLY_IN_DOCUMENTS, documents
from hypothesis import given, settings

from phantomdb.core._ext import document, document_order, key_tuple
from phantomdb.core.errors import CorruptionError
from phantomdb.core.values import Kind
from phantomdb.frontends.document import values


@given(documents(LEAVES), documents(LEAVES))
@settings(max_examples=400, deadline=None)
def test_bytes_and_objects_have_one_order(a: Any, b: Any) -> None:
    left, right = values.order_key(a), values.order_key(b)
    assert document_order.compare(values.encode(a), values.encode(b)) == (left > right) - (left < right)
    assert document_order.compare(values.encode(a), values.encode(a)) == 0


@pytest.mark.parametrize(("less", "more"), [
    (MinKey(), None), (None, -5), (float("nan"), Decimal128("-Infinity")), (5, ""), ("z", {}), ({}, []), ([], b""),
    (b"", ObjectId()), (b"x", UUID(int=0)), (ObjectId(), False), (False, True), (True, datetime.datetime(1970, 1, 1)),
    (datetime.datetime(9999, 1, 1), Timestamp(0, 0)), (Timestamp(5, 5), Regex("")), (Regex("z"), Code("")),
    (Code("z"), MaxKey()), ({"a": 2}, {"b": 1}), ({"b": 1}, {"a": "x"}), ({"a": 1}, {"a": 1, "b": 0}),
    ([1, 2], [1, 3]), ([1], [1, 0]), (2**53, float(2**53 + 2)), (0.1, Decimal128("0.11")), (Decimal128("0.1"), 0.1),
    (Decimal128("1E+6000"), float("inf")), ("a\U00010000", "b"), ("￿", "\U00010000"),
])
def test_order(less: Any, more: Any) -> None:
    assert document_order.compare(values.encode(less), values.encode(more)) == -1
    assert values.order_key(less) < values.order_key(more)


@pytest.mark.parametrize(("a", "b"), [
    (1, 1.0), (1, Decimal128("1.00")), (0.5, Decimal("0.5")), (0.0, -0.0), (float("nan"), Decimal128("NaN")),
    (Int64(5), 5), (Binary(b"x", 0), b"x"), (Binary.from_uuid(UUID(int=7)), UUID(int=7)), ((1, 2), [1, 2]),
    (re.compile("a", re.IGNORECASE), Regex("a", "i")), (float(2**60), 2**60),
    (datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
     datetime.datetime(2024, 1, 1, 10)),
])
def test_equal(a: Any, b: Any) -> None:
    assert values.equal(a, b)
    assert document_order.compare(values.encode(a), values.encode(b)) == 0


@given(documents(BSON_LEAVES))
@settings(deadline=None)
def test_round_trip(value: Any) -> None:
    back = values.decode_value(values.encode(value))
    assert values.equal(back, value)


@pytest.mark.parametrize(("value", "back"), [
    (Decimal("1.50"), Decimal128("1.50")), (datetime.datetime(2024, 1, 2, 3, 4, 5, 678_901),
                                            datetime.datetime(2024, 1, 2, 3, 4, 5, 678_000)),
    (datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999), datetime.datetime(1969, 12, 31, 23, 59, 59, 999_000)),
    (datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), datetime.datetime(2024, 1, 1)), ((1, (2,)), [1, [2]]),
    (re.compile("a.b", re.DOTALL | re.MULTILINE), Regex("a.b", "ms")), (Decimal128("-NaN"), Decimal128("NaN")),
])
def test_what_comes_back_in_another_class(value: Any, back: Any) -> None:
    found = values.decode_value(values.encode(value))
    assert found == back or repr(found) == repr(back)
    assert type(found) is type(back)


def test_core_reads_the_same_bytes_its_own_way() -> None:
    data = values.encode({"d": Decimal128("1.5"), "t": datetime.datetime(2024, 1, 1)})
    assert document.decode(data) == {"d": Decimal("1.5"), "t": datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)}


def test_core_loads_the_classes_when_it_reads_the_first() -> None:
    data = values.encode([ObjectId("0123456789abcdef01234567")])
    program = ("import sys; from phantomdb.core import values; from phantomdb.core._ext import document; "
               f"assert 'bson' not in sys.modules; print(document.decode({data!r}))")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[ObjectId('0123456789abcdef01234567')]\n"


@given(ONLY_IN_DOCUMENTS | documents(BSON_LEAVES), documents(BSON_LEAVES))
@settings(deadline=None)
def test_keys(a: Any, b: Any) -> None:
    codec = key_tuple.KeyCodec([(Kind.ANY, False, True), (Kind.ANY, True, False)])
    if a is None or b is None:
        return
    found = codec.decode(codec.encode([a, b]))
    for value, back in zip((a, b), found, strict=True):
        assert codec.encode([back, back]) == codec.encode([value, value])


@given(ONLY_IN_DOCUMENTS, ONLY_IN_DOCUMENTS)
@settings(deadline=None)
def test_keys_have_the_order_of_values(a: Any, b: Any) -> None:
    codec = key_tuple.KeyCodec([(Kind.ANY, False, True)])
    left, right = codec.encode([a]), codec.encode([b])
    assert (left > right) - (left < right) == document_order.compare(values.encode(a), values.encode(b))


@pytest.mark.parametrize(("value", "text"), [
    (ObjectId("0123456789abcdef01234567"), '"0123456789abcdef01234567"'), (Regex('a"', "i"), r'"a\""'),
    (MinKey(), '"MinKey"'), (MaxKey(), '"MaxKey"'), (Timestamp(7, 2), '"7:2"'), (Binary(b"\x01", 9), r'"\\x01"'),
    (Code("f()"), '"f()"'),
])
def test_json_text(value: Any, text: str) -> None:
    assert document.to_json_text(values.encode(value)).decode() == text


@pytest.mark.parametrize(("value", "error"), [
    (2**63, OverflowError), ({"a\0": 1}, ValueError), ({1: 2}, TypeError), ({1}, TypeError),
    (Code("f", {"a": 1}), TypeError), (Regex("a\0"), ValueError),
])
def test_what_cannot_be_stored(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        values.encode(value)


@pytest.mark.parametrize("data", [b"\x10" + b"x" * 11, b"\x11a", b"\x12x", b"\x14" + b"x" * 7, b"\x15", b"\x16\xff",
                                  b"\x17", b"\x11\xff\x00i"])
def test_damage(data: bytes) -> None:
    with pytest.raises(CorruptionError):
        document.decode(data)


@pytest.mark.parametrize(("value", "name"), [
    (1, "int"), (2**31, "long"), (Int64(1), "long"), (1.0, "double"), (True, "bool"), (Decimal(1), "decimal"),
    (b"", "binData"), (UUID(int=1), "binData"), (values.MISSING, "missing"), (Code(""), "javascript"), ((), "array"),
])
def test_type_names(value: Any, name: str) -> None:
    assert values.type_name(value) == name
