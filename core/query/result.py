"""What a statement gives back: rows in the forms Python users want, or the number of rows it changed."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from phantomdb.core.values import Type

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow as pa

Row = tuple[Any, ...]


class ArrowSource(Protocol):
    """Rows that are Arrow already (core/query/vector.py)."""

    def fetchall(self) -> list[Row]: ...
    def arrow(self) -> pa.Table: ...


class RowStream(Protocol):
    """Rows that are given once: a Result, or a VectorResult while its transaction is open."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def types(self) -> tuple[Type, ...]: ...
    def fetchmany(self, size: int = 1) -> list[Row]: ...
    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...


class Result(Struct, eq=False):      # a Struct, because one is made for each statement, however short
    """Iterate over it for tuples. `row_count`: rows that were changed or given back; -1 where it makes no sense."""

    names: tuple[str, ...] = ()
    types: tuple[Type, ...] = ()
    _rows: list[Row] | None = None
    _source: ArrowSource | None = None
    tag: str = ""
    row_count: int = -1
    _at: int = 0                     # rows fetched

    @property
    def has_rows(self) -> bool:
        """Whether the statement was one that gives rows, even if there are none."""
        return bool(self.names) or self._source is not None

    def _all(self) -> list[Row]:
        if self._rows is None:
            self._rows = self._source.fetchall() if self._source is not None else []
            self.row_count = len(self._rows) if self.row_count < 0 else self.row_count
        return self._rows

    def fetchall(self) -> list[Row]:
        """The rows not yet fetched."""
        rows = self._rows
        if rows is None:
            rows = self._all()
        at, self._at = self._at, len(rows)
        return rows[at:]

    def fetchmany(self, size: int = 1) -> list[Row]:
        rows = self._all()[self._at:self._at + size]
        self._at += len(rows)
        return rows

    def fetchone(self) -> Row | None:
        """The next row, or None."""
        rows = self._all()
        if self._at >= len(rows):
            return None
        self._at += 1
        return rows[self._at - 1]

    def scalar(self) -> Any:
        """The first value of the first row, or None."""
        rows = self._all()
        return rows[0][0] if rows else None

    def dicts(self) -> list[dict[str, Any]]:
        """All rows as dictionaries by column name; of two columns with one name the last counts."""
        return [dict(zip(self.names, row, strict=True)) for row in self._all()]

    def __iter__(self) -> Iterator[Row]:
        while (row := self.fetchone()) is not None:
            yield row

    def __len__(self) -> int:
        return len(self._all())

    # ---------------------------------------------------------------- Arrow and what stands on it

    def arrow(self) -> pa.Table:
        """All rows as an Arrow table."""
        if self._source is not None:
            return self._source.arrow()
        from phantomdb.core.query.arrow_rows import table_of
        return table_of(self.names, self.types, self._all(), is_shown=True)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.arrow().__arrow_c_stream__(requested_schema)

    def pandas(self) -> pandas.DataFrame:
        """All rows as a pandas data frame."""
        return self.arrow().to_pandas()

    def polars(self) -> polars.DataFrame:
        """All rows as a polars data frame."""
        import polars
        frame = polars.from_arrow(self.arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame

    def __repr__(self) -> str:
        return f"<phantomdb.Result {self.tag or ', '.join(self.names)}>"


def result_of(names: Sequence[str], types: Sequence[Type], rows: list[Row], tag: str = "") -> Result:
    """Of rows that are all there."""
    return Result(tuple(names), tuple(types), rows, None, tag, len(rows))
