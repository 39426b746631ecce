"""An update as MongoDB writes it, checked once and applied to any number of documents.

    update = compile_update({"$inc": {"n": 1}}, array_filters=None)
    update.apply(document, position)        a changed copy; `position`: Filter.position, which `$` in a path stands for
    update.insert(filter)                   what an upsert inserts

Three forms: operators, a replacement, a pipeline. A copy shares what did not change with the document given. Whether a
document changed, its encoding tells.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phantomdb.frontends.document import values
from phantomdb.frontends.document.errors import (
    BadValue,
    ConflictingUpdateOperators,
    DollarPrefixedFieldName,
    EmptyFieldName,
    FailedToParse,
    ImmutableField,
    InvalidOptions,
    WriteFailure,
)
from phantomdb.frontends.document.filters import Filter, compile_filter
from phantomdb.frontends.document.paths import Route, get
from phantomdb.frontends.document.update_operators import OPERATORS, Operation, set_, stored
from phantomdb.frontends.document.values import MISSING, Document

Specification = Mapping[str, Any] | Sequence[Mapping[str, Any]]
_PIPELINE_STAGES = ("$set", "$addFields", "$unset", "$project", "$replaceRoot", "$replaceWith")


class NotSingleValueField(WriteFailure):
    number, code_name, phantom_code = 54, "NotSingleValueField", "document_not_single_value"


class Update:
    """One of the three forms."""

    needs_position = False               # whether a path has `$`
    paths: tuple[str, ...] | None = None     # what it may change; None: anything

    def apply(self, document: Document, position: int | None = None) -> Document:
        """A copy with the update made. ImmutableField: it would change _id."""
        changed = self.change(document, position, False)
        _check_id(document, changed)
        return changed

    def insert(self, filter_: Filter) -> Document:
        """The document of an upsert; without _id where neither filter nor update gives one."""
        start = upsert_start(filter_, self.is_replacement())
        changed = self.change(start, None, True)
        _check_id(start, changed)
        return {"_id": changed["_id"], **changed} if "_id" in changed else changed

    def change(self, document: Document, position: int | None, is_insert: bool) -> Document:
        raise NotImplementedError

    def is_replacement(self) -> bool:
        return False


def _check_id(before: Document, after: Document) -> None:
    old, new = before.get("_id", MISSING), after.get("_id", MISSING)
    if new is not old and old is not MISSING and (new is MISSING or not values.equal(old, new)):
        raise ImmutableField("Performing an update on the path '_id' would modify the immutable field '_id'")


def compile_update(update: Specification, array_filters: Sequence[Mapping[str, Any]] | None = None,
                   variables: Mapping[str, Any] | None = None) -> Update:
    """Errors are MongoDB's: FailedToParse for an unknown operator, ConflictingUpdateOperators and so on. `variables`:
    those of `let`, for a pipeline."""
    if isinstance(update, list | tuple):
        if array_filters:
            raise FailedToParse("arrayFilters may not be specified for pipeline-syle updates")
        return PipelineUpdate(update, variables or {})
    if not isinstance(update, Mapping):
        raise TypeError(f"update must be an instance of dict or list, not {type(update).__name__}")
    first = next(iter(update), "")
    if first.startswith("$"):
        return OperatorUpdate(update, array_filters or ())
    if array_filters:
        raise FailedToParse("arrayFilters may not be specified for a replacement")
    return ReplacementUpdate(update)


# -------------------------------------------------------------------- replacements and pipelines

class ReplacementUpdate(Update):
    def __init__(self, replacement: Mapping[str, Any]) -> None:
        for name in replacement:
            if name.startswith("$"):
                raise DollarPrefixedFieldName(f"The dollar ($) prefixed field '{name}' is not allowed in the context "
                                              "of an update's replacement document.")
        self.replacement: Document = stored(dict(replacement))

    def change(self, document: Document, position: int | None, is_insert: bool) -> Document:
        if "_id" in document and "_id" not in self.replacement:
            return {"_id": document["_id"], **self.replacement}
        if "_id" in self.replacement:
            return {"_id": self.replacement["_id"], **self.replacement}
        return dict(self.replacement)

    def is_replacement(self) -> bool:
        return True


class PipelineUpdate(Update):
    def __init__(self, stages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]) -> None:
        from phantomdb.frontends.document.stages import Context, compile_pipeline
        for stage in stages:
            name = next(iter(stage), "")
            if name not in _PIPELINE_STAGES:
                raise InvalidOptions(f"{name} is not allowed to be used within an update")
        self.run = compile_pipeline(stages, Context(variables=dict(variables)))

    def change(self, document: Document, position: int | None, is_insert: bool) -> Document:
        changed: Document = next(iter(self.run([document])))
        if "_id" in document and "_id" not in changed:
            changed = {"_id": document["_id"], **changed}   # a pipeline that leaves _id out keeps it
        return changed


# -------------------------------------------------------------------- operators

@dataclass(frozen=True, slots=True)
class _Step:
    path: str
    steps: tuple[str, ...]
    operation: Operation
    route: Route
    is_only_insert: bool = False
    source: tuple[str, ...] | None = None                   # of $rename


class OperatorUpdate(Update):
    def __init__(self, update: Mapping[str, Any], array_filters: Sequence[Mapping[str, Any]]) -> None:
        self.chosen = _compile_array_filters(array_filters)
        used: set[str] = set()
        steps: list[_Step] = []
        for operator, fields in update.items():
            if operator not in OPERATORS and operator != "$rename":
                raise FailedToParse(f"Unknown modifier: {operator}. Expected a valid update modifier or pipeline-style "
                                    "update specified as an array")
            if not isinstance(fields, Mapping):
                raise FailedToParse("Modifiers operate on fields but we found type "
                                    f"{values.type_name(fields)} instead. For example: {{$mod: {{<field>: ...}}}} not "
                                    f"{{{operator}: {fields!r:.40}}}")
            for path, value in fields.items():
                used.update(self._check_path(path))
                if operator == "$rename":
                    steps.append(self._rename(path, value))
                    continue
                operation, names = OPERATORS[operator](path, value), tuple(path.split("."))
                steps.append(_Step(path, names, operation, Route(names, self.chosen, operation.creates),
                                   operator == "$setOnInsert"))
        for name in self.chosen:
            if name not in used:
                raise FailedToParse(f"The array filter for identifier '{name}' was not used in the update")
        _check_conflicts([step.steps for step in steps] + [step.source for step in steps if step.source])
        self.steps = sorted(steps, key=lambda step: _path_order(step.steps))
        self.paths = tuple(path for step in self.steps
                           for path in ([step.path, ".".join(step.source)] if step.source else [step.path]))
        self.needs_position = any("$" in step.steps for step in self.steps)

    def _check_path(self, path: str) -> list[str]:
        """The names of array filters in it."""
        if not isinstance(path, str):
            raise TypeError(f"a path in an update must be str, not {type(path).__name__}")
        if not path:
            raise EmptyFieldName("An empty update path is not valid.")
        used = []
        steps = path.split(".")
        for index, step in enumerate(steps):
            if not step:
                raise EmptyFieldName(f"The update path '{path}' contains an empty field name, which is not allowed.")
            if step.startswith("$[") and step.endswith("]"):
                name = step[2:-1]
                if name:
                    if name not in self.chosen:
                        raise BadValue(f"No array filter found for identifier '{name}' in path '{path}'")
                    used.append(name)
            elif step.startswith("$") and step not in ("$", "$id", "$ref", "$db"):
                raise DollarPrefixedFieldName(f"The dollar ($) prefixed field '{step}' in '{path}' is not valid for "
                                              "storage.")
            if index == 0 and step.startswith("$"):
                raise BadValue(f"Cannot have positional operator (i.e. '$') element in the first position in path "
                               f"'{path}'")
        if steps.count("$") > 1:
            raise BadValue(f"Too many positional (i.e. '$') elements found in path '{path}'")
        return used

    def _rename(self, source: str, target: Any) -> _Step:
        if not isinstance(target, str):
            raise BadValue(f"The 'to' field for $rename must be a string: {source}: {target!r:.60}")
        self._check_path(target)
        if source == target:
            raise BadValue(f"The source and target field for $rename must differ: {source}: \"{target}\"")
        steps = [tuple(path.split(".")) for path in (source, target)]
        for path, path_steps in zip((source, target), steps, strict=True):
            if any(step.startswith("$") for step in path_steps):
                raise BadValue(f"The source and target field for $rename may not be dynamic: {path}")
        return _Step(target, steps[1], Operation(lambda old: old), Route(steps[1], {}, True), source=steps[0])

    def change(self, document: Document, position: int | None, is_insert: bool) -> Document:
        for step in self.steps:
            if step.is_only_insert and not is_insert:
                continue
            if step.source is not None:
                document = self._renamed(document, step.source, step.steps)
                continue
            route = step.route
            if self.needs_position and "$" in step.steps:
                if position is None or position < 0:
                    raise BadValue("The positional operator did not find the match needed from the query.")
                names = tuple(str(position) if name == "$" else name for name in step.steps)
                route = Route(names, self.chosen, step.operation.creates)
            document = route.change(document, step.operation.change)
        return document

    def _renamed(self, document: Document, source: tuple[str, ...], target: tuple[str, ...]) -> Document:
        for steps, role in ((source, "source"), (target, "destination")):
            for length in range(1, len(steps)):
                if isinstance(get(document, steps[:length]), list):
                    raise BadValue(f"The {role} field cannot be an array element, '{'.'.join(steps)}' in doc has an "
                                   f"array field called '{steps[length - 1]}'")
        value = get(document, source)
        if value is MISSING:
            return document
        document = Route(source, {}, False).change(document, lambda _old: MISSING)
        changed: Document = Route(target, {}, True).change(document, lambda _old: value)
        return changed


def _path_order(steps: tuple[str, ...]) -> list[tuple[int, int, str]]:
    """Names by their letters, numbers by their value: the order in which fields are added."""
    return [(0, int(step), "") if step.isdigit() else (1, 0, step) for step in steps]


def _check_conflicts(paths: Iterable[tuple[str, ...]]) -> None:
    seen: dict[tuple[str, ...], tuple[str, ...]] = {}
    for path in sorted(paths):
        for length in range(1, len(path) + 1):
            if path[:length] in seen:
                raise ConflictingUpdateOperators(f"Updating the path '{'.'.join(path)}' would create a conflict at "
                                                 f"'{'.'.join(path[:length])}'")
        seen[path] = path


def _compile_array_filters(array_filters: Sequence[Mapping[str, Any]]) -> dict[str, Callable[[Any], bool]]:
    chosen: dict[str, Callable[[Any], bool]] = {}
    for item in array_filters:
        if not isinstance(item, Mapping):
            raise TypeError(f"an array filter must be an instance of dict, not {type(item).__name__}")
        names = _top_names(item)
        if len(names) != 1:
            raise FailedToParse("Error parsing array filter: Expected a single top-level field name, found "
                                f"{', '.join(map(repr, sorted(names))) or 'none'}")
        name, = names
        if not (name[:1].islower() and name.isalnum()):
            raise BadValue("Error parsing array filter: The top-level field name must be an alphanumeric string "
                           f"beginning with a lowercase letter, found '{name}'")
        if name in chosen:
            raise FailedToParse(f"Found multiple array filters with the same top-level field name {name}")
        chosen[name] = _element_test(name, compile_filter(item))
    return chosen


def _element_test(name: str, filter_: Filter) -> Callable[[Any], bool]:
    return lambda element: filter_.matches({name: element})


def _top_names(filter_: Mapping[str, Any]) -> set[str]:
    names: set[str] = set()
    for key, value in filter_.items():
        if key in ("$and", "$or", "$nor"):
            for item in value:
                names |= _top_names(item)
        else:
            names.add(key.split(".")[0])
    return names


# -------------------------------------------------------------------- upserts

def upsert_start(filter_: Filter, is_replacement: bool) -> Document:
    """The fields a filter fixes; for a replacement only _id."""
    document: Document = {}
    seen: list[tuple[str, ...]] = []
    for path, value in filter_.equalities:
        steps = tuple(path.split("."))
        if is_replacement and steps[0] != "_id":
            continue
        for other in seen:
            length = min(len(other), len(steps))
            if other[:length] == steps[:length]:
                raise NotSingleValueField("cannot infer query fields to set, path "
                                          f"'{'.'.join(steps[:length])}' is matched twice")
        seen.append(steps)
        document = Route(steps, {}, True).change(document, set_(path, value).change)
    if "_id" in document:
        document = {"_id": document["_id"], **document}
    return document
