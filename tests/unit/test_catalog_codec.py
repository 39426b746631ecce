"""The catalog's bytes: each class and each value comes back as it was, and nothing else is let in."""
from __future__ import annotations

import dataclasses
import datetime
import types
import typing
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import phantomdb
from phantomdb.core import values
from phantomdb.core.catalog import codec, objects
from phantomdb.core.catalog.codec import decode, encode
from phantomdb.core.catalog.objects import Column, Index, IndexColumn, StoredExpression, TableStatistics
from phantomdb.core.errors import CorruptionError, InvalidArgument
from phantomdb.core.query import plan
from phantomdb.core.query.errors import StatementTooComplex
from phantomdb.core.values import BOOL, INT, TEXT, Interval

CLASSES = [kind for module in (objects, plan, values) for kind in vars(module).values()
           if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind.__module__ == module.__name__]

VALUES = [
    None, False, True, 0, -1, 1 << 62, -(1 << 63), (1 << 64) - 1, 1 << 64, -(10 ** 500), 0.5, float("inf"), "", "a\0ß",
    b"", b"\xff\0", Decimal("1.10"), Decimal("-0"), Decimal("1E+400"), Decimal("-Infinity"), datetime.date(1, 1, 1),
    datetime.time(23, 59, 59, 999999), datetime.datetime(9999, 12, 31, 23, 59, 59, 1),
    datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC), Interval(-1, 2, 1 << 70), UUID(int=7),
    {"a": [1, None, {"b": []}], "": "t", "Column": ["Column", {}]}, [], ["t", "l"]]


def same(a: object, b: object) -> bool:
    """Equal, and of equal types all the way down (True is not 1)."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))         # type: ignore[arg-type]
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)      # type: ignore[call-overload, index]
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, field.name), getattr(b, field.name)) for field in dataclasses.fields(a))
    return str(a) == str(b) if isinstance(a, (Decimal, float)) else a == b


@pytest.mark.parametrize("value", [*VALUES, -(10 ** 5000), (), (1, ("t",)), {3: 4}],
                         ids=lambda value: type(value).__name__)
def test_values(value: object) -> None:
    assert same(decode(encode(value), object), value)


def example(hint: Any, depth: int) -> Any:
    """Some value of an annotation that is no default."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        wanted = [part for part in arguments if part is not type(None)]
        return example(wanted[0], depth) if depth or type(None) not in arguments else None
    if origin is tuple:
        if arguments[-1] is ...:
            return (example(arguments[0], depth), ) * 2 if depth else ()
        return tuple(example(part, depth) for part in arguments)
    if origin is dict:
        return {example(arguments[0], depth): example(arguments[1], depth)} if depth else {}
    simple: dict[Any, Any] = {object: [1, "x"], int: 17, str: "text", bool: True, float: 2.5, Decimal: Decimal("2.5")}
    if hint in simple:
        return simple[hint]
    if issubclass(hint, Enum):
        return list(hint)[-1]
    if hint is plan.Expression:
        return plan.Literal(TEXT, "x")
    if hint is plan.Node:
        return plan.Values((), ())
    hints = typing.get_type_hints(hint)
    return hint(**{field.name: example(hints[field.name], max(0, depth - 1)) for field in dataclasses.fields(hint)})


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_class(kind: type) -> None:
    for depth in (0, 1, 3):
        made = example(kind, depth)
        assert same(decode(encode(made), kind), made)


def test_there_are_classes() -> None:
    assert {objects.Table, plan.Window, values.Type} <= set(CLASSES)


expressions = st.recursive(
    st.builds(plan.Literal, st.sampled_from([INT, TEXT]), st.sampled_from(VALUES))
    | st.builds(plan.Column, st.just(INT), st.integers(1, 9), st.text(st.characters(codec="utf-8"))),
    lambda inner: st.builds(plan.Call, st.just(BOOL), st.text(st.characters(codec="utf-8")),
                            st.lists(inner, max_size=3).map(tuple))
    | st.builds(plan.Cast, st.just(TEXT), inner, st.booleans())
    | st.builds(plan.Case, st.just(TEXT), st.tuples(st.tuples(inner, inner)), inner), max_leaves=8)


@settings(max_examples=50, deadline=None)
@given(expressions)
def test_expressions(expression: plan.Expression) -> None:
    data = encode(StoredExpression("text", expression))
    assert same(decode(data, StoredExpression).bound, expression)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_bytes_are_corruption(data: st.DataObject) -> None:
    """Whatever the damage: an object of the right class, or CorruptionError."""
    good = bytearray(encode(example(objects.Table, 2)))
    if data.draw(st.booleans()):
        bad = bytes(good[:data.draw(st.integers(0, len(good) - 1))])
    else:
        good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
        bad = bytes(good)
    try:
        assert isinstance(decode(bad, objects.Table), objects.Table)
    except CorruptionError:
        pass


def packed(*parts: object) -> bytes:
    return msgspec.msgpack.encode(parts)


INT_PACKED = ["Type", {"kind": ["Kind", 2], "bits": 32}]


@pytest.mark.parametrize("data", [
    b"", b"\xc1", b"\xa2\xff\xff",                                               # no MessagePack
    encode(5)[:-1], encode("abc")[:-1], encode("abc") + b"\0",
    packed("Nothing", {}), packed("plan.Nothing", {}), packed("object", {}), packed(1, {}), packed(), packed(["t"]),
    packed("Column"), packed("Column", 5), packed("Column", {}, {}),
    packed("Column", {"id": 1, "name": "a"}),                                    # no type
    packed("Column", {"id": 1, "name": "a", "type": 5}), packed("Column", {"id": "1", "name": "a", "type": INT_PACKED}),
    packed("Column", {"id": True, "name": "a", "type": INT_PACKED}),
    packed("Column", {"id": 1, "name": "a", "type": INT_PACKED, "later": 1}),
    packed("Column", {"id": 1, "name": "a", "type": INT_PACKED, "default": ["Check", {}]}),
    packed("Kind", 99), packed("Kind", "int"), packed("Kind"), packed("Action", "explode"),
    packed("decimal", "x"), packed("decimal", 5, 5), packed("date", "2000-13-01"), packed("uuid", b"short"),
    packed("interval", 1, 2, 3, 4), packed("int", "zz"), packed("timestamp", 5),
    packed("t", {5.5: 1}), msgspec.msgpack.encode(msgspec.msgpack.Ext(5, b"")),
    msgspec.msgpack.encode(datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)),
    packed("IndexColumn", {"path": ["t", 1, None]}), packed("IndexColumn", {"path": ["l", 1]}),
    packed("TableStatistics", {"table": 1, "row_count": 1, "bytes": 1, "columns": {1: 5}}),
], ids=lambda data: repr(data)[:50])
def test_what_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptionError) as caught:
        decode(data, object)
    assert caught.value.code == "corruption"


def test_another_class_than_expected_is_corruption() -> None:
    with pytest.raises(CorruptionError, match="not a Index"):
        decode(encode(Column(1, "a", INT)), Index)


def test_fields_added_later_have_their_default() -> None:
    """What a version without comment, missing and sequence would have written."""
    old = packed("Column", {"id": 1, "name": "a", "type": ["Type", {"kind": ["Kind", 2], "bits": 32}]})
    assert decode(old, Column) == Column(1, "a", INT)
    assert decode(packed("TableStatistics", {"table": 1, "row_count": 5, "bytes": 6}), TableStatistics).columns == {}


def test_a_class_that_grew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new field with a default: old bytes are read; bytes with a field that is gone are not."""
    old = encode(IndexColumn(5))
    grown = dataclasses.make_dataclass("IndexColumn", [
        ("column", int | None, None), ("collation", str, dataclasses.field(default="C"))], frozen=True, slots=True)
    grown.__module__ = objects.__name__
    monkeypatch.setattr(objects, "IndexColumn", grown)
    caches = (codec._shapes, codec._shapes_by_tag)
    for cached in caches:
        cached.cache_clear()
    try:
        assert decode(old, grown) == grown(5, "C")
        with pytest.raises(CorruptionError, match="unknown field"):
            decode(packed("IndexColumn", {"column": 5, "is_descending": True}), grown)
    finally:
        for cached in caches:
            cached.cache_clear()


def test_what_only_equals_a_default_is_kept() -> None:
    made = objects.ColumnStatistics(0.0, 1.0, average_bytes=8)
    assert same(decode(encode(made), objects.ColumnStatistics), made)


def test_defaults_take_no_space() -> None:
    assert b"comment" not in encode(Column(1, "a", INT))
    assert b"comment" in encode(Column(1, "a", INT, comment="x"))


@pytest.mark.parametrize("wrong", [
    object(), {1, 2}, bytearray(b"x"), {b"x": 1}, {(1,): 1}, Column,
    Column("1", "a", INT), Column(1, "a", INT, is_nullable=1),                           # type: ignore[arg-type]
    IndexColumn(path=["a"]), Index(1, "a", (5,)), IndexColumn(path=(1.5,)),              # type: ignore[arg-type]
    "half \ud800",
], ids=lambda wrong: repr(wrong)[:30])
def test_what_could_not_be_read_is_not_written(wrong: object) -> None:
    with pytest.raises(InvalidArgument):
        encode(wrong)


def nested(depth: int) -> plan.Expression:
    expression: plan.Expression = plan.Literal(BOOL, True)
    for _ in range(depth):
        expression = plan.Call(BOOL, "not", (expression,))
    return expression


def test_depth() -> None:
    deep = nested(codec.MAX_DEPTH // 2 - 2)
    assert decode(encode(deep), plan.Call) == deep
    for depth in (codec.MAX_DEPTH // 2 + 1, 5000):
        with pytest.raises(StatementTooComplex):
            encode(nested(depth))
    data: object = 1
    for _ in range(codec.MAX_DEPTH + 1):
        data = ["t", data]
    with pytest.raises(CorruptionError, match="too deeply"):
        decode(msgspec.msgpack.encode(data), object)


# -------------------------------------------------------------------- the page on the format

def test_the_page_has_every_tag() -> None:
    page = (Path(phantomdb.__file__).parents[1] / "docs" / "formats-catalog.md").read_text("utf-8")
    for tag in ("t", "l", *(tag for tag, _, _ in codec._SCALARS.values())):
        assert f"`{tag}`" in page


def test_bytes_are_what_the_page_says() -> None:
    column = Column(1, "a", INT, missing=[Decimal("1.50"), 1 << 70, datetime.date(2000, 2, 29), UUID(int=1)])
    assert msgspec.msgpack.decode(encode(column)) == ["Column", {
        "id": 1, "name": "a", "type": ["Type", {"kind": ["Kind", 2], "bits": 32}],
        "missing": ["l", ["decimal", "1.50"], ["int", "400000000000000000"], ["date", "2000-02-29"],
                    ["uuid", bytes(15) + b"\1"]]}]
    check = objects.Check("c", StoredExpression("a", plan.Column(BOOL, 1, "a")))
    assert msgspec.msgpack.decode(encode(check)) == ["Check", {
        "name": "c", "condition": ["StoredExpression", {
            "text": "a", "bound": ["plan.Column", {"type": ["Type", {"kind": ["Kind", 1]}], "id": 1, "name": "a"}]}]}]
    assert msgspec.msgpack.decode(encode(Interval(1, 2, 3))) == ["interval", 1, 2, 3]
    assert msgspec.msgpack.decode(encode(datetime.datetime(2000, 1, 1))) == ["timestamp", "2000-01-01T00:00:00"]
