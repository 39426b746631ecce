"""How many rows a condition leaves, as a fraction, from what is known of a column.

    = value        its share among the most common values, or an equal share of the others
    < value        the slices of the histogram below it, and the common values below it
    = parameter    an equal share; < parameter: a guess, because a plan serves all values

These are estimates: they decide which way is taken to an answer, never what it is.
"""
from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from typing import Any

from phantomdb.core.catalog.objects import ColumnStatistics
from phantomdb.core.query import plan
from phantomdb.core.query.access_terms import Choice, Term
from phantomdb.core.query.ordering import sort_key

ColumnFigures = Callable[[int], ColumnStatistics | None]     # of a stored column

DISTINCT_VALUES = 50.0                   # of an expression, or of a column of which nothing is known
BOUND_FRACTION = 0.2                     # for each bound whose value is not known
CONDITION_FRACTION = 0.3                 # for each condition of another form
ARRAY_ITEMS = 8                          # of an array whose value is not known


def fraction_of(term: Term, columns: ColumnFigures) -> float:
    """Of all rows, those for which the term holds."""
    if not isinstance(term.side, plan.Column) or term.path or term.is_element:
        known = None
    else:
        known = columns(term.side.id)
    if term.operator == "not null":
        return 1.0 if known is None else 1 - known.null_fraction
    if term.operator != "=":
        return _below(term, known)
    if isinstance(term.value, Choice):
        if term.value.is_array:
            items = term.value.items[0]
            count = len(items.value) if isinstance(items, plan.Literal) and isinstance(items.value, list) else \
                ARRAY_ITEMS
            return min(1.0, count * _equal(None, known))
        return min(1.0, sum(_equal(item, known) for item in term.value.items))
    return _equal(term.value, known)


def _equal(value: plan.Expression | None, known: ColumnStatistics | None) -> float:
    if known is None:
        return 1 / DISTINCT_VALUES
    there = 1 - known.null_fraction
    if isinstance(value, plan.Literal):
        for common, fraction in known.most_common:
            if common == value.value:
                return fraction
        others = known.distinct_count - len(known.most_common)
        rest = there - sum(fraction for _, fraction in known.most_common)
        if others >= 1:
            return max(0.0, rest) / others
        return 0.0 if known.most_common else there / max(1.0, known.distinct_count)
    return there / max(1.0, known.distinct_count)


def _below(term: Term, known: ColumnStatistics | None) -> float:
    if known is None or not isinstance(term.value, plan.Literal) or term.value.value is None:
        return BOUND_FRACTION
    try:
        key = sort_key(term.side.type)
        at = key(term.value.value)
        is_below = term.operator in ("<", "<=")
        common = sum(fraction for value, fraction in known.most_common
                     if (key(value) < at if is_below else key(value) > at))
        bounds = [key(value) for value in known.histogram]
        rest = max(0.0, 1 - known.null_fraction - sum(fraction for _, fraction in known.most_common))
        if len(bounds) < 2:
            return min(1.0, common + (0.0 if known.most_common else rest * BOUND_FRACTION))
        place = (bisect_left(bounds, at) + bisect_right(bounds, at)) / 2
        below = min(1.0, max(0.0, (place - 0.5) / (len(bounds) - 1)))
        return min(1.0, common + rest * (below if is_below else 1 - below))
    except TypeError:                    # of another class than the values known
        return BOUND_FRACTION


def fraction_of_rest(conditions: list[plan.Expression], terms: list[Term], columns: ColumnFigures) -> float:
    """Of the rows read, those for which all `conditions` hold; `terms`: what is known of some of them."""
    by_condition: Mapping[int, Any] = {id(term.condition): term for term in terms}
    fraction = 1.0
    for condition in conditions:
        term = by_condition.get(id(condition))
        fraction *= CONDITION_FRACTION if term is None else max(0.0005, fraction_of(term, columns))
    return fraction
