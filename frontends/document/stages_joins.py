"""Stages that read other collections through the context: $lookup, $graphLookup, $unionWith."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from phantomdb.frontends.document import values
from phantomdb.frontends.document.errors import FailedToParse
from phantomdb.frontends.document.expression_base import fail
from phantomdb.frontends.document.expressions import compile_evaluate, get_path
from phantomdb.frontends.document.filters import is_regex, whole
from phantomdb.frontends.document.paths import Route
from phantomdb.frontends.document.sorting import Empty, path_values
from phantomdb.frontends.document.stage_base import Context, Stage, compile_pipeline, stage
from phantomdb.frontends.document.values import MISSING, Document, order_key


def equality(path: str, wanted: list[Any]) -> Mapping[str, Any]:
    """A filter for documents in which the path has one of the values; missing counts as null. A regex is a value."""
    regexes = [item for item in wanted if is_regex(item)]
    if not regexes:
        return {path: {"$eq": wanted[0]}} if len(wanted) == 1 else {path: {"$in": wanted}}
    others = [item for item in wanted if not is_regex(item)]
    return {"$or": [{path: {"$in": others}}, *({path: {"$eq": item}} for item in regexes)]}


def local_values(document: Document, steps: tuple[str, ...]) -> list[Any]:
    """What a local field asks for: an array asks for each of its elements."""
    found: list[Any] = []
    for value in path_values(document, steps):
        if not isinstance(value, Empty):
            found.append(None if value is MISSING else value)
    return found


@stage("$lookup")
def lookup_stage(argument: Any, context: Context) -> Stage:
    if not isinstance(argument, Mapping):
        raise FailedToParse("the $lookup stage specification must be an Object")
    for key in argument:
        if key not in ("from", "localField", "foreignField", "let", "pipeline", "as"):
            raise FailedToParse(f"unknown argument to $lookup: {key}")
    target, name = argument.get("as"), argument.get("from")
    local, foreign, pipeline = (argument.get(key) for key in ("localField", "foreignField", "pipeline"))
    if not isinstance(target, str):
        raise FailedToParse("must specify 'as' field for a $lookup")
    if name is None and not (pipeline and "$documents" in pipeline[0]):
        raise FailedToParse("missing 'from' option to $lookup stage specification")
    if (local is None) != (foreign is None) or (local is None and pipeline is None):
        raise FailedToParse("$lookup requires both or neither of 'localField' and 'foreignField' to be specified, and "
                            "these or 'pipeline'")
    if argument.get("let") is not None and pipeline is None:
        raise FailedToParse("$lookup with a 'let' argument must also specify 'pipeline'")
    find = context.finder("$lookup") if name is not None else None
    let = {key: compile_evaluate(item, context.variables) for key, item in (argument.get("let") or {}).items()}
    inner = context.inner(let)
    run_inner = compile_pipeline(pipeline or [], inner)
    steps = tuple(local.split(".")) if local is not None else ()
    put = Route(tuple(target.split(".")), {}, True)

    def matches(document: Document) -> Iterable[Document]:
        if find is None:
            return ()
        if local is None:
            return find(str(name), {})
        wanted = local_values(document, steps)
        return find(str(name), equality(str(foreign), wanted)) if wanted else ()

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        for document in documents:
            scope = context.scope(document)
            inner.variables.update(context.variables)
            inner.variables.update({key: part(document, scope) for key, part in let.items()})
            found = list(run_inner(matches(document)))
            yield put.change(document, lambda _old, found=found: found)     # type: ignore[misc]
    return run


@stage("$graphLookup")
def graph_lookup_stage(argument: Any, context: Context) -> Stage:
    if not isinstance(argument, Mapping):
        raise fail(40327, "the $graphLookup stage specification must be an object")
    for key in argument:
        if key not in ("from", "startWith", "connectFromField", "connectToField", "as", "maxDepth", "depthField",
                       "restrictSearchWithMatch"):
            raise fail(40104, f"Unknown argument to $graphLookup: {key}")
    for key in ("from", "startWith", "connectFromField", "connectToField", "as"):
        if key not in argument:
            raise fail(40105, "$graphLookup requires 'from', 'as', 'startWith', 'connectFromField', and "
                              f"'connectToField' to be specified; {key} is not")
    most = whole(argument["maxDepth"]) if "maxDepth" in argument else None
    if "maxDepth" in argument and (most is None or most < 0):
        raise fail(40101, "maxDepth requires a nonnegative whole number")
    find = context.finder("$graphLookup")
    start = compile_evaluate(argument["startWith"], context.variables)
    origin = tuple(argument["connectFromField"].split("."))
    name, to, restriction = argument["from"], argument["connectToField"], argument.get("restrictSearchWithMatch")
    depth_field = argument.get("depthField")
    put = Route(tuple(argument["as"].split(".")), {}, True)

    def search(wanted: list[Any]) -> list[Document]:
        found: dict[Any, Document] = {}
        asked: set[Any] = set()
        depth = 0
        while wanted and (most is None or depth <= most):
            asked.update(map(order_key, wanted))
            filter_: Mapping[str, Any] = equality(to, wanted)
            if restriction is not None:
                filter_ = {"$and": [filter_, restriction]}
            following: dict[Any, Any] = {}
            for document in find(name, filter_):
                key = order_key(document.get("_id"))
                if key in found:
                    continue
                found[key] = {**document, depth_field: depth} if depth_field else document
                for value in _spread(get_path(document, origin)):
                    following.setdefault(order_key(value), value)
            wanted = [value for key, value in following.items() if key not in asked]
            depth += 1
        return list(found.values())

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        for document in documents:
            found = search(_spread(start(document, context.scope(document))))
            yield put.change(document, lambda _old, found=found: found)     # type: ignore[misc]
    return run


def _spread(value: Any) -> list[Any]:
    if value is MISSING:
        return []
    return value if isinstance(value, list) else [value]


@stage("$unionWith")
def union_with_stage(argument: Any, context: Context) -> Stage:
    specification: Any = {"coll": argument} if isinstance(argument, str) else argument
    if not isinstance(specification, Mapping):
        raise FailedToParse("the $unionWith stage specification must be an object or string, but found "
                            f"{values.type_name(argument)}")
    for key in specification:
        if key not in ("coll", "pipeline"):
            raise fail(40415, f"BSON field '$unionWith.{key}' is an unknown field.")
    name, pipeline = specification.get("coll"), specification.get("pipeline", [])
    if name is None and not (pipeline and "$documents" in pipeline[0]):
        raise FailedToParse("$unionWith requires 'coll', or a pipeline that begins with $documents")
    find = context.finder("$unionWith") if name is not None else None
    run_inner = compile_pipeline(pipeline, context.inner())

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        yield from documents
        yield from run_inner(find(str(name), {}) if find is not None else ())
    return run
