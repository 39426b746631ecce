"""What all stages of a pipeline stand on: their table, the context they run in, and their composition."""
from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phantomdb.frontends.document.errors import CommandNotSupported
from phantomdb.frontends.document.expression_base import Evaluate, Variables, fail
from phantomdb.frontends.document.expressions import now
from phantomdb.frontends.document.filters import whole
from phantomdb.frontends.document.sorting import compile_sort_key
from phantomdb.frontends.document.values import MISSING, Document

Stage = Callable[[Iterable[Document]], Iterator[Document]]
Pipeline = Sequence[Mapping[str, Any]]


@dataclass
class Context:
    """What a pipeline stands in. `find(collection, filter)` gives documents of another collection; `out(target,
    documents)` and `merge(specification, documents)` write what the last stage gets. `variables` are those of `let`;
    their values are read while the pipeline runs."""

    variables: Variables = field(default_factory=dict)
    find: Callable[[str, Mapping[str, Any]], Iterable[Document]] | None = None
    out: Callable[[Any, Iterable[Document]], None] | None = None
    merge: Callable[[Mapping[str, Any], Iterable[Document]], None] | None = None

    def __post_init__(self) -> None:
        self.variables.setdefault("NOW", now())

    def scope(self, document: Document) -> Variables:
        return {**self.variables, "ROOT": document}

    def inner(self, names: Iterable[str] = ()) -> Context:
        """Of a pipeline inside this one, with variables of its own: ``variables.update`` before each run."""
        return Context({**self.variables, **dict.fromkeys(names)}, self.find, None, None)

    def finder(self, stage: str) -> Callable[[str, Mapping[str, Any]], Iterable[Document]]:
        if self.find is None:
            raise CommandNotSupported(f"{stage} is not supported where no other collection can be read")
        return self.find


CompileStage = Callable[[Any, Context], Stage]
STAGES: dict[str, CompileStage] = {}
UNSUPPORTED = ("$changeStream", "$changeStreamSplitLargeEvent", "$collStats", "$currentOp", "$geoNear", "$indexStats",
               "$listLocalSessions", "$listSampledQueries", "$listSearchIndexes", "$listSessions", "$planCacheStats",
               "$querySettings", "$queryStats", "$rankFusion", "$scoreFusion", "$search", "$searchMeta",
               "$shardedDataDistribution", "$vectorSearch")
LAST_ONLY = ("$out", "$merge")


def stage(name: str) -> Callable[[CompileStage], CompileStage]:
    def decorate(function: CompileStage) -> CompileStage:
        STAGES[name] = function
        return function
    return decorate


def compile_pipeline(pipeline: Pipeline, context: Context) -> Stage:
    """CommandNotSupported: a stage PhantomDB has not; Location40324: one nobody has."""
    if not isinstance(pipeline, list | tuple):
        raise TypeError("pipeline must be a list")
    compiled: list[Stage] = []
    index = 0
    while index < len(pipeline):
        item = pipeline[index]
        if not isinstance(item, Mapping) or len(item) != 1:
            raise fail(40323, "A pipeline stage specification object must contain exactly one field.")
        (name, argument), = item.items()
        function = STAGES.get(name)
        if function is None:
            if name in UNSUPPORTED:
                raise CommandNotSupported(f"{name} is not supported")
            raise fail(40324, f"Unrecognized pipeline stage name: '{name}'")
        if name in LAST_ONLY and index + 1 < len(pipeline):
            raise fail(40601, f"{name} can only be the final stage in the pipeline")
        if name == "$sort":
            limit, used = _limit_behind(pipeline[index + 1:])
            compiled.append(sort_stage(argument, limit))
            index += 1 if used else 0
        else:
            compiled.append(function(argument, context))
        index += 1

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        flow = iter(documents)
        for step in compiled:
            flow = step(flow)
        return flow
    return run


def _limit_behind(rest: Pipeline) -> tuple[int | None, bool]:
    """The number of documents a sort needs to give, and whether the stage that says so is done with it."""
    skip = 0
    for index, item in enumerate(rest):
        if "$skip" in item:
            skip += whole(item["$skip"]) or 0
        elif "$limit" in item:
            return count_of("$limit", item["$limit"], 1) + skip, index == 0
        else:
            break
    return None, False


def leading_filter(pipeline: Pipeline) -> tuple[Mapping[str, Any], int]:
    """The filter of the $match stages a pipeline begins with, and how many they are: a collection can serve it from an
    index and run the rest."""
    filters = [item["$match"] for item in itertools.takewhile(lambda item: "$match" in item, pipeline)]
    if len(filters) <= 1:
        return (filters[0] if filters else {}), len(filters)
    return {"$and": filters}, len(filters)


def count_of(name: str, value: Any, least: int) -> int:
    number = whole(value)
    if number is None or number < least:
        raise fail({"$limit": 15958, "$skip": 5107200}.get(name, 28747),
                   f"invalid argument to {name} stage: Expected a {'positive' if least else 'non-negative'} number in: "
                   f"{name}: {value!r:.40}")
    return number


def sort_stage(argument: Any, limit: int | None) -> Stage:
    if not isinstance(argument, Mapping):
        raise fail(15973, "the $sort key specification must be an object")
    key = compile_sort_key(argument)

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        if limit is not None:
            yield from heapq.nsmallest(limit, documents, key=key)
        else:
            yield from sorted(documents, key=key)
    return run


def evaluated(evaluate: Evaluate, document: Document, context: Context) -> Any:
    """Null where it is missing."""
    value = evaluate(document, context.scope(document))
    return None if value is MISSING else value
