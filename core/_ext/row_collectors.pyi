"""Operators that keep rows: sorting, joining by hash, grouping, telling duplicates apart, one after the other."""
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from phantomdb.core._ext.row_expressions import RowExpression
from phantomdb.core._ext.row_operators import Operator

# What an aggregate does with the values of a group.
COUNT_ROWS: Final[int]                   # how many rows
COUNT: Final[int]                        # how many values
ADD: Final[int]                          # finish(count, sum) of whole numbers
LEAST: Final[int]                        # of values that Python compares as SQL does
GREATEST: Final[int]
GATHER: Final[int]                       # finish(list of values)
CALL: Final[int]                         # state = make(); state.add(*values) for each row; state.result()

_Compared = Callable[[Any], Any] | None  # what to compare a value by, None for itself

class Collector(Operator):
    """Has its rows in `kept`, each a tuple of what belongs at `saved`; all are there before the first is given."""

class SortRows(Collector):
    """Rows in the order of `keys`: (expression, what to compare its values by, or None for themselves, is it
    descending, do NULLs come first)."""

    def __init__(self, source: Operator, keys: Iterable[tuple[RowExpression, _Compared, bool, bool]],
                 saved: Iterable[int]) -> None: ...

class Accumulator:
    """What an aggregate has of one group."""

class Folding:
    """One aggregate: see AggregateRows."""

    def __init__(self, kind: int, arguments: Iterable[RowExpression], condition: RowExpression | None,
                 distinct: _Compared, finish: Any) -> None: ...

class AggregateRows(Collector):
    """A row for each group: `keys` are (expression, what to compare its values by, or None); `folds` (one of the
    constants above, arguments, condition or None, None or what tells different values apart, make or finish or None).
    Where there are no keys there is one group, also of no rows. `saved`: positions of the keys, then of the folds."""

    def __init__(self, source: Operator, keys: Iterable[tuple[RowExpression, _Compared]],
                 folds: Iterable[tuple[int, Iterable[RowExpression], RowExpression | None, _Compared, Any]],
                 saved: Iterable[int]) -> None: ...

class DistinctRows(Operator):
    """The first row of those that are equal in all `keys`: (expression, what to compare its values by, or None)."""

    def __init__(self, source: Operator, keys: Iterable[tuple[RowExpression, _Compared]]) -> None: ...

class HashJoin(Operator):
    """The rows of `left` with those of `right` that have the same key and for which all tests are true. `functions`:
    what to compare the values of a key by, None for themselves. `saved`: positions of the right columns. The modes are
    those of NestedLoop."""

    def __init__(self, left: Operator, right: Operator, left_key: Iterable[RowExpression],
                 right_key: Iterable[RowExpression], functions: Iterable[_Compared], mode: int,
                 tests: Iterable[RowExpression], saved: Iterable[int]) -> None: ...

class AppendRows(Operator):
    """The rows of each source, one source after the other. `sources`: for each the positions that are copied to
    `targets`."""

    def __init__(self, inputs: Iterable[Operator], sources: Iterable[Sequence[int]],
                 targets: Iterable[int]) -> None: ...
