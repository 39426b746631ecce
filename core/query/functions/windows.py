"""Functions that only windows have. `python` of one computes a whole partition at once:

    overload.python(rows, groups, frames) -> the value of each row

`rows`: the arguments of each row of the partition, in the window's order. `groups`: for each row the number of its
group of peers, from 0. `frames`: for each row the places (from 0) of the rows of its frame, in order; only
first_value, last_value and nth_value look at it. Aggregates in windows are those of aggregates.py.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from phantomdb.core.query.errors import InvalidArgumentForNthValue, InvalidArgumentForNtile
from phantomdb.core.query.functions.forms import NULLS, TAIL
from phantomdb.core.query.functions.registry import DuckForm, FunctionKind, Like, Overload, Pattern, register
from phantomdb.core.values import BIGINT, DOUBLE, INT, Type

Rows = Sequence[tuple[Any, ...]]
Frames = Sequence[Sequence[int]]


def _window(name: str, arguments: tuple[Pattern, ...], result: Any, python: Callable[..., list[Any]],
            duckdb: DuckForm, summary: str, optional: int = 0) -> None:
    register(Overload(name, FunctionKind.WINDOW, arguments, result, python, duckdb, optional=optional, is_strict=False,
                      summary=summary))


def _row_number(rows: Rows, _groups: Sequence[int], _frames: Frames) -> list[int]:
    return list(range(1, len(rows) + 1))


def _rank(_rows: Rows, groups: Sequence[int], _frames: Frames) -> list[int]:
    first: dict[int, int] = {}
    return [first.setdefault(group, place) for place, group in enumerate(groups, 1)]


def _dense_rank(_rows: Rows, groups: Sequence[int], _frames: Frames) -> list[int]:
    return [group + 1 for group in groups]


def _percent_rank(rows: Rows, groups: Sequence[int], frames: Frames) -> list[float]:
    return [(rank - 1) / (len(rows) - 1) if len(rows) > 1 else 0.0 for rank in _rank(rows, groups, frames)]


def _cume_dist(rows: Rows, groups: Sequence[int], _frames: Frames) -> list[float]:
    sizes, up_to, last = Counter(groups), 0, -1
    found = []
    for group in groups:
        if group != last:
            up_to, last = up_to + sizes[group], group
        found.append(up_to / len(rows))
    return found


def _ntile(rows: Rows, _groups: Sequence[int], _frames: Frames) -> list[int | None]:
    if not rows or rows[0][0] is None:
        return [None] * len(rows)
    count = rows[0][0]
    if count <= 0:
        raise InvalidArgumentForNtile
    size, larger = divmod(len(rows), count)
    found: list[int | None] = []
    for number in range(min(count, len(rows))):
        found += [number + 1] * (size + (number < larger))
    return found


def _shifted(sign: int) -> Callable[[Rows, Sequence[int], Frames], list[Any]]:
    def compute(rows: Rows, _groups: Sequence[int], _frames: Frames) -> list[Any]:
        found: list[Any] = []
        for place, (_, *more) in enumerate(rows):
            offset = more[0] if more else 1
            other = None if offset is None else place + sign * offset
            if other is None:
                found.append(None)
            elif 0 <= other < len(rows):
                found.append(rows[other][0])
            else:
                found.append(more[1] if len(more) > 1 else None)
        return found
    return compute


def _first_value(rows: Rows, _groups: Sequence[int], frames: Frames) -> list[Any]:
    return [rows[frame[0]][0] if frame else None for frame in frames]


def _last_value(rows: Rows, _groups: Sequence[int], frames: Frames) -> list[Any]:
    return [rows[frame[-1]][0] if frame else None for frame in frames]


def _nth_value(rows: Rows, _groups: Sequence[int], frames: Frames) -> list[Any]:
    found = []
    for (_, n), frame in zip(rows, frames, strict=True):
        if n is not None and n <= 0:
            raise InvalidArgumentForNthValue
        found.append(rows[frame[n - 1]][0] if n is not None and n <= len(frame) else None)
    return found


def _checked(form: str, code: str, message: str) -> DuckForm:
    """The count, the last argument, must be above 0."""
    def checked(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str:
        count = arguments[-1]
        if not count.isdigit() or int(count) == 0:
            count = f"CASE WHEN {count} <= 0 THEN error('phantomdb[{code}] {message}') ELSE {count} END"
        return form.format(*arguments[:-1], count=count, nulls=NULLS, tail=TAIL)
    return checked


def _shifted_form(name: str) -> DuckForm:
    def form(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str:
        return f"{name}({', '.join(arguments)}{NULLS}){TAIL}"
    return form


_window("row_number", (), BIGINT, _row_number, "row_number(){tail}", "number of the row, from 1")
_window("rank", (), BIGINT, _rank, "rank(){tail}", "number of the first peer")
_window("dense_rank", (), BIGINT, _dense_rank, "dense_rank(){tail}", "number of the group of peers")
_window("percent_rank", (), DOUBLE, _percent_rank, "percent_rank(){tail}", "rank from 0 to 1")
_window("cume_dist", (), DOUBLE, _cume_dist, "cume_dist(){tail}", "part of the rows up to the last peer")
_window("ntile", (INT,), INT, _ntile,
        _checked("CAST(ntile({count}){tail} AS INTEGER)", InvalidArgumentForNtile.code, InvalidArgumentForNtile.advice),
        "which of so many equal parts")
for _name, _sign, _where in (("lag", -1, "before"), ("lead", 1, "after")):
    _window(_name, (Like.ELEMENT,), Like.ELEMENT, _shifted(_sign), _shifted_form(_name), f"value of the row {_where}")
    _window(_name, (Like.ELEMENT, INT), lambda types: types[0], _shifted(_sign), _shifted_form(_name),
            f"value of the row so many {_where}")
    _window(_name, (Like.ELEMENT, INT, Like.ELEMENT), Like.ELEMENT, _shifted(_sign), _shifted_form(_name),
            f"value of the row so many {_where}, else the default")
_window("first_value", (Like.ELEMENT,), Like.ELEMENT, _first_value, "first_value({0}{nulls}){tail}",
        "value of the frame's first row")
_window("last_value", (Like.ELEMENT,), Like.ELEMENT, _last_value, "last_value({0}{nulls}){tail}",
        "value of the frame's last row")
_window("nth_value", (Like.ELEMENT, INT), lambda types: types[0], _nth_value,
        _checked("nth_value({0}, {count}{nulls}){tail}", InvalidArgumentForNthValue.code,
                 InvalidArgumentForNthValue.advice), "value of the frame's n-th row")
