"""Stages that take one document after the other, order them, count them, and write them."""
from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from phantomdb.frontends.document import values
from phantomdb.frontends.document.errors import CommandNotSupported, FailedToParse
from phantomdb.frontends.document.expression_base import fail, is_null
from phantomdb.frontends.document.expressions import compile_evaluate
from phantomdb.frontends.document.filters import compile_filter
from phantomdb.frontends.document.paths import Route
from phantomdb.frontends.document.projections import (
    add_fields,
    compile_add_fields,
    compile_project,
    compile_unset,
    exclude,
    include,
)
from phantomdb.frontends.document.stage_base import (
    LAST_ONLY,
    Context,
    Stage,
    compile_pipeline,
    count_of,
    sort_stage,
    stage,
)
from phantomdb.frontends.document.values import MISSING, Document

# -------------------------------------------------------------------- one document at a time

@stage("$match")
def match_stage(argument: Any, context: Context) -> Stage:
    if not isinstance(argument, Mapping):
        raise fail(15959, "the match filter must be an expression in an object")
    filter_ = compile_filter(argument, context.variables)
    return lambda documents: (document for document in documents if filter_.matches(document))


@stage("$project")
def project_stage(argument: Any, context: Context) -> Stage:
    tree, is_inclusive = compile_project(argument, context.variables)
    if is_inclusive:
        return lambda documents: (include(document, tree, document, context.scope(document)) for document in documents)
    return lambda documents: (exclude(document, tree) for document in documents)


@stage("$addFields")
def add_fields_stage(argument: Any, context: Context, name: str = "$addFields") -> Stage:
    tree = compile_add_fields(argument, context.variables, name)
    return lambda documents: (add_fields(document, tree, document, context.scope(document)) for document in documents)


@stage("$set")
def set_stage(argument: Any, context: Context) -> Stage:
    return add_fields_stage(argument, context, "$set")      # type: ignore[call-arg]


@stage("$unset")
def unset_stage(argument: Any, _context: Context) -> Stage:
    tree = compile_unset(argument)
    return lambda documents: (exclude(document, tree) for document in documents)


@stage("$replaceWith")
def replace_with_stage(argument: Any, context: Context) -> Stage:
    evaluate = compile_evaluate(argument, context.variables)

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        for document in documents:
            new = evaluate(document, context.scope(document))
            if not isinstance(new, dict):
                raise fail(40228, "'newRoot' expression must evaluate to an object, but resulting value was: "
                                  f"{new!r:.60}. Type of resulting value: '{values.type_name(new)}'.")
            yield new
    return run


@stage("$replaceRoot")
def replace_root_stage(argument: Any, context: Context) -> Stage:
    if not isinstance(argument, Mapping) or set(argument) != {"newRoot"}:
        raise fail(40229, "$replaceRoot expects an object with the field 'newRoot'")
    return replace_with_stage(argument["newRoot"], context)


@stage("$limit")
def limit_stage(argument: Any, _context: Context) -> Stage:
    count = count_of("$limit", argument, 1)
    return lambda documents: itertools.islice(documents, count)


@stage("$skip")
def skip_stage(argument: Any, _context: Context) -> Stage:
    count = count_of("$skip", argument, 0)
    return lambda documents: itertools.islice(documents, count, None)


@stage("$unwind")
def unwind_stage(argument: Any, _context: Context) -> Stage:
    if isinstance(argument, str):
        argument = {"path": argument}
    if not isinstance(argument, Mapping):
        raise fail(15981, "expected either a string or an object as specification for $unwind stage, got "
                          f"{values.type_name(argument)}")
    for key in argument:
        if key not in ("path", "includeArrayIndex", "preserveNullAndEmptyArrays"):
            raise fail(28811, f"unrecognized option to $unwind stage: {key}")
    path, index_name = argument.get("path"), argument.get("includeArrayIndex")
    keeps_empty = argument.get("preserveNullAndEmptyArrays", False)
    if not isinstance(path, str):
        raise fail(28812, "no path specified to $unwind stage")
    if not path.startswith("$") or len(path) < 2:
        raise fail(28818, f"path option to $unwind stage should be prefixed with a '$': {path}")
    if not isinstance(keeps_empty, bool):
        raise fail(28809, "expected a boolean for the preserveNullAndEmptyArrays option to $unwind stage")
    if index_name is not None and (not isinstance(index_name, str) or not index_name or index_name.startswith("$")):
        raise fail(28810, "expected a non-empty string that begins with no '$' for the includeArrayIndex option")
    steps = tuple(path[1:].split("."))
    at, index_at = Route(steps, {}, True), Route(tuple((index_name or "x").split(".")), {}, True)

    def with_index(document: Document, index: int | None) -> Document:
        return document if index_name is None else index_at.change(document, lambda _old: index)

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        for document in documents:
            value = _plain_path(document, steps)
            if not isinstance(value, list):
                if not is_null(value) or keeps_empty:
                    yield with_index(document, None)
            elif value:
                for index, item in enumerate(value):
                    yield with_index(at.change(document, lambda _old, item=item: item), index)   # type: ignore[misc]
            elif keeps_empty:
                yield with_index(at.change(document, lambda _old: MISSING), None)
    return run


def _plain_path(value: Any, steps: tuple[str, ...]) -> Any:
    """Through objects only."""
    for step in steps:
        value = value.get(step, MISSING) if isinstance(value, dict) else MISSING
    return value


@stage("$redact")
def redact_stage(argument: Any, context: Context) -> Stage:
    marks = {name: f"\0{name}" for name in ("DESCEND", "PRUNE", "KEEP")}
    evaluate = compile_evaluate(argument, (*context.variables, *marks))

    def redact(value: Document, root: Document) -> Any:
        mark = evaluate(value, {**context.variables, **marks, "ROOT": root})
        if mark == marks["KEEP"]:
            return value
        if mark == marks["PRUNE"]:
            return MISSING
        if mark != marks["DESCEND"]:
            raise fail(17053, "$redact's expression should not return anything aside from the variables $$KEEP, "
                              f"$$DESCEND, and $$PRUNE, but returned {mark!r:.40}")
        return {name: found for name, item in value.items() if (found := inside(item, root)) is not MISSING}

    def inside(item: Any, root: Document) -> Any:
        if isinstance(item, dict):
            return redact(item, root)
        if isinstance(item, list):
            return [found for part in item if (found := inside(part, root)) is not MISSING]
        return item
    return lambda documents: (found for document in documents if (found := redact(document, document)) is not MISSING)


# -------------------------------------------------------------------- order and number

@stage("$sort")
def plain_sort_stage(argument: Any, _context: Context) -> Stage:
    return sort_stage(argument, None)


@stage("$count")
def count_stage(argument: Any, _context: Context) -> Stage:
    if not isinstance(argument, str) or not argument or argument.startswith("$") or "." in argument:
        raise fail(40156, "the count field must be a non-empty string without '$' in front and without '.'")

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        count = sum(1 for _ in documents)
        if count:
            yield {argument: count}
    return run


@stage("$sample")
def sample_stage(argument: Any, _context: Context) -> Stage:
    if not isinstance(argument, Mapping) or set(argument) != {"size"}:
        raise fail(28745, "the $sample stage specification must be an object with the field 'size'")
    size = count_of("$sample", argument["size"], 0)

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        kept: list[Document] = []
        for index, document in enumerate(documents):
            if index < size:
                kept.append(document)
            elif (place := random.randrange(index + 1)) < size:
                kept[place] = document
        random.shuffle(kept)
        yield from kept
    return run


@stage("$documents")
def documents_stage(argument: Any, context: Context) -> Stage:
    evaluate = compile_evaluate(argument, context.variables)

    def run(_documents: Iterable[Document]) -> Iterator[Document]:
        found = evaluate({}, context.scope({}))
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise fail(5858203, "an array of objects is expected in $documents")
        yield from found
    return run


@stage("$facet")
def facet_stage(argument: Any, context: Context) -> Stage:
    if not isinstance(argument, Mapping) or not argument:
        raise fail(40169, "the $facet specification must be a non-empty object")
    for pipeline in argument.values():
        for item in pipeline if isinstance(pipeline, list | tuple) else ():
            if next(iter(item), "") in (*LAST_ONLY, "$facet"):
                raise fail(40600, f"{next(iter(item))} is not allowed to be used within a $facet stage")
    pipelines = {name: compile_pipeline(pipeline, context) for name, pipeline in argument.items()}

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        held = list(documents)
        yield {name: list(pipeline(held)) for name, pipeline in pipelines.items()}
    return run


# -------------------------------------------------------------------- writing

@stage("$out")
def out_stage(argument: Any, context: Context) -> Stage:
    if isinstance(argument, Mapping) and "timeseries" in argument:
        raise CommandNotSupported("$out: timeseries is not supported")
    if not isinstance(argument, str) and not (isinstance(argument, Mapping) and set(argument) == {"db", "coll"}):
        raise fail(16990, "$out takes a name or {db, coll}")
    if context.out is None:
        raise CommandNotSupported("$out is not supported here")
    write = context.out

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        write(argument, documents)
        return iter(())
    return run


@stage("$merge")
def merge_stage(argument: Any, context: Context) -> Stage:
    specification: dict[str, Any] = {"into": argument} if isinstance(argument, str) else dict(argument)
    for key in specification:
        if key not in ("into", "on", "let", "whenMatched", "whenNotMatched"):
            raise fail(40415, f"BSON field '$merge.{key}' is an unknown field.")
    if "into" not in specification:
        raise fail(40414, "BSON field '$merge.into' is missing but a required field")
    matched = specification.setdefault("whenMatched", "merge")
    if isinstance(matched, str) and matched not in ("replace", "keepExisting", "merge", "fail"):
        raise FailedToParse(f"Enumeration value '{matched}' for field '$merge.whenMatched' is not a valid value")
    if specification.setdefault("whenNotMatched", "insert") not in ("insert", "discard", "fail"):
        raise FailedToParse("Enumeration value for field '$merge.whenNotMatched' is not a valid value")
    if context.merge is None:
        raise CommandNotSupported("$merge is not supported here")
    write = context.merge

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        write(specification, documents)
        return iter(())
    return run
