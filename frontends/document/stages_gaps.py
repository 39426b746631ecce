"""Stages that fill gaps: $densify adds documents to a series, $fill adds values to documents."""
from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from phantomdb.frontends.document import values
from phantomdb.frontends.document.errors import FailedToParse
from phantomdb.frontends.document.expression_base import fail, is_null
from phantomdb.frontends.document.expressions import compile_evaluate, get_path
from phantomdb.frontends.document.expressions_dates import add_units, unit_of
from phantomdb.frontends.document.expressions_numbers import combine
from phantomdb.frontends.document.filters import whole
from phantomdb.frontends.document.paths import Route
from phantomdb.frontends.document.sorting import compile_sort_key
from phantomdb.frontends.document.stage_base import Context, Stage, stage
from phantomdb.frontends.document.stages_documents import add_fields_stage
from phantomdb.frontends.document.stages_windows import partitions, set_window_fields_stage
from phantomdb.frontends.document.values import MISSING, Document, order_key

_DOCUMENTS_MAX = 500_000                 # that $densify makes, as MongoDB


def _key_of(fields: Any, name: str) -> Any:
    if not isinstance(fields, list | tuple) or not all(isinstance(item, str) for item in fields):
        raise FailedToParse(f"{name}: partitionByFields must be an array of strings")
    return {str(index): f"${path}" for index, path in enumerate(fields)}


@stage("$densify")
def densify_stage(argument: Any, context: Context) -> Stage:
    if not isinstance(argument, Mapping) or "field" not in argument or not isinstance(argument.get("range"), Mapping):
        raise fail(5733201, "the $densify stage needs 'field' and 'range'")
    by_fields, range_ = argument.get("partitionByFields", []), argument["range"]
    by = compile_evaluate(_key_of(by_fields, "$densify"), context.variables)
    bounds, unit = range_.get("bounds"), range_.get("unit")
    unit = unit_of(unit, "$densify") if unit is not None else None
    step = range_.get("step")
    if not values.is_number(step) or values.number_of(step) <= 0 or (unit is not None and whole(step) is None):
        raise fail(5733401, "the step parameter in a range statement must be a strictly positive number, with a unit "
                            "a whole one")
    if bounds not in ("full", "partition") and not (isinstance(bounds, list | tuple) and len(bounds) == 2):
        raise fail(5946802, "bounds must be 'full', 'partition' or an array of two values")
    steps = tuple(argument["field"].split("."))
    put = Route(steps, {}, True)

    def value_of(document: Document) -> Any:
        value = get_path(document, steps)
        if is_null(value):
            return None
        if isinstance(value, datetime.datetime) != (unit is not None) or not (
                isinstance(value, datetime.datetime) or values.is_number(value)):
            raise fail(5733201 if unit is None else 6053600, "Densify field type must be numeric, with a unit a date")
        return value

    def at(start: Any, index: int) -> Any:
        if unit is not None:
            return add_units(start, unit, index * int(values.number_of(step)))
        return combine(lambda a, b: a + b, start, combine(lambda a, b: a * b, step, index))

    def series(start: Any, stop: Any, is_closed: bool) -> Iterator[Any]:
        for index in itertools.count():
            value = at(start, index)
            if order_key(value) > order_key(stop) or (not is_closed and order_key(value) == order_key(stop)):
                return
            if index > _DOCUMENTS_MAX:
                raise fail(5897900, f"Generated {_DOCUMENTS_MAX} documents in $densify, which is over the limit")
            yield value

    def fill(rows: list[Document], low: Any, high: Any, is_closed: bool) -> Iterator[Document]:
        partition = {}
        for path in by_fields:
            value = get_path(rows[0], tuple(path.split("."))) if rows else MISSING
            if value is not MISSING:
                partition[path] = value
        found = sorted(((order_key(value), document) for document in rows
                        if (value := value_of(document)) is not None), key=lambda item: item[0])
        yield from (document for document in rows if value_of(document) is None)
        position = 0
        for value in series(low, high, is_closed):
            key = order_key(value)
            while position < len(found) and found[position][0] < key:
                yield found[position][1]
                position += 1
            if position < len(found) and found[position][0] == key:
                continue
            made: Document = {}
            for path, item in partition.items():
                route = Route(tuple(path.split(".")), {}, True)
                made = route.change(made, lambda _old, item=item: item)     # type: ignore[misc]
            yield put.change(made, lambda _old, value=value: value)     # type: ignore[misc]
        yield from (document for _, document in found[position:])

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        groups = list(partitions(documents, by, context))
        present = [value for rows in groups for document in rows if (value := value_of(document)) is not None]
        for rows in groups:
            inside = present if bounds == "full" else [
                value for document in rows if (value := value_of(document)) is not None]
            if isinstance(bounds, list | tuple):
                yield from fill(rows, bounds[0], bounds[1], False)
            elif inside:
                yield from fill(rows, min(inside, key=order_key), max(inside, key=order_key), True)
            else:
                yield from rows
    return run


@stage("$fill")
def fill_stage(argument: Any, context: Context) -> Stage:
    """By a value, or as $locf and $linearFill of $setWindowFields do."""
    if not isinstance(argument, Mapping) or not isinstance(argument.get("output"), Mapping):
        raise FailedToParse("the $fill stage specification must be an object with an object 'output'")
    for key in argument:
        if key not in ("partitionBy", "partitionByFields", "sortBy", "output"):
            raise fail(40415, f"BSON field '$fill.{key}' is an unknown field.")
    if "partitionBy" in argument and "partitionByFields" in argument:
        raise fail(6050204, "Maximum one of 'partitionBy' and 'partitionByFields' can be specified in '$fill'")
    by = _key_of(argument["partitionByFields"], "$fill") if "partitionByFields" in argument else (
        argument.get("partitionBy"))
    windows: dict[str, Any] = {}
    constants: dict[str, Any] = {}
    for path, item in argument["output"].items():
        if not isinstance(item, Mapping) or set(item) not in ({"value"}, {"method"}):
            raise fail(6050202, "a field of $fill's output needs either 'value' or 'method'")
        if "value" in item:
            constants[path] = {"$ifNull": [f"${path}", item["value"]]}
        elif item["method"] not in ("locf", "linear"):
            raise fail(6050202, f"Method must be either locf or linear, found {item['method']!r:.40}")
        else:
            windows[path] = {"$locf" if item["method"] == "locf" else "$linearFill": f"${path}"}
    steps: list[Stage] = []
    if windows:
        specification = {"partitionBy": by, "output": windows}
        if "sortBy" in argument:
            specification["sortBy"] = argument["sortBy"]
        steps.append(set_window_fields_stage(specification, context))
    elif "sortBy" in argument:
        key = compile_sort_key(argument["sortBy"])
        steps.append(lambda documents: iter(sorted(documents, key=key)))
    if constants:
        steps.append(add_fields_stage(constants, context))

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        flow = iter(documents)
        for step in steps:
            flow = step(flow)
        return flow
    return run
