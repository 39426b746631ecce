"""What each update operator makes of a field's old value. MISSING: the field is not there, or is to go.

    OPERATORS["$inc"](path, 5)  ->  Operation(change, creates)
"""
from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bson import Timestamp

from phantomdb.frontends.document import values
from phantomdb.frontends.document.errors import BadValue, FailedToParse, TypeMismatch
from phantomdb.frontends.document.expressions_numbers import combine
from phantomdb.frontends.document.filters import compile_filter, has_operators, is_regex, whole
from phantomdb.frontends.document.paths import Change
from phantomdb.frontends.document.sorting import compile_sort, direction
from phantomdb.frontends.document.values import MISSING, order_key


@dataclass(frozen=True, slots=True)
class Operation:
    change: Change
    creates: bool = True                 # whether it makes the path where that is not there


def stored(value: Any) -> Any:
    """A value as it will be read back. TypeError, OverflowError: it cannot be stored."""
    return values.decode_value(values.encode(value))


def set_(_path: str, value: Any) -> Operation:
    new = stored(value)
    return Operation(lambda _old: new)


def unset(_path: str, _value: Any) -> Operation:
    return Operation(lambda _old: MISSING, creates=False)


def _number(name: str, path: str, value: Any) -> Any:
    if not values.is_number(value):
        raise TypeMismatch(f"Cannot {'increment' if name == '$inc' else 'multiply'} with non-numeric argument: "
                           f"{{{path}: {value!r:.80}}}")
    return stored(value)


def _arithmetic(name: str, path: str, value: Any, function: Callable[[Any, Any], Any], start: Any) -> Operation:
    amount = _number(name, path, value)

    def change(old: Any) -> Any:
        if old is MISSING:
            old = start
        elif not values.is_number(old):
            raise TypeMismatch(f"Cannot apply {name} to a value of non-numeric type. The field '{path}' is of "
                               f"non-numeric type {values.type_name(old)}")
        if isinstance(old, int) and isinstance(amount, int):
            new = function(old, amount)
            if not -1 << 63 <= new < 1 << 63:
                raise BadValue(f"Failed to apply {name} operations to current value ((NumberLong){old}) of '{path}'")
            return new
        return combine(function, old, amount)
    return Operation(change)


def inc(path: str, value: Any) -> Operation:
    return _arithmetic("$inc", path, value, lambda a, b: a + b, 0)


def mul(path: str, value: Any) -> Operation:
    return _arithmetic("$mul", path, value, lambda a, b: a * b, 0)


def _extreme(value: Any, sign: int) -> Operation:
    new = stored(value)
    key = order_key(new)

    def change(old: Any) -> Any:
        if old is MISSING:
            return new
        other = order_key(old)
        return new if (key < other if sign < 0 else key > other) else old
    return Operation(change)


def min_(_path: str, value: Any) -> Operation:
    return _extreme(value, -1)


def max_(_path: str, value: Any) -> Operation:
    return _extreme(value, 1)


def current_date(path: str, value: Any) -> Operation:
    kind = "date"
    if isinstance(value, Mapping):
        if set(value) != {"$type"}:
            raise BadValue(f"Unrecognized $currentDate option: {next((key for key in value if key != '$type'), '')}")
        kind = value["$type"]
        if kind not in ("date", "timestamp"):
            raise BadValue("The '$type' string field is required to be 'date' or 'timestamp': "
                           "{$currentDate: {field : {$type: 'date'}}}")
    elif not isinstance(value, bool):
        raise BadValue(f"{values.type_name(value)} is not valid type for $currentDate. Please use a boolean ('true') "
                       f"or a $type expression ({{$type: 'timestamp/date'}}) ({path})")

    def change(_old: Any) -> Any:
        moment = datetime.datetime.now(datetime.UTC)
        if kind == "timestamp":
            return Timestamp(int(moment.timestamp()), 1)
        return moment.replace(tzinfo=None, microsecond=moment.microsecond // 1000 * 1000)
    return Operation(change)


# -------------------------------------------------------------------- arrays

def _array(name: str, path: str, old: Any) -> list[Any]:
    if old is MISSING:
        return []
    if not isinstance(old, list):
        raise BadValue(f"The field '{path}' must be an array but is of type {values.type_name(old)} ({name})")
    return old


def push(path: str, value: Any) -> Operation:
    if not (isinstance(value, Mapping) and "$each" in value):
        new = stored(value)
        return Operation(lambda old: [*_array("$push", path, old), new])
    for key in value:
        if key not in ("$each", "$slice", "$sort", "$position"):
            raise BadValue(f"Unrecognized clause in $push: {key}")
    items = _each("$push", value["$each"])
    position, slice_ = value.get("$position"), value.get("$slice")
    place, length = whole(position), whole(slice_)
    if position is not None and place is None:
        raise BadValue("The value for $position must be an integer value, not of type: "
                       f"{values.type_name(position)}")
    if slice_ is not None and length is None:
        raise BadValue(f"The value for $slice must be an integer value but was given type: "
                       f"{values.type_name(slice_)}")
    order = _push_order(value["$sort"]) if "$sort" in value else None

    def change(old: Any) -> Any:
        array = list(_array("$push", path, old))
        if place is None:
            array += items
        else:
            start = max(len(array) + place, 0) if place < 0 else place
            array[start:start] = items
        if order is not None:
            array = order(array)
        if length is not None:
            array = array[:length] if length >= 0 else array[length:]
        return array
    return Operation(change)


def _each(name: str, items: Any) -> list[Any]:
    if not isinstance(items, list | tuple):
        raise BadValue(f"The argument to $each in {name} must be an array but it was of type: "
                       f"{values.type_name(items)}")
    return [stored(item) for item in items]


def _push_order(specification: Any) -> Callable[[list[Any]], list[Any]]:
    if not isinstance(specification, Mapping):
        if whole(specification) not in (1, -1):
            raise BadValue("The $sort element value must be either 1 or -1")
        is_down = direction(specification) < 0
        return lambda array: sorted(array, key=order_key, reverse=is_down)
    if not specification:
        raise BadValue("The $sort pattern is empty when it should be a set of fields.")
    if any(whole(way) not in (1, -1) for way in specification.values()):
        raise BadValue("The $sort element value must be either 1 or -1")
    return compile_sort(specification)


def add_to_set(path: str, value: Any) -> Operation:
    if isinstance(value, Mapping) and next(iter(value), "") == "$each":
        if len(value) > 1:
            raise BadValue("Found unexpected fields after $each in $addToSet: "
                           f"{', '.join(key for key in value if key != '$each')}")
        items = _each("$addToSet", value["$each"])
    else:
        items = [stored(value)]

    def change(old: Any) -> Any:
        array = _array("$addToSet", path, old)
        keys = {order_key(item) for item in array}
        added = []
        for item in items:
            key = order_key(item)
            if key not in keys:
                keys.add(key)
                added.append(item)
        return [*array, *added] if added or old is MISSING else old
    return Operation(change)


def pop(path: str, value: Any) -> Operation:
    end = whole(value)
    if end not in (1, -1):
        raise FailedToParse(f"$pop expects 1 or -1, found: {value!r:.40}")

    def change(old: Any) -> Any:
        if old is MISSING:
            return MISSING
        if not isinstance(old, list):
            raise TypeMismatch(f"Path '{path}' contains an element of non-array type '{values.type_name(old)}'")
        return old if not old else old[:-1] if end == 1 else old[1:]
    return Operation(change, creates=False)


def _removing(name: str, is_gone: Callable[[Any], bool]) -> Operation:
    def change(old: Any) -> Any:
        if old is MISSING:
            return MISSING
        if not isinstance(old, list):
            raise BadValue(f"Cannot apply {name} to a non-array value")
        kept = [item for item in old if not is_gone(item)]
        return kept if len(kept) < len(old) else old
    return Operation(change, creates=False)


def pull(_path: str, value: Any) -> Operation:
    if has_operators(value) and next(iter(value)) not in ("$and", "$or", "$nor", "$expr"):
        test = compile_filter({"item": value})
        return _removing("$pull", lambda item: test.matches({"item": item}))
    if isinstance(value, Mapping):
        members = compile_filter(value)
        return _removing("$pull", lambda item: isinstance(item, dict) and members.matches(item))
    if is_regex(value):
        pattern = compile_filter({"item": value})
        return _removing("$pull", lambda item: pattern.matches({"item": item}))
    key = order_key(value)
    return _removing("$pull", lambda item: order_key(item) == key)


def pull_all(_path: str, value: Any) -> Operation:
    if not isinstance(value, list | tuple):
        raise BadValue(f"$pullAll requires an array argument but was given a {values.type_name(value)}")
    keys = {order_key(item) for item in value}
    return _removing("$pullAll", lambda item: order_key(item) in keys)


# -------------------------------------------------------------------- bits

def bit(path: str, value: Any) -> Operation:
    if not isinstance(value, Mapping):
        raise BadValue("The $bit modifier is not compatible with a "
                       f"{values.type_name(value)}. You must pass in an embedded document: {{$bit: "
                       "{field: {and/or/xor: #}}")
    if not value:
        raise BadValue(f"You must pass in at least one bitwise operation. The field is: '{path}'")
    for name, operand in value.items():
        if name not in ("and", "or", "xor"):
            raise BadValue("The $bit modifier only supports 'and', 'or', and 'xor', not "
                           f"'{name}' which is an unknown operator")
        if not isinstance(operand, int) or isinstance(operand, bool):
            raise BadValue("The $bit modifier field must be an Integer(32/64 bit); a "
                           f"'{values.type_name(operand)}' is not supported here: {{{name}: {operand!r:.40}}}")

    def change(old: Any) -> Any:
        new = 0 if old is MISSING else old
        if not isinstance(new, int) or isinstance(new, bool):
            raise BadValue(f"Cannot apply $bit to a value of non-integral type: '{path}' is of "
                           f"{values.type_name(old)}")
        for name, operand in value.items():
            new = new & operand if name == "and" else new | operand if name == "or" else new ^ operand
        return new
    return Operation(change)


OPERATORS: dict[str, Callable[[str, Any], Operation]] = {
    "$set": set_, "$setOnInsert": set_, "$unset": unset, "$inc": inc, "$mul": mul, "$min": min_, "$max": max_,
    "$currentDate": current_date, "$push": push, "$addToSet": add_to_set, "$pop": pop, "$pull": pull,
    "$pullAll": pull_all, "$bit": bit}
UPDATE_OPERATORS: tuple[str, ...] = (*OPERATORS, "$rename")
