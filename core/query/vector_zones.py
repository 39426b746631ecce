"""The clocks of time zones over whole columns, for the vector executor.

    local clock of the session      (zone, timestamptz) -> microseconds since 1970 that a clock in the zone shows
    moment of the session           (zone, timestamp)   -> microseconds since 1970 at which a clock in it shows that
    local clock in a zone, moment in a zone             the same; the zone is written as in AT TIME ZONE

The rules are those of functions/zones.py. A zone keeps one offset for months, so the offset is asked for at both ends
of each day that occurs, and where the two differ of each quarter of an hour; what is left is asked for row by row. (No
zone goes to another offset and back within a day.)
"""
from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from phantomdb.core.query.context import zone_named
from phantomdb.core.query.errors import DatetimeOutOfRange
from phantomdb.core.query.functions import zones
from phantomdb.core.query.functions.moments_arithmetic import EPOCH, EPOCH_UTC, MICROSECOND

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

LOCAL, MOMENT = "local clock of the session", "moment of the session"
LOCAL_IN, MOMENT_IN = "local clock in a zone", "moment in a zone"
_STEPS = (86_400_000_000, 900_000_000)   # a day, a quarter of an hour, in microseconds
_Change = Callable[[int], int]           # from microseconds since 1970 to others


def _change(name: str, zone: tzinfo) -> _Change:
    def to_local(microseconds: int) -> int:
        return (zones.to_local(EPOCH_UTC + timedelta(microseconds=microseconds), zone) - EPOCH) // MICROSECOND

    def to_moment(microseconds: int) -> int:
        return (zones.to_moment(EPOCH + timedelta(microseconds=microseconds), zone) - EPOCH_UTC) // MICROSECOND
    return to_local if name in (LOCAL, LOCAL_IN) else to_moment


def run(name: str, zone_names: pa.ChunkedArray, moments: pa.ChunkedArray) -> pa.Array:
    """One of the functions. InvalidParameterValue: no such zone. DatetimeOutOfRange."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    find = zone_named if name in (LOCAL, MOMENT) else zones.zone_of
    is_null = pc.or_(pc.is_null(zone_names), pc.is_null(moments)).to_numpy()
    values = pc.fill_null(moments.cast(pa.int64()), 0).to_numpy().copy()
    for zone_name in pc.unique(zone_names).to_pylist():
        if zone_name is None:
            continue
        places = np.flatnonzero(pc.fill_null(pc.equal(zone_names, zone_name), False).to_numpy() & ~is_null)
        if len(places):                  # a name beside NULLs only is not looked at
            values[places] = _changed(values[places], _change(name, find(zone_name)), _STEPS)
    return pa.array(values, pa.int64(), mask=is_null)


def _changed(values: np.ndarray[Any, Any], change: _Change, steps: tuple[int, ...]) -> np.ndarray[Any, Any]:
    import numpy as np
    if not steps:
        try:
            return np.array([change(value) for value in values.tolist()], np.int64)
        except OverflowError:
            raise DatetimeOutOfRange("timestamp out of range") from None
    step, *smaller = steps
    numbers, places = np.unique(values // step, return_inverse=True)
    offsets, is_plain = np.zeros(len(numbers), np.int64), np.zeros(len(numbers), bool)
    for place, number in enumerate(numbers.tolist()):
        offset = _offset(number * step, change)
        if offset is not None and offset == _offset((number + 1) * step, change):
            offsets[place], is_plain[place] = offset, True
    changed = values + offsets[places]
    others = np.flatnonzero(~is_plain[places])
    if len(others):
        changed[others] = _changed(values[others], change, tuple(smaller))
    return changed


def _offset(microseconds: int, change: _Change) -> int | None:
    """None: out of range."""
    try:
        return change(microseconds) - microseconds
    except (OverflowError, DatetimeOutOfRange):
        return None
