"""What the catalog is made of: immutable values with ids that are never given out twice.

    Database --< Schema --< Table --< Column, Index, Check, ForeignKey
                        --< View, Sequence

An expression in the catalog (default, check, generated column, index, predicate) is kept twice: `text`, as it was
written, to be shown, and `bound`, the plan's expression over column ids (core/query/plan.py), to be run. So
renaming a column changes no expression, and core needs no parser.
"""
from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from phantomdb.core.query.plan import Expression, Query
from phantomdb.core.values import Type

# Names that exist in every database.
DEFAULT_DATABASE = "main"
DEFAULT_SCHEMA = "public"


@dataclass(frozen=True, slots=True)
class StoredExpression:
    """Columns of the table appear as plan.Column with the stored column's id."""

    text: str
    bound: Expression


@dataclass(frozen=True, slots=True)
class Database:
    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Schema:
    id: int
    database: int
    name: str


@dataclass(frozen=True, slots=True)
class Column:
    id: int                                              # within the table; ROW_ID is the hidden key
    name: str
    type: Type
    is_nullable: bool = True
    default: StoredExpression | None = None
    generated: StoredExpression | None = None            # computed from the others whenever the row is written
    identity: str = ""                                   # "always", "by default" or nothing
    sequence: int | None = None                          # id of the sequence behind identity or serial
    missing: object = None                               # what rows written before ADD COLUMN have
    comment: str = ""


ROW_ID = 0                                               # column id of the hidden key; a user's columns begin at 1


class IndexState(StrEnum):
    WRITE_ONLY = "write_only"                            # kept up to date, not yet complete
    PUBLIC = "public"
    DROPPING = "dropping"


@dataclass(frozen=True, slots=True)
class IndexColumn:
    """A stored column, an expression, or a path into a JSON column or a flexible row."""

    column: int | None = None
    expression: StoredExpression | None = None
    path: tuple[str | int, ...] = ()
    is_descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    id: int
    name: str
    columns: tuple[IndexColumn, ...]
    is_unique: bool = False
    is_constraint: bool = False                          # made by UNIQUE: dropped as a constraint
    is_deferrable: bool = False
    is_deferred: bool = False                            # initially
    nulls_distinct: bool = True
    predicate: StoredExpression | None = None            # partial: only rows for which it is true
    is_multi_key: bool = False                           # an array has an entry for each of its elements
    ttl_s: float | None = None                           # a row is gone this long after the moment in the column
    state: IndexState = IndexState.PUBLIC
    included: tuple[int, ...] = ()                           # INCLUDE: columns an entry would carry; they are not read


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    condition: StoredExpression


class Action(StrEnum):
    NO_ACTION = "no action"
    RESTRICT = "restrict"
    CASCADE = "cascade"
    SET_NULL = "set null"
    SET_DEFAULT = "set default"


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """`columns` of this table, if none is NULL, must be the `target_columns` of a row of `target`; those are its
    primary key or have a unique index."""

    name: str
    columns: tuple[int, ...]
    target: int
    target_columns: tuple[int, ...]
    on_delete: Action = Action.NO_ACTION
    on_update: Action = Action.NO_ACTION
    is_deferrable: bool = False
    is_deferred: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """`primary_key`: column ids in key order; (ROW_ID,) where the user named none. Columns keep their order of
    creation; the record holds, in that order, those that are not in the primary key nor dropped. `record_columns` says
    what each field of a record is: ids of columns, 0 for one that was dropped and is skipped."""

    id: int
    schema: int
    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[int, ...]
    record_columns: tuple[int, ...]
    next_column_id: int
    primary_key_name: str = ""
    is_flexible: bool = False
    validator: str = ""                                  # JSON Schema text, flexible tables
    indexes: tuple[Index, ...] = ()
    checks: tuple[Check, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    comment: str = ""

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    def column_by_id(self, number: int) -> Column:
        return next(column for column in self.columns if column.id == number)

    def index(self, name: str) -> Index | None:
        return next((index for index in self.indexes if index.name == name), None)

    @property
    def has_hidden_key(self) -> bool:
        return self.primary_key == (ROW_ID,)

    @property
    def needs_upkeep(self) -> bool:
        """Whether there is something to do in the background: an index to build, or rows that expire."""
        return any(index.state is IndexState.WRITE_ONLY or index.ttl_s is not None for index in self.indexes)

    def with_index(self, index: Index) -> Table:
        """A copy in which `index` is new or replaces the one of its id."""
        others = tuple(other for other in self.indexes if other.id != index.id)
        return replace(self, indexes=(*others, index))


@dataclass(frozen=True, slots=True)
class View:
    id: int
    schema: int
    name: str
    column_names: tuple[str, ...]
    column_types: tuple[Type, ...]
    text: str
    query: Query
    depends_on: tuple[int, ...] = ()                     # ids of tables and views


@dataclass(frozen=True, slots=True)
class Sequence:
    id: int
    schema: int
    name: str
    start: int = 1
    increment: int = 1
    minimum: int = 1
    maximum: int = (1 << 63) - 1
    is_cyclic: bool = False
    cache: int = 1
    owner: tuple[int, int] | None = None                 # (table, column): dropped with it


CatalogObject = Database | Schema | Table | View | Sequence


@dataclass(frozen=True, slots=True)
class TableStatistics:
    """Made by ANALYZE; what is not known is None."""

    table: int
    row_count: int
    bytes: int
    columns: dict[int, ColumnStatistics] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    null_fraction: float
    distinct_count: float
    most_common: tuple[tuple[object, float], ...] = ()   # (value, fraction of all rows)
    histogram: tuple[object, ...] = ()                   # bounds of slices of equal size
    average_bytes: float = 8.0
