"""What a change of the catalog asks to be done to rows. The change itself touches none; core/tables does.

The work belongs to the same transaction as the change, except for BuildIndex of an index that is WRITE_ONLY: it may be
done later and in parts, and ends with set_index_state(..., PUBLIC).
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.objects import StoredExpression, Table


@dataclass(frozen=True, slots=True)
class DropRange:
    """Nothing is left under the id of a table or index."""

    id: int


@dataclass(frozen=True, slots=True)
class BuildIndex:
    """Entries for the rows that were there before the index. UniqueViolation."""

    table: int
    index: int


@dataclass(frozen=True, slots=True)
class FillColumn:
    """Each row gets its own value of a new column: generated, from its sequence, or from its default."""

    table: int
    column: int


@dataclass(frozen=True, slots=True)
class RewriteRows:
    """Rows of `before` become rows of `after`, which has another primary key; index entries, which hold it, as well.
    NotNullViolation, UniqueViolation."""

    before: Table
    after: Table


@dataclass(frozen=True, slots=True)
class ConvertColumn:
    """Rows of `before` become rows of `after`, in which the column has another type; `conversion`, over the columns of
    `before`, gives its values. All errors of evaluation and of writing rows."""

    before: Table
    after: Table
    column: int
    conversion: StoredExpression


@dataclass(frozen=True, slots=True)
class ValidateNotNull:
    """No row may have NULL in the column. NotNullViolation."""

    table: int
    column: int


@dataclass(frozen=True, slots=True)
class ValidateCheck:
    """The check may be false for no row. CheckViolation."""

    table: int
    name: str


@dataclass(frozen=True, slots=True)
class ValidateForeignKey:
    """ForeignKeyViolation."""

    table: int
    name: str


@dataclass(frozen=True, slots=True)
class RebindView:
    """A view over one that was replaced: its text is compiled anew and given to create_view(or_replace=True)."""

    view: int


RowWork = (DropRange | BuildIndex | FillColumn | RewriteRows | ValidateNotNull | ValidateCheck | ValidateForeignKey
           | ConvertColumn | RebindView)


class Change(NamedTuple):
    """The catalog after a definition, the work on rows in the order to do it, and the id of what was made."""

    catalog: Catalog
    work: tuple[RowWork, ...] = ()
    created: int = 0
