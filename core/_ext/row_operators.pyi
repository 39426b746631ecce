"""The row executor's operators: a query as a tree of small machines that hand rows to each other in one frame."""
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from phantomdb.core._ext.engine import Engine
from phantomdb.core._ext.row_expressions import RowExpression
from phantomdb.core._ext.transaction import TransactionCore

INNER: Final[int]                        # how a join treats rows of its left side without a partner
LEFT: Final[int]
SEMI: Final[int]
ANTI: Final[int]

class TooManyRows(Exception):
    """A run has read more rows than it may: another executor is to take over."""

class Execution:
    """What the operators of a program share while it runs."""

class Operator:
    """Gives rows, one after the other. `loops`, `rows` and `seconds` (with those of its inputs) add up over the
    profiled runs."""

    @property
    def loops(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def seconds(self) -> float: ...

class RowProgram:
    """A query ready to run: a tree of operators, and where in a frame of `width` the columns of its result are. For
    one run at a time. `context`: its `parameters` are those of the run. `subqueries`: the SubqueryRows in its
    expressions."""

    def __init__(self, engine: Engine, root: Operator, width: int, outputs: Iterable[int], context: Any,
                 subqueries: Iterable[SubqueryRows]) -> None: ...
    @property
    def root(self) -> Operator: ...
    @property
    def read_count(self) -> int:
        """Rows read by the last run."""
    def run(self, core: TransactionCore | None, parameters: Sequence[Any], version: bytes | None = None,
            read_limit: int | None = None, check: Callable[[], object] | None = None, is_profiled: bool = False) -> Any:
        """The rows as a list of tuples. `core`: an open transaction, which counts what is read as read. None: as of the
        newest commit; then `version` may be the catalog's version row the caller knows, and STALE is the answer when
        it is another. TooManyRows: more than `read_limit` were read. `check` is called every so many rows, and raises
        to end the run. Errors of expressions; CorruptionError."""

class ValuesRows(Operator):
    """Rows of expressions, at `base` of the frame."""

    def __init__(self, rows: Iterable[Iterable[RowExpression]], base: int) -> None: ...

class EachValue(Operator):
    """The different values of some expressions, or with `is_array` the elements of one, NULL left out, each at
    `position` of the frame. `key`: (value) -> what tells different ones apart, None for itself."""

    def __init__(self, expressions: Iterable[RowExpression], position: int, key: Callable[[Any], Any] | None,
                 is_array: bool) -> None: ...

class FilterRows(Operator):
    """The rows for which all tests are true."""

    def __init__(self, source: Operator, tests: Iterable[RowExpression]) -> None: ...

class ComputeRows(Operator):
    """Adds the values of expressions: `items` are (position in the frame, expression)."""

    def __init__(self, source: Operator, items: Sequence[tuple[int, RowExpression]]) -> None: ...

class LimitRows(Operator):
    """Rows after the first `offset`, at most `count`; None: none is skipped, all are given. `number`: (value, is it the
    count) -> the number it stands for, None for NULL."""

    def __init__(self, source: Operator, count: RowExpression | None, offset: RowExpression | None,
                 number: Callable[[Any, bool], int | None]) -> None: ...

class NestedLoop(Operator):
    """For each row of `left` the rows of `right`, started anew, for which all tests are true. `nulls`: positions of the
    right columns."""

    def __init__(self, left: Operator, right: Operator, mode: int, tests: Iterable[RowExpression],
                 nulls: Iterable[int]) -> None: ...

class SubqueryRows:
    """The rows of a subquery for the row in the frame: call it with that. `limit`: no more are asked for (0: all).
    Not correlated: they are the same in the whole run."""

    def __init__(self, root: Operator, outputs: Iterable[int], limit: int, is_correlated: bool) -> None: ...
    def __call__(self, row: Sequence[Any]) -> list[tuple[Any, ...]]: ...
