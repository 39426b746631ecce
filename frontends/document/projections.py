"""Projections of find, and the trees behind $project, $addFields and $unset.

    compile_projection({"name": 1, "tags": {"$slice": 2}}).apply(document, position)

A projection includes or excludes; only _id may do otherwise. Values that are expressions are computed fields. A tree
goes through arrays: what holds for an object holds for each object in an array.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phantomdb.frontends.document import values
from phantomdb.frontends.document.errors import BadValue, CommandNotSupported
from phantomdb.frontends.document.expression_base import Evaluate, Variables, fail, is_true
from phantomdb.frontends.document.expressions import compile_evaluate, now
from phantomdb.frontends.document.filters import Filter, compile_filter, whole
from phantomdb.frontends.document.values import MISSING, Document

Specification = Mapping[str, Any] | Sequence[str]
KEEP, DROP = "keep", "drop"


@dataclass(slots=True)
class Node:
    """What happens below a field: KEEP, DROP, a computed value, or more of the same for its members."""

    members: dict[str, Node] = field(default_factory=dict)
    action: str | None = None
    evaluate: Evaluate | None = None
    is_computing: bool = False           # it or something below computes

    def add(self, path: str, leaf: Node) -> None:
        """Location31249, 31250: the path and another one exclude each other."""
        steps = path.split(".")
        node = self
        for index, step in enumerate(steps):
            if not step:
                raise fail(40353 if index else 40352, "FieldPath must not end with or contain an empty name: "
                                                      f"'{path}'")
            if node.is_leaf():
                raise fail(31249, f"Path collision at {path} remaining portion {'.'.join(steps[index:])}")
            node.is_computing |= leaf.evaluate is not None
            if index + 1 == len(steps):
                if step in node.members:
                    raise fail(31250, f"Path collision at {path}")
                node.members[step] = leaf
            else:
                node = node.members.setdefault(step, Node())

    def is_leaf(self) -> bool:
        return self.action is not None or self.evaluate is not None


def include(value: Any, node: Node, document: Document, variables: Variables) -> Any:
    """Only what the tree keeps and computes."""
    if isinstance(value, dict):
        kept: Document = {}
        for name, item in value.items():
            member = node.members.get(name)
            if member is None or member.evaluate is not None:
                continue
            if member.action == KEEP:
                kept[name] = item
            elif member.action is None:
                found = include(item, member, document, variables)
                if found is not MISSING:
                    kept[name] = found
        if node.is_computing:
            _compute(kept, node, value, document, variables)
        return kept
    if isinstance(value, list):
        return [found for item in value if (found := include(item, node, document, variables)) is not MISSING]
    return include({}, node, document, variables) if node.is_computing else MISSING


def _compute(kept: Document, node: Node, value: Document, document: Document, variables: Variables) -> None:
    for name, member in node.members.items():
        if member.evaluate is not None:
            found = member.evaluate(document, variables)
            if found is not MISSING:
                kept[name] = found
        elif member.is_computing and name not in value:
            kept[name] = include({}, member, document, variables)


def exclude(value: Any, node: Node) -> Any:
    """All but what the tree drops."""
    if isinstance(value, dict):
        kept = {}
        for name, item in value.items():
            member = node.members.get(name)
            if member is None:
                kept[name] = item
            elif member.action != DROP:
                kept[name] = exclude(item, member)
        return kept
    if isinstance(value, list):
        return [exclude(item, node) for item in value]
    return value


def add_fields(value: Any, node: Node, document: Document, variables: Variables) -> Any:
    """All, and what the tree computes."""
    if isinstance(value, list):
        return [add_fields(item, node, document, variables) for item in value]
    changed = dict(value) if isinstance(value, dict) else {}
    for name, member in node.members.items():
        found = (member.evaluate(document, variables) if member.evaluate is not None
                 else add_fields(changed.get(name), member, document, variables))
        if found is MISSING:
            changed.pop(name, None)
        else:
            changed[name] = found
    return changed


# -------------------------------------------------------------------- compiling

def is_switch(value: Any) -> bool:
    return isinstance(value, bool) or values.is_number(value)


class Reader:
    """Gathers paths of a projection into trees."""

    def __init__(self, names: Iterable[str], is_find: bool) -> None:
        self.names, self.is_find = tuple(names), is_find
        self.kept, self.dropped, self.computed = list[str](), list[str](), list[tuple[str, Evaluate]]()
        self.arrays: list[tuple[str, Callable[[Any], Any]]] = []     # $slice, $elemMatch of find
        self.positional: str | None = None
        self.id: Any = None                                 # True, False or not said
        self.has_match = False

    def read(self, specification: Mapping[str, Any], prefix: str = "") -> None:
        for name, value in specification.items():
            if not isinstance(name, str):
                raise TypeError(f"a name in a projection must be str, not {type(name).__name__}")
            path = prefix + name
            if path == "_id" and is_switch(value):
                self.id = is_true(value)
            elif self.is_find and name.endswith(".$") and is_switch(value):
                self.add_positional(path)
            elif name.startswith("$"):
                raise fail(16410, f"FieldPath field names may not start with '$'. Consider using $getField or "
                                  f"$setField ({path!r})")
            elif is_switch(value):
                (self.kept if is_true(value) else self.dropped).append(path)
            elif isinstance(value, Mapping) and not next(iter(value), "").startswith("$"):
                if not value:
                    raise fail(51270, "An empty sub-projection is not a valid value. Found empty object at path "
                                      f"{path!r}")
                self.read(value, path + ".")
            elif self.is_find and isinstance(value, Mapping) and self.add_array(path, value):
                pass
            else:
                self.computed.append((path, compile_evaluate(value, self.names)))

    def add_positional(self, path: str) -> None:
        if self.positional is not None:
            raise fail(31276, "Cannot specify more than one positional projection per query.")
        self.positional = path[:-2]
        self.kept.append(self.positional)

    def add_array(self, path: str, value: Mapping[str, Any]) -> bool:
        (operator, argument), *more = value.items()
        if operator == "$meta":
            raise CommandNotSupported("$meta is not supported")
        if operator == "$elemMatch":
            if "." in path:
                raise fail(31275, "Cannot use $elemMatch projection on a nested field.")
            if not isinstance(argument, Mapping):
                raise fail(31274, f"elemMatch: Invalid argument, object required, but got "
                                  f"{values.type_name(argument)}")
            test = compile_filter({"item": {"$elemMatch": argument}})
            self.arrays.append((path, lambda items: _first_match(items, test)))
            self.has_match = True
            return True
        if operator == "$slice" and not more:
            skip, limit = _slice_bounds(argument)
            self.arrays.append((path, lambda items: _sliced(items, skip, limit)))
            return True
        return False


def _first_match(items: Any, test: Filter) -> Any:
    if not isinstance(items, list):
        return MISSING
    position = test.position({"item": items})
    return MISSING if position is None else [items[position]]


def _slice_bounds(argument: Any) -> tuple[int | None, int]:
    if isinstance(argument, list | tuple):
        if len(argument) != 2:
            raise fail(28667, "Invalid $slice syntax. The given syntax did not match the find() syntax: "
                              f"{argument!r:.60}")
        skip, limit = whole(argument[0]), whole(argument[1])
        if skip is None or limit is None:
            raise fail(28724, "First argument to $slice must be an array, but is of type: int")
        if limit <= 0:
            raise fail(28729, f"$slice limit must be positive, found {limit}")
        return skip, limit
    count = whole(argument)
    if count is None:
        raise fail(28667, f"Invalid $slice syntax. $slice takes a number or an array, found {argument!r:.60}")
    return None, count


def _sliced(items: Any, skip: int | None, limit: int) -> Any:
    if not isinstance(items, list):
        return items
    if skip is None:
        return items[:limit] if limit >= 0 else items[limit:]
    start = max(len(items) + skip, 0) if skip < 0 else skip
    return items[start:start + limit]


def trees(reader: Reader) -> tuple[Node, bool]:
    """The tree of a projection, and whether it includes. Location31253, 31254: it does both."""
    if reader.dropped and reader.computed and not reader.kept:
        raise fail(31252, f"Cannot use an expression in an exclusion projection: {reader.computed[0][0]}")
    is_inclusive = bool(reader.kept or reader.computed)
    if is_inclusive and reader.dropped:
        raise fail(31254, f"Cannot do exclusion on field {reader.dropped[0]} in inclusion projection")
    if not is_inclusive and not reader.dropped and not reader.computed:
        is_inclusive = reader.has_match or (reader.id is True and not reader.arrays)
    tree = Node()
    if is_inclusive:
        if reader.id is not False:
            tree.add("_id", Node(action=KEEP)) if not any(path == "_id" for path, _ in reader.computed) else None
        for path in reader.kept:
            tree.add(path, Node(action=KEEP))
        for path, _ in reader.arrays:
            if not any(path == kept for kept in reader.kept):
                tree.add(path, Node(action=KEEP))
    else:
        if reader.id is False:
            tree.add("_id", Node(action=DROP))
        for path in reader.dropped:
            tree.add(path, Node(action=DROP))
    for path, evaluate in reader.computed:
        tree.add(path, Node(evaluate=evaluate, is_computing=True))
    return tree, is_inclusive


@dataclass(frozen=True, slots=True)
class Projection:
    """A checked projection of find."""

    tree: Node
    is_inclusive: bool
    arrays: tuple[tuple[str, Callable[[Any], Any]], ...]
    positional: str | None               # the path before `.$`
    variables: Variables

    @property
    def needs_position(self) -> bool:
        return self.positional is not None

    def apply(self, document: Document, position: int | None = None) -> Document:
        """`position`: Filter.position, of the element the positional projection keeps."""
        source = document
        if self.positional is not None:
            source = _replace(source, self.positional.split("."), lambda items: _chosen(items, position))
        for path, change in self.arrays:
            source = _replace(source, path.split("."), change)
        if self.is_inclusive:
            return dict(include(source, self.tree, document, {**self.variables, "ROOT": document}))
        return dict(exclude(source, self.tree))


def _chosen(items: Any, position: int | None) -> Any:
    if not isinstance(items, list):
        return items
    if position is None or not 0 <= position < len(items):
        raise fail(51246, "Executor error during find command: positional operator '.$' couldn't find a matching "
                          "element in the array")
    return [items[position]]


def _replace(value: Any, steps: list[str], change: Callable[[Any], Any]) -> Any:
    """A copy in which what the steps lead to is changed; MISSING: it goes."""
    if isinstance(value, list):
        return [_replace(item, steps, change) if isinstance(item, dict) else item for item in value]
    if not isinstance(value, dict) or steps[0] not in value:
        return value
    old = value[steps[0]]
    new = change(old) if len(steps) == 1 else _replace(old, steps[1:], change)
    if new is MISSING:
        return {name: item for name, item in value.items() if name != steps[0]}
    return {**value, steps[0]: new}


def compile_projection(specification: Specification | None, variables: Mapping[str, Any] | None = None
                       ) -> Projection | None:
    """None: the whole document. A list of names includes these."""
    if not specification and not isinstance(specification, list | tuple):
        return None
    if not isinstance(specification, Mapping):
        if isinstance(specification, str) or not all(isinstance(name, str) for name in specification or ()):
            raise TypeError("projection must be a list of field names or an instance of dict")
        specification = dict.fromkeys(specification or (), 1) or {"_id": 1}
    given: Variables = {"NOW": now(), **(variables or {})}
    reader = Reader(given, True)
    reader.read(specification)
    if reader.positional is not None and reader.dropped:
        raise fail(31395, "positional projection cannot be used with exclusion")
    tree, is_inclusive = trees(reader)
    return Projection(tree, is_inclusive, tuple(reader.arrays), reader.positional, given)


def compile_project(specification: Any, names: Iterable[str]) -> tuple[Node, bool]:
    """Of the stage $project."""
    if not isinstance(specification, Mapping):
        raise fail(15969, "$project specification must be an object")
    if not specification:
        raise fail(51272, "Invalid $project :: caused by :: projection specification must have at least one field")
    reader = Reader(names, False)
    reader.read(specification)
    return trees(reader)


def compile_add_fields(specification: Any, names: Iterable[str], stage: str) -> Node:
    if not isinstance(specification, Mapping):
        raise fail(40272, f"{stage} specification stage must be an object, got {values.type_name(specification)}")
    tree = Node()
    _read_added(specification, "", tuple(names), tree)
    return tree


def _read_added(specification: Mapping[str, Any], prefix: str, names: tuple[str, ...], tree: Node) -> None:
    for name, value in specification.items():
        if name.startswith("$"):
            raise fail(16410, f"FieldPath field names may not start with '$' ({name!r})")
        if isinstance(value, Mapping) and value and not next(iter(value)).startswith("$"):
            _read_added(value, prefix + name + ".", names, tree)
        else:
            tree.add(prefix + name, Node(evaluate=compile_evaluate(value, names), is_computing=True))


def compile_unset(specification: Any) -> Node:
    paths = [specification] if isinstance(specification, str) else specification
    if not isinstance(paths, list | tuple) or not paths or not all(isinstance(path, str) for path in paths):
        raise fail(31002, "$unset specification must be a string or an array of strings")
    tree = Node()
    for path in paths:
        if path.startswith("$"):
            raise BadValue(f"$unset: FieldPath field names may not start with '$' ({path!r})")
        tree.add(path, Node(action=DROP))
    return tree
