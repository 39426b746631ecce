"""When rows are gone: the indexes with a time to live.

    index on `seen` with ttl_s = 3600        a row is gone an hour after the moment in its column `seen`

From that moment on nobody sees the row; the sweeper (sweep.py) removes it later. It finds such rows by the same
indexes, whose entries stand in the order of the moments.
"""
from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from phantomdb.core.catalog.objects import IndexState
from phantomdb.core.values import Kind, Value

if TYPE_CHECKING:
    from phantomdb.core.tables.layout import ByteRange, IndexLayout

_FIRST = datetime.datetime.min


class Expiry:
    """The rules of one table. A row goes at the earliest moment that any of them names."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Sequence[tuple[IndexLayout, datetime.timedelta]]) -> None:
        self._rules = tuple(rules)

    @classmethod
    def of(cls, indexes: Iterable[IndexLayout]) -> Expiry | None:
        """None when rows of the table do not expire."""
        rules = [(layout, datetime.timedelta(seconds=layout.index.ttl_s)) for layout in indexes
                 if layout.index.ttl_s is not None and layout.index.state is IndexState.PUBLIC]
        return cls(rules) if rules else None

    def is_alive(self, row: Sequence[Value], now: datetime.datetime) -> bool:
        """Whether the row is still there at `now` (with a zone). A row without a moment stays; an array of moments
        counts by its earliest."""
        for layout, span in self._rules:
            value = layout.first_value(row)
            moments = [_moment(item) for item in value] if isinstance(value, list) else [_moment(value)]
            found = [moment for moment in moments if moment is not None]
            if found and now - min(found) >= span and layout.covers(row):
                return False
        return True

    def expired(self, now: datetime.datetime) -> Iterator[tuple[IndexLayout, ByteRange]]:
        """Where the entries of all rows stand that are gone at `now`. Others may stand there, too."""
        for layout, span in self._rules:
            try:
                last = now.astimezone(datetime.UTC) - span
            except OverflowError:                            # nothing is that old
                continue
            plain, day = last.replace(tzinfo=None), last.date()
            match layout.keys.types[0].kind:
                case Kind.DATE:
                    bounds: list[tuple[Value, Value]] = [(None, day)]
                case Kind.TIMESTAMP:
                    bounds = [(None, plain)]
                case Kind.TIMESTAMPTZ:
                    bounds = [(None, last)]
                case _:                                      # what a field is, its value tells
                    bounds = [(_FIRST.date(), day), (_FIRST, plain), (_FIRST.replace(tzinfo=datetime.UTC), last)]
            for low, high in bounds:
                yield layout, layout.keys.range(low=low, high=high)


def _moment(value: Any) -> datetime.datetime | None:
    """Dates begin at midnight, moments without a zone are UTC; anything else is none."""
    if isinstance(value, datetime.datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=datetime.UTC)
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC)
    return None
