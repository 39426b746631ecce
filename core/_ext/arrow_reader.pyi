"""Rows of a scan as Arrow record batches, through the Arrow PyCapsule interface."""
from collections.abc import Iterator, Sequence
from typing import Final, Self

from phantomdb.core._ext.key_tuple import KeyCodec
from phantomdb.core._ext.record import RecordCodec
from phantomdb.core._ext.scan import Scan
from phantomdb.core._ext.transaction import TransactionScan

FROM_KEY: Final[int]
FROM_RECORD: Final[int]
FROM_ROW_KEY: Final[int]

class ArrowColumn:
    """An output column. `source`: FROM_KEY or FROM_RECORD, at `position` of its codec, or FROM_ROW_KEY, the key behind
    its prefix as binary. `kind`: core/values.py Kind, with `bits` of int (16, 32, 64) and float (32, 64), `precision`
    (1 to 38) and `scale` of decimal, `element` of array. `default`: the value of rows that were written without the
    column. InvalidArgument: there is no such column."""

    def __new__(cls, name: str, source: int, position: int, kind: int, bits: int = 64, precision: int = 38,
                scale: int = 0, element: ArrowColumn | None = None, default: object = None) -> Self: ...
    @property
    def name(self) -> str:
        """Name of the column."""
    @property
    def needed_scale(self) -> int:
        """After InvalidArgument: the scale a decimal of this column, or in its arrays, asked for, or 0."""

class ArrowBatch:
    """Rows as a struct array: pyarrow.record_batch(batch) and its like take it, without a copy."""

    def __len__(self) -> int: ...
    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]: ...
    def __arrow_c_schema__(self) -> object: ...

class ArrowReader(Iterator[ArrowBatch]):
    """Batches of at most `batch_rows` rows, or fewer when their texts take 64 MiB. Keys begin with `prefix_length`
    bytes that are skipped. In a transaction the whole range of the scan counts as read. The scan belongs to the reader
    from now on. CorruptionError: a row is damaged; InvalidArgument: a value does not fit its column; a reader that
    raised is at its end."""

    def __new__(cls, scan: Scan | TransactionScan, prefix_length: int, key: KeyCodec | None,
                record: RecordCodec | None, columns: Sequence[ArrowColumn], batch_rows: int = 65536) -> Self: ...
    def __next__(self) -> ArrowBatch: ...
    def __arrow_c_schema__(self) -> object: ...
    def close(self) -> None:
        """Gives back what the scan holds."""

def live_batch_count() -> int:
    """Batches in memory, whoever holds them. For tests."""
