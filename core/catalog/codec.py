"""Objects of the catalog as bytes and back, plans and values included.

    Column(id=1, name="a", type=INT)   <->   msgpack of ["Column", {"id": 1, "name": "a", "type": ["Type", {...}]}]

Every MessagePack array begins with a tag: "t" a tuple, "l" a list, the name of a class, or the kind of a value that
MessagePack has no form for. A class is a dataclass or an enum of objects.py, plan.py ("plan.Column") or values.py; the
table of them is closed, so bytes can make nothing else. Fields are named and those equal to their default are left
out: a field added later has its default in older bytes. Therefore the default of a field never changes.

Both ways each field is held against its annotation: what could not be read again is never written, and what is read
has the types that the rest of core relies on.
"""
from __future__ import annotations

import dataclasses
import datetime
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec

from phantomdb.core import values
from phantomdb.core.catalog import objects
from phantomdb.core.errors import CorruptionError, InvalidArgument
from phantomdb.core.query import plan
from phantomdb.core.query.errors import StatementTooComplex
from phantomdb.core.values import Interval

T = TypeVar("T")
Check = Callable[[object], bool]

# Containers inside each other; an expression takes two. Python's own limit is a thousand calls.
MAX_DEPTH = 400

_REQUIRED = object()                 # in place of a default
_PLAIN = frozenset({type(None), bool, float, str, bytes})
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1                   # what MessagePack can hold
_MODULES = ((objects, ""), (values, ""), (plan, "plan."))


@dataclass(frozen=True, slots=True)
class _Shape:
    """What there is to know of a dataclass."""

    tag: str
    make: Callable[..., object]
    fields: tuple[tuple[str, Check, object], ...]        # name, check, default
    checks: dict[str, Check]
    required: frozenset[str]                             # those without a default


# Values that are no MessagePack: what stands after the tag, and the way back.
_SCALARS: dict[type, tuple[str, Callable[[Any], list[object]], Callable[..., object]]] = {
    Decimal: ("decimal", lambda value: [str(value)], Decimal),
    datetime.date: ("date", lambda value: [value.isoformat()], datetime.date.fromisoformat),
    datetime.time: ("time", lambda value: [value.isoformat()], datetime.time.fromisoformat),
    datetime.datetime: ("timestamp", lambda value: [value.isoformat()], datetime.datetime.fromisoformat),
    UUID: ("uuid", lambda value: [value.bytes], lambda data: UUID(bytes=data)),
    Interval: ("interval", lambda value: [_pack(part, 1) for part in value],
               lambda *parts: Interval(*(cast("int", _unpack(part, 1)) for part in parts))),
    int: ("int", lambda value: [format(value, "x")], lambda text: int(text, 16)),
}
_SCALAR_READERS = {tag: read for tag, _, read in _SCALARS.values()}


def encode(value: object) -> bytes:
    """The bytes of a catalog object, expression, plan or value. InvalidArgument: it, or something in it, is of no type
    the catalog can hold. StatementTooComplex: nested too deeply."""
    try:
        return msgspec.msgpack.encode(_pack(value, MAX_DEPTH))
    except RecursionError:
        raise StatementTooComplex from None
    except UnicodeEncodeError:
        raise InvalidArgument("a text in the catalog is no Unicode: it has half a surrogate pair") from None


def decode(data: bytes, kind: type[T]) -> T:
    """The object of class `kind` that `encode` made these bytes of. CorruptionError: they are none."""
    try:
        value = _unpack(msgspec.msgpack.decode(data), MAX_DEPTH)
    except (ValueError, TypeError, InvalidOperation, OverflowError) as error:    # also msgspec's and of UTF-8
        raise CorruptionError(f"a row of the catalog cannot be read: {error}") from error
    if not isinstance(value, kind):
        raise CorruptionError(f"a row of the catalog is a {type(value).__name__}, not a {kind.__name__}")
    return value


# -------------------------------------------------------------------- writing

def _pack(value: object, depth: int) -> object:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int and _INT_MIN <= cast("int", value) <= _INT_MAX:
        return value
    if depth == 0:
        raise StatementTooComplex
    if kind is tuple or kind is list:
        packed: list[object] = ["t" if kind is tuple else "l"]
        for item in cast("tuple[object, ...]", value):
            packed.append(_pack(item, depth - 1))                # no comprehension: each would be a call deeper
        return packed
    if kind is dict:
        mapping: dict[object, object] = {}
        for key, item in cast("dict[object, object]", value).items():
            if type(key) not in (str, int):
                raise InvalidArgument(f"the catalog cannot hold a key of type {type(key).__name__}")
            mapping[key] = _pack(item, depth - 1)
        return mapping
    shape = _shapes().get(kind)
    if shape is not None:
        return _pack_fields(value, shape, depth)
    if scalar := _SCALARS.get(kind):
        return [scalar[0], *scalar[1](value)]
    if isinstance(value, Enum) and kind.__name__ in _enums():
        return [kind.__name__, value.value]
    raise InvalidArgument(f"the catalog cannot hold a {kind.__name__}")


def _pack_fields(value: object, shape: _Shape, depth: int) -> object:
    fields: dict[str, object] = {}
    for name, check, default in shape.fields:
        item = getattr(value, name)
        if item is default:
            continue
        if not check(item):
            raise InvalidArgument(f"{shape.tag}.{name} cannot be a {type(item).__name__}, or holds what it cannot hold")
        if type(item) is not type(default) or item != default:
            fields[name] = _pack(item, depth - 1)
    return [shape.tag, fields]


# -------------------------------------------------------------------- reading

def _unpack(item: object, depth: int) -> object:
    kind = type(item)
    if kind in _PLAIN or kind is int:
        return item
    if depth == 0:
        raise ValueError("nested too deeply")
    if kind is dict:
        mapping: dict[object, object] = {}
        for key, value in cast("dict[object, object]", item).items():
            if type(key) not in (str, int):
                raise ValueError(f"a key of type {type(key).__name__}")
            mapping[key] = _unpack(value, depth - 1)
        return mapping
    if kind is not list or not item:
        raise ValueError(f"a {kind.__name__} without a tag")
    tag, *rest = cast("list[object]", item)
    if tag == "t" or tag == "l":
        unpacked: list[object] = []
        for value in rest:
            unpacked.append(_unpack(value, depth - 1))
        return tuple(unpacked) if tag == "t" else unpacked
    if type(tag) is not str:
        raise ValueError("a tag that is no text")
    if shape := _shapes_by_tag().get(tag):
        return _unpack_fields(rest, shape, depth)
    if tag in _enums():
        (value,) = rest
        return _enums()[tag](value)
    if tag in _SCALAR_READERS:
        return _SCALAR_READERS[tag](*rest)
    raise ValueError(f"unknown class {tag!r}")


def _unpack_fields(rest: list[object], shape: _Shape, depth: int) -> object:
    (given,) = rest
    if type(given) is not dict:
        raise ValueError(f"{shape.tag} without fields")
    fields: dict[str, object] = {}
    for name, packed in given.items():
        check = shape.checks.get(name)
        if check is None:
            raise ValueError(f"{shape.tag} has an unknown field {name!r}")
        value = fields[name] = _unpack(packed, depth - 1)
        if not check(value):
            raise ValueError(f"{shape.tag}.{name} is a {type(value).__name__}")
    if not shape.required <= fields.keys():
        raise ValueError(f"{shape.tag} has no {min(shape.required - fields.keys())}")
    return shape.make(**fields)


# -------------------------------------------------------------------- the classes

@cache
def _shapes() -> dict[type, _Shape]:
    found: dict[type, _Shape] = {}
    for module, prefix in _MODULES:
        for kind in vars(module).values():
            if isinstance(kind, type) and kind.__module__ == module.__name__ and dataclasses.is_dataclass(kind):
                hints = typing.get_type_hints(kind)
                checks = {field.name: _check_of(hints[field.name]) for field in dataclasses.fields(kind)}
                defaults = {field.name: _default_of(field) for field in dataclasses.fields(kind)}
                found[kind] = _Shape(
                    prefix + kind.__name__, kind, tuple((name, checks[name], defaults[name]) for name in checks),
                    checks, frozenset(name for name, default in defaults.items() if default is _REQUIRED))
    return found


@cache
def _shapes_by_tag() -> dict[str, _Shape]:
    return {shape.tag: shape for shape in _shapes().values()}


@cache
def _enums() -> dict[str, Callable[[object], object]]:
    return {kind.__name__: kind for module, _ in _MODULES for kind in vars(module).values()
            if isinstance(kind, type) and issubclass(kind, Enum) and kind.__module__ == module.__name__}


def _default_of(field: dataclasses.Field[Any]) -> object:
    if field.default is not dataclasses.MISSING:
        return field.default
    return _REQUIRED if field.default_factory is dataclasses.MISSING else field.default_factory()


def _check_of(hint: Any) -> Check:
    """Whether a value is what an annotation says, exactly: a bool is no int."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is object:
        return lambda _value: True
    if origin is types.UnionType or origin is typing.Union:
        leaves = frozenset(part for part in arguments if part in _PLAIN or part in _SCALARS)
        others = tuple(_check_of(part) for part in arguments if part not in leaves)
        return lambda value: type(value) in leaves or any(check(value) for check in others)
    if origin is tuple and arguments[-1] is ...:
        each = _check_of(arguments[0])
        return lambda value: type(value) is tuple and all(map(each, value))
    if origin is tuple:
        every = tuple(map(_check_of, arguments))
        return lambda value: (type(value) is tuple and len(value) == len(every)
                              and all(check(part) for check, part in zip(every, value, strict=True)))
    if origin is list:
        each = _check_of(arguments[0])
        return lambda value: type(value) is list and all(map(each, value))
    if origin is dict:
        keys, items = map(_check_of, arguments)
        return lambda value: type(value) is dict and all(map(keys, value)) and all(map(items, value.values()))
    if hint is float:
        return lambda value: type(value) in (float, int)         # 60 will do for 60.0
    if hint in _PLAIN or hint in _SCALARS:
        return lambda value: type(value) is hint
    return lambda value: isinstance(value, hint)
