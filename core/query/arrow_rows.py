"""Rows of Python values as an Arrow table, for results and scans that were made row by row."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from phantomdb.core.values import Type

if TYPE_CHECKING:
    import pyarrow as pa


def table_of(names: Sequence[str], types: Sequence[Type], rows: Sequence[Sequence[Any]]) -> pa.Table:
    """One column for each name."""
    import pyarrow as pa

    from phantomdb.core.query.vector_values import to_arrow
    columns = list(zip(*rows, strict=True)) if rows else [() for _ in names]
    return pa.Table.from_arrays([to_arrow(column, type_) for column, type_ in zip(columns, types, strict=True)],
                                list(names))
