"""The logical plan: what every frontend compiles to and both executors run.

    SELECT name, count(*) FROM item WHERE price > 5 GROUP BY name ORDER BY 2 DESC LIMIT 3

    Limit(3)
      Sort(c6 descending)
        Aggregate(keys c5 = c1; c6 = count(*))
          Filter(c2 > 5)
            Scan(table 17: c1 = column 2, c2 = column 3)

Everything is resolved: tables and stored columns are ids of the catalog, every output of every node has a number
of its own (`Column.id`, unique in the whole statement), every expression has its type, every conversion is a Cast. So
a reference needs no qualifier, a correlated subquery just names an outer column, and nothing below this page knows
names, scopes or the syntax a query came in.

Nodes are values: immutable, compared by content. `core/query/builder.py` makes them.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from phantomdb.core.values import BOOL, Type, Value

# Scan outputs that are no stored column: the encoded primary key of the row.
ROW_KEY = -1
# ... and all fields of a row of a flexible table, as one JSON object.
DOCUMENT = -2


# -------------------------------------------------------------------- expressions

@dataclass(frozen=True, slots=True)
class Expression:
    """Has a type; may be evaluated for a row."""

    type: Type


@dataclass(frozen=True, slots=True)
class Literal(Expression):
    value: Value
    is_untyped: bool = False             # a quoted string without a type: takes the one its place asks for

    def __hash__(self) -> int:
        # lists and dicts are values as well; equal ones are shown the same way
        return hash((self.type, repr(self.value)))


@dataclass(frozen=True, slots=True)
class Parameter(Expression):
    index: int                           # from 0
    is_untyped: bool = False             # given as str or None: as above


@dataclass(frozen=True, slots=True)
class Column(Expression):
    """An output of a node, by its number; in a correlated subquery, of a node outside of it."""

    id: int
    name: str = field(default="", compare=False)             # for EXPLAIN and messages only


@dataclass(frozen=True, slots=True)
class Call(Expression):
    """A scalar function or operator of core/query/functions: `name` with arguments already converted to what the
    chosen overload takes. Also "and", "or", "not", "is null", "in" (first argument in the others)."""

    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Cast(Expression):
    """A conversion to `type`. Explicit ones may lose (text is cut at its length); others raise instead."""

    argument: Expression
    is_explicit: bool = False


@dataclass(frozen=True, slots=True)
class Case(Expression):
    """The value of the first branch whose condition is true, else the default."""

    branches: tuple[tuple[Expression, Expression], ...]
    default: Expression


@dataclass(frozen=True, slots=True)
class SortKey:
    expression: Expression
    is_descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True, slots=True)
class AggregateCall(Expression):
    """Only as an item of Aggregate or, with a window around it, of Window. Of an ordered-set aggregate (WITHIN GROUP)
    the arguments are the direct ones, then the values that `order_by` sorts."""

    name: str
    arguments: tuple[Expression, ...]
    is_distinct: bool = False
    order_by: tuple[SortKey, ...] = ()                       # of the values, or WITHIN GROUP
    condition: Expression | None = None                      # FILTER (WHERE ...)


class FrameUnit(StrEnum):
    ROWS = "rows"
    RANGE = "range"
    GROUPS = "groups"


class BoundKind(StrEnum):
    UNBOUNDED_PRECEDING = "unbounded preceding"
    PRECEDING = "preceding"
    CURRENT_ROW = "current row"
    FOLLOWING = "following"
    UNBOUNDED_FOLLOWING = "unbounded following"


@dataclass(frozen=True, slots=True)
class Frame:
    unit: FrameUnit
    start: BoundKind
    start_offset: Expression | None
    stop: BoundKind
    stop_offset: Expression | None
    exclude: str = ""                                        # "", "current row", "group", "ties"


@dataclass(frozen=True, slots=True)
class WindowCall(Expression):
    """Only as an item of Window."""

    call: AggregateCall                                      # or a pure window function by its name
    partition_by: tuple[Expression, ...] = ()
    order_by: tuple[SortKey, ...] = ()
    frame: Frame | None = None
    ignore_nulls: bool = False


class SubqueryKind(StrEnum):
    SCALAR = "scalar"                    # one column, at most one row; NULL for none
    EXISTS = "exists"
    ANY = "any"                          # left OPERATOR ANY (rows); IN is = ANY
    ALL = "all"
    ARRAY = "array"                      # all rows of one column as an array


@dataclass(frozen=True, slots=True)
class Subquery(Expression):
    kind: SubqueryKind
    plan: Node
    outputs: tuple[Column, ...]          # the columns of the plan that count, in order
    operator: str = ""                   # ANY, ALL: =, <>, <, <=, >, >=
    left: tuple[Expression, ...] = ()    # ANY, ALL: as many as outputs


# -------------------------------------------------------------------- nodes

@dataclass(frozen=True, slots=True)
class Node:
    """Yields rows; its outputs are the columns it lists and, where not said otherwise, those of its input."""


@dataclass(frozen=True, slots=True)
class ScanColumn:
    column: Column
    source: int                          # id of a stored column in the catalog, ROW_KEY or DOCUMENT


@dataclass(frozen=True, slots=True)
class Scan(Node):
    """All rows of a table. Which index or range is read is the executors' choice (core/query/access.py)."""

    table: int
    columns: tuple[ScanColumn, ...]
    as_of: Expression | None = None      # a timestamp, or a moment; None: the transaction's snapshot


@dataclass(frozen=True, slots=True)
class Values(Node):
    """Rows written out. No columns and one empty row: SELECT without FROM."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Expression, ...], ...]


@dataclass(frozen=True, slots=True)
class TableFunction(Node):
    """A function that yields rows: generate_series, unnest, jsonb_array_elements, ..."""

    name: str
    arguments: tuple[Expression, ...]
    columns: tuple[Column, ...]
    ordinality: Column | None = None


@dataclass(frozen=True, slots=True)
class VirtualTable(Node):
    """Rows made from the catalog by name: information_schema and pg_catalog."""

    name: str
    columns: tuple[ScanColumn, ...]      # source: position of the column


@dataclass(frozen=True, slots=True)
class Filter(Node):
    input: Node
    condition: Expression


@dataclass(frozen=True, slots=True)
class Item:
    column: Column
    expression: Expression


@dataclass(frozen=True, slots=True)
class Project(Node):
    """Outputs are the items alone."""

    input: Node
    items: tuple[Item, ...]


class JoinKind(StrEnum):
    INNER = "inner"
    LEFT = "left"
    RIGHT = "right"
    FULL = "full"
    CROSS = "cross"


@dataclass(frozen=True, slots=True)
class Join(Node):
    """Outputs are those of both. Lateral: the right side may name columns of the left."""

    kind: JoinKind
    left: Node
    right: Node
    condition: Expression | None = None
    is_lateral: bool = False


@dataclass(frozen=True, slots=True)
class Aggregate(Node):
    """Outputs are keys and aggregates. `sets`: GROUPING SETS as positions of keys; None groups by all of them.
    No keys and no sets: one row, also for no input. `grouping`: (column, positions) for each grouping() call."""

    input: Node
    keys: tuple[Item, ...]
    aggregates: tuple[Item, ...]                             # expressions are AggregateCalls
    sets: tuple[tuple[int, ...], ...] | None = None
    grouping: tuple[tuple[Column, tuple[int, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Window(Node):
    """Adds a column for each item; expressions are WindowCalls."""

    input: Node
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Distinct(Node):
    """One row of each group that is equal in `on` (None: in `columns`, which are all that count). With `on`, the first
    in the order given."""

    input: Node
    columns: tuple[Column, ...]
    on: tuple[Expression, ...] | None = None
    order_by: tuple[SortKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Sort(Node):
    input: Node
    keys: tuple[SortKey, ...]


@dataclass(frozen=True, slots=True)
class Limit(Node):
    """`with_ties`: also the rows equal to the last one in the order of the Sort below."""

    input: Node
    count: Expression | None
    offset: Expression | None = None
    with_ties: bool = False


class SetKind(StrEnum):
    UNION = "union"
    INTERSECT = "intersect"
    EXCEPT = "except"


@dataclass(frozen=True, slots=True)
class SetOperation(Node):
    """Outputs are `columns`; each side gives those listed for it, by position, of equal types."""

    kind: SetKind
    is_all: bool
    left: Node
    right: Node
    columns: tuple[Column, ...]
    left_columns: tuple[Column, ...]
    right_columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class CommonTable:
    """WITH: a query that its body may read any number of times. Recursive: `recursive` reads the rows of the step
    before through CommonScan of the same number, until it yields none."""

    id: int
    plan: Node
    outputs: tuple[Column, ...]
    recursive: Node | None = None
    recursive_outputs: tuple[Column, ...] = ()
    is_union_all: bool = True
    is_materialized: bool | None = None                      # None: as the executor likes


@dataclass(frozen=True, slots=True)
class With(Node):
    tables: tuple[CommonTable, ...]
    input: Node


@dataclass(frozen=True, slots=True)
class CommonScan(Node):
    """Reads a CommonTable; `columns` stand for its outputs, by position."""

    table: int
    columns: tuple[Column, ...]


class LockWait(StrEnum):
    WAIT = "wait"
    NOWAIT = "nowait"
    SKIP = "skip locked"


@dataclass(frozen=True, slots=True)
class RowLock:
    """Of the rows of one table; `key` is an output of the plan, the ROW_KEY of a scan. Shared: FOR SHARE."""

    table: int
    key: Column
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class RowLocks:
    """SELECT ... FOR UPDATE, as core/query/locking.py has it."""

    rows: tuple[RowLock, ...]
    wait: LockWait = LockWait.WAIT


@dataclass(frozen=True, slots=True)
class Query:
    """A plan that yields a result: the columns in their order, with the names users see."""

    plan: Node
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    locks: RowLocks | None = None


# -------------------------------------------------------------------- changes of rows

@dataclass(frozen=True, slots=True)
class Default(Expression):
    """DEFAULT in a list of values: what the column gets when nothing is given. Only as a whole value."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A stored column gets the value of an expression over the outputs of the source, or its Default."""

    target: int
    expression: Expression


@dataclass(frozen=True, slots=True)
class Returning:
    """What a change gives back for each row it made: expressions over the columns of `stored` (the new row; of a delete
    the old one) and the outputs of the source."""

    names: tuple[str, ...]
    items: tuple[Item, ...]
    stored: tuple[ScanColumn, ...]


@dataclass(frozen=True, slots=True)
class OnConflict:
    """What an insert does where a unique index has the key already. `index`: id of the index that is meant (the table's
    for its primary key), None any. No assignments: nothing. Their expressions and the condition may name `existing`,
    the row that is there, and `proposed`, the one that was to be inserted."""

    index: int | None
    assignments: tuple[Assignment, ...] = ()
    existing: tuple[ScanColumn, ...] = ()
    proposed: tuple[ScanColumn, ...] = ()
    condition: Expression | None = None


@dataclass(frozen=True, slots=True)
class Insert:
    """Rows of `source` into a table. Columns without an assignment get their default."""

    table: int
    source: Node
    assignments: tuple[Assignment, ...]
    on_conflict: OnConflict | None = None
    returning: Returning | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """`source` yields ROW_KEY of each row to change as `key`, and what the assignments name."""

    table: int
    source: Node
    key: Column
    assignments: tuple[Assignment, ...]
    returning: Returning | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    table: int
    source: Node
    key: Column
    returning: Returning | None = None


class MergeAction(StrEnum):
    UPDATE = "update"
    DELETE = "delete"
    INSERT = "insert"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class MergeClause:
    """WHEN: the first clause whose condition is true says what happens to a row of the source."""

    is_matched: bool
    condition: Expression | None
    action: MergeAction
    assignments: tuple[Assignment, ...] = ()


@dataclass(frozen=True, slots=True)
class Merge:
    """`source` is the source of MERGE joined to the target; `key` is NULL where there is no match."""

    table: int
    source: Node
    key: Column
    clauses: tuple[MergeClause, ...]


Change = Insert | Update | Delete | Merge
Statement = Query | Change

TRUE = Literal(BOOL, True)
FALSE = Literal(BOOL, False)
