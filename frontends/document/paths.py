"""Dotted paths in decoded documents: reading one value, and setting it in a copy that shares all the rest.

A copy is made of the containers along the path only, so the document that was given stays as it is.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from phantomdb.frontends.document.errors import BadValue, PathNotViable
from phantomdb.frontends.document.values import MISSING

PADDING_MAX = 1_500_000                  # elements that setting one behind the end may add, as MongoDB

Change = Callable[[Any], Any]            # old value or MISSING -> new value, or MISSING to remove it


def get(document: Any, steps: tuple[str, ...]) -> Any:
    """Objects by name, arrays by position; MISSING where it leads nowhere."""
    value = document
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step, MISSING)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return MISSING
    return value


class Route:
    """Where a change is to be made: steps, `$[]` and `$[name]` among them, and how the latter choose elements."""

    def __init__(self, steps: tuple[str, ...], chosen: Mapping[str, Callable[[Any], bool]], creates: bool) -> None:
        self.steps, self.chosen, self.creates = steps, chosen, creates

    def change(self, document: Any, change: Change) -> Any:
        """The changed copy; the document itself where nothing changed. PathNotViable: a step leads into a value that
        has no such thing."""
        return self._change(document, 0, change)

    def _change(self, value: Any, index: int, change: Change) -> Any:
        if index == len(self.steps):
            return change(value)
        step = self.steps[index]
        if step.startswith("$["):
            return self._elements(value, index, change)
        if isinstance(value, dict):
            return self._member(value, step, index, change)
        if isinstance(value, list):
            return self._element(value, step, index, change)
        if not self.creates:
            return value
        raise PathNotViable(f"Cannot create field '{step}' in element "
                            f"{{{self.steps[index - 1]}: {_shown(value)}}}")

    def _member(self, value: dict[str, Any], name: str, index: int, change: Change) -> Any:
        old = value.get(name, MISSING)
        if old is MISSING and index + 1 < len(self.steps):
            if not self.creates:
                return value
            if self.steps[index + 1].startswith("$["):
                raise BadValue(f"The path '{'.'.join(self.steps[:index + 1])}' must exist in the document in order to "
                               "apply array updates.")
            new = self._change({}, index + 1, change)
        else:
            new = self._change(old, index + 1, change)
        if new is old:
            return value
        copy = dict(value)
        if new is MISSING:
            del copy[name]
        else:
            copy[name] = new
        return copy

    def _element(self, value: list[Any], step: str, index: int, change: Change) -> Any:
        if not step.isdigit():
            if not self.creates:
                return value
            raise PathNotViable(f"Cannot create field '{step}' in element "
                                f"{{{self.steps[index - 1]}: {_shown(value)}}}")
        place = int(step)
        is_last = index + 1 == len(self.steps)
        if place >= len(value):
            if not self.creates:
                return value
            if place - len(value) > PADDING_MAX:
                raise BadValue(f"can't backfill more than {PADDING_MAX} elements")
            new = self._change(MISSING if is_last else {}, index + 1, change)
            if new is MISSING:
                return value
            return [*value, *[None] * (place - len(value)), new]
        old = value[place]
        new = self._change(old, index + 1, change)
        if new is old:
            return value
        copy = list(value)
        copy[place] = None if new is MISSING else new       # an array keeps its length
        return copy

    def _elements(self, value: Any, index: int, change: Change) -> Any:
        if not isinstance(value, list):
            raise BadValue(f"Cannot apply array updates to non-array element {self.steps[index - 1] if index else ''}: "
                           f"{_shown(value)}")
        name = self.steps[index][2:-1]
        copy: list[Any] | None = None
        for place, old in enumerate(value):
            if name and not self.chosen[name](old):
                continue
            new = self._change(old, index + 1, change)
            if new is not old:
                copy = list(value) if copy is None else copy
                copy[place] = None if new is MISSING else new
        return value if copy is None else copy


def _shown(value: Any) -> str:
    return f"{value!r:.80}"
