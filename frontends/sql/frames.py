"""The frame of a window: ROWS, RANGE or GROUPS BETWEEN two bounds, with PostgreSQL's rules of what fits together."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from phantomdb.core.query import plan
from phantomdb.core.query.errors import FeatureNotSupported, InvalidParameterValue, SyntaxFailure, WindowingError
from phantomdb.core.values import BIGINT, INTERVAL, Kind
from phantomdb.frontends.sql.parse import position_of

if TYPE_CHECKING:
    from phantomdb.core.query.builder import Builder
    from phantomdb.frontends.sql.expressions import ExpressionBinder

_SPANNED = (Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.TIMESTAMPTZ, Kind.INTERVAL)
_NUMBERS = (Kind.INT, Kind.FLOAT, Kind.DECIMAL)
# A frame may not end before it starts, by the kinds of its bounds.
_ORDER = list(plan.BoundKind)


def bind_frame(builder: Builder, binder: ExpressionBinder, spec: Any, keys: Sequence[plan.SortKey]) -> plan.Frame:
    """`keys`: of the window's ORDER BY. SyntaxFailure, WindowingError, FeatureNotSupported."""
    start, start_offset = _bound(binder, spec, "start", plan.BoundKind.UNBOUNDED_PRECEDING)
    stop, stop_offset = _bound(binder, spec, "end", plan.BoundKind.CURRENT_ROW)
    unit = plan.FrameUnit(str(spec.args.get("kind") or "RANGE").lower())
    exclude = spec.args.get("exclude")
    text = "" if exclude is None else (exclude if isinstance(exclude, str) else exclude.name).lower()
    position = position_of(spec)
    if start is plan.BoundKind.UNBOUNDED_FOLLOWING or stop is plan.BoundKind.UNBOUNDED_PRECEDING:
        raise WindowingError("frame start cannot be UNBOUNDED FOLLOWING, frame end cannot be UNBOUNDED PRECEDING",
                             position=position)
    if _ORDER.index(start) > _ORDER.index(stop):
        raise WindowingError(f"frame starting from {start} cannot end with {stop}", position=position)
    if unit is plan.FrameUnit.GROUPS and not keys:
        raise WindowingError("GROUPS mode requires an ORDER BY clause", position=position)
    if unit is plan.FrameUnit.RANGE and len(keys) != 1 and (start_offset, stop_offset) != (None, None):
        raise WindowingError("RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column",
                             position=position)

    def offset(expression: plan.Expression | None) -> plan.Expression | None:
        if expression is None:
            return None
        if unit is not plan.FrameUnit.RANGE:
            expression = builder.cast(expression, BIGINT)
        else:
            type_ = keys[0].expression.type
            if type_.kind in _SPANNED:
                expression = builder.cast(expression, INTERVAL)
            elif type_.kind not in _NUMBERS or expression.type.kind not in _NUMBERS:
                raise FeatureNotSupported("RANGE with offset PRECEDING/FOLLOWING is not supported for column type "
                                          f"{type_} and offset type {expression.type}", position=position)
        if isinstance(expression, plan.Literal) and isinstance(expression.value, int) and expression.value < 0:
            raise InvalidParameterValue("frame offset must not be negative", position=position)
        return expression

    return plan.Frame(unit, start, offset(start_offset), stop, offset(stop_offset),
                      "" if text == "no others" else text)


def _bound(binder: ExpressionBinder, spec: Any, name: str, default: plan.BoundKind
           ) -> tuple[plan.BoundKind, plan.Expression | None]:
    value, side = spec.args.get(name), spec.args.get(f"{name}_side")
    if value is None:
        return default, None
    if isinstance(value, str) and value.upper() == "CURRENT ROW":
        return plan.BoundKind.CURRENT_ROW, None
    if side is None:
        raise SyntaxFailure("a bound of a frame is PRECEDING or FOLLOWING", position=position_of(spec))
    if isinstance(value, str):
        return plan.BoundKind(f"unbounded {side.lower()}"), None
    return plan.BoundKind(side.lower()), binder.settled(value)
