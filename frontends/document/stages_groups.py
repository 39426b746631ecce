"""Stages that gather documents into groups: $group, $bucket, $bucketAuto, $sortByCount."""
from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from phantomdb.frontends.document.accumulators import Accumulator, State, compile_accumulator
from phantomdb.frontends.document.errors import CommandNotSupported
from phantomdb.frontends.document.expression_base import fail
from phantomdb.frontends.document.expressions import compile_evaluate
from phantomdb.frontends.document.filters import whole
from phantomdb.frontends.document.stage_base import Context, Stage, evaluated, stage
from phantomdb.frontends.document.values import MISSING, Document, order_key


class Gatherer:
    """The accumulators of the fields of a group."""

    def __init__(self, fields: Mapping[str, Any], context: Context) -> None:
        self.context = context
        self.accumulators: list[tuple[str, Accumulator]] = []
        for name, specification in fields.items():
            if "." in name:
                raise fail(40235, f"The field name '{name}' cannot contain '.'")
            if name.startswith("$"):
                raise fail(40236, f"The field name '{name}' cannot be an operator name")
            self.accumulators.append((name, compile_accumulator(specification, context.variables, context.variables)))

    def start(self) -> list[State]:
        return [accumulator.start() for _, accumulator in self.accumulators]

    def add(self, states: list[State], document: Document) -> None:
        scope = self.context.scope(document)
        for (_, accumulator), state in zip(self.accumulators, states, strict=True):
            state.add(accumulator.evaluate(document, scope))

    def result(self, group: Any, states: list[State]) -> Document:
        document = {"_id": group}
        for (name, _), state in zip(self.accumulators, states, strict=True):
            document[name] = state.result()
        return document


@stage("$group")
def group_stage(argument: Any, context: Context) -> Stage:
    if not isinstance(argument, Mapping):
        raise fail(15947, "a group's fields must be specified in an object")
    if "_id" not in argument:
        raise fail(15955, "a group specification must include an _id")
    group_by = compile_evaluate(argument["_id"], context.variables)
    gatherer = Gatherer({name: item for name, item in argument.items() if name != "_id"}, context)

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        groups: dict[Any, tuple[Any, list[State]]] = {}
        for document in documents:
            value = evaluated(group_by, document, context)
            key = order_key(value)
            found = groups.get(key)
            if found is None:
                found = groups[key] = (value, gatherer.start())
            gatherer.add(found[1], document)
        for value, states in groups.values():
            yield gatherer.result(value, states)
    return run


@stage("$sortByCount")
def sort_by_count_stage(argument: Any, context: Context) -> Stage:
    if not (isinstance(argument, str) and argument.startswith("$")) and not (
            isinstance(argument, Mapping) and next(iter(argument), "").startswith("$")):
        raise fail(40149, "the sortByCount field must be specified as an expression or a path with '$' in front")
    group = group_stage({"_id": argument, "count": {"$sum": 1}}, context)

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        yield from sorted(group(documents), key=lambda document: -document["count"])
    return run


def _output(argument: Mapping[str, Any]) -> Mapping[str, Any]:
    output = argument.get("output", {"count": {"$sum": 1}})
    if not isinstance(output, Mapping):
        raise fail(40196, "The 'output' field must be an object")
    return output


@stage("$bucket")
def bucket_stage(argument: Any, context: Context) -> Stage:
    """Lower bounds are inside their bucket, upper ones are not."""
    if not isinstance(argument, Mapping):
        raise fail(40201, "Argument to $bucket stage must be an object")
    for key in argument:
        if key not in ("groupBy", "boundaries", "default", "output"):
            raise fail(40197, f"Unrecognized option to $bucket: {key}.")
    if "groupBy" not in argument or "boundaries" not in argument:
        raise fail(40198, "$bucket requires 'groupBy' and 'boundaries' to be specified.")
    given = argument["boundaries"]
    if not isinstance(given, list | tuple) or len(given) < 2:
        raise fail(40192, "The $bucket 'boundaries' field must be an array of at least 2 values")
    boundaries = [evaluated(compile_evaluate(item, context.variables), {}, context) for item in given]
    keys = [order_key(item) for item in boundaries]
    if any(a >= b for a, b in zip(keys, keys[1:], strict=False)):
        raise fail(40194, "The 'boundaries' option to $bucket must be sorted, but elements are not in ascending order")
    if any(key[0] != keys[0][0] for key in keys):
        raise fail(40193, "All values in the 'boundaries' option to $bucket must have the same type")
    default = evaluated(compile_evaluate(argument["default"], context.variables), {}, context
                        ) if "default" in argument else MISSING
    if default is not MISSING and keys[0] <= order_key(default) < keys[-1]:
        raise fail(40199, "The $bucket 'default' field must be less than the lowest boundary or greater than or equal "
                          "to the highest boundary.")
    group_by = compile_evaluate(argument["groupBy"], context.variables)
    gatherer = Gatherer(_output(argument), context)

    def bucket_of(document: Document) -> Any:
        place = bisect_right(keys, order_key(evaluated(group_by, document, context))) - 1
        if 0 <= place < len(keys) - 1:
            return boundaries[place]
        if default is MISSING:
            raise fail(40066, "$switch could not find a matching branch for an input, and no default was specified.")
        return default

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        groups: dict[Any, tuple[Any, list[State]]] = {}
        for document in documents:
            bucket = bucket_of(document)
            key = order_key(bucket)
            if key not in groups:
                groups[key] = (bucket, gatherer.start())
            gatherer.add(groups[key][1], document)
        for key in sorted(groups):
            yield gatherer.result(*groups[key])
    return run


@stage("$bucketAuto")
def bucket_auto_stage(argument: Any, context: Context) -> Stage:
    """Buckets of about as many documents each; equal values stay together."""
    if not isinstance(argument, Mapping):
        raise fail(40240, "The argument to $bucketAuto must be an object")
    for key in argument:
        if key not in ("groupBy", "buckets", "output", "granularity"):
            raise fail(40245, f"Unrecognized option to $bucketAuto: {key}.")
    if "granularity" in argument:
        raise CommandNotSupported("$bucketAuto: granularity is not supported")
    if "groupBy" not in argument or "buckets" not in argument:
        raise fail(40246, "$bucketAuto requires 'groupBy' and 'buckets' to be specified.")
    count = whole(argument["buckets"])
    if count is None or count < 1:
        raise fail(40243, "The $bucketAuto 'buckets' field must be a whole number greater than 0, but found: "
                          f"{argument['buckets']!r:.40}")
    group_by = compile_evaluate(argument["groupBy"], context.variables)
    gatherer = Gatherer(_output(argument), context)

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        held = [(order_key(value), value, document) for document in documents
                for value in (evaluated(group_by, document, context),)]
        held.sort(key=lambda item: item[0])
        start, made, size = 0, 0, max(math.floor(len(held) / count + 0.5), 1)
        buckets: list[tuple[Any, Any, list[State]]] = []
        while start < len(held):
            end = min(start + size, len(held)) if made + 1 < count else len(held)
            while end < len(held) and held[end][0] == held[end - 1][0]:
                end += 1
            states = gatherer.start()
            for _, _, document in held[start:end]:
                gatherer.add(states, document)
            buckets.append((held[start][1], held[end - 1][1], states))
            start, made = end, made + 1
        for index, (low, high, states) in enumerate(buckets):
            upper = buckets[index + 1][0] if index + 1 < len(buckets) else high
            yield gatherer.result({"min": low, "max": upper}, states)
    return run
