"""Rows of Python values as an Arrow table, for results and scans that were made row by row."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from phantomdb.core.values import Type

if TYPE_CHECKING:
    import pyarrow as pa


def table_of(names: Sequence[str], types: Sequence[Type], rows: Sequence[Sequence[Any]], *, is_shown: bool = False
             ) -> pa.Table:
    """One column for each name; `is_shown`: as users get it."""
    import pyarrow as pa

    from phantomdb.core.query.vector_values import shown, to_arrow
    columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [() for _ in names]
    arrays = [to_arrow(column, type_) for column, type_ in zip(columns, types, strict=True)]
    if is_shown:
        arrays = [shown(array, type_) for array, type_ in zip(arrays, types, strict=True)]
    return pa.Table.from_arrays(arrays, list(names))
