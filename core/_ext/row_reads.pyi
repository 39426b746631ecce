"""Operators that read tables: a row by its key, a row by a unique index, the rows of a range."""
from collections.abc import Iterable
from typing import Any

from phantomdb.core._ext.key_tuple import KeyCodec
from phantomdb.core._ext.row_expressions import RowExpression
from phantomdb.core._ext.row_operators import Operator
from phantomdb.core._ext.row_reader import RowReader
from phantomdb.core._ext.transaction import TransactionCore

class PointRead(Operator):
    """The row of a table whose key has the values of `key`, at `base` of the frame, if all `tests` are true."""

    def __init__(self, reader: RowReader, key: Iterable[RowExpression], tests: Iterable[RowExpression],
                 base: int) -> None: ...

class UniqueRead(Operator):
    """PointRead by the key of a unique index, all of whose entries have the unique form where no value is NULL.
    `prefix` and `index`: of its keys."""

    def __init__(self, reader: RowReader, prefix: bytes, index: KeyCodec, key: Iterable[RowExpression],
                 tests: Iterable[RowExpression], base: int) -> None: ...

class RangeRead(Operator):
    """The rows of a table between two keys of its own or of an index, in key order or backwards, if all `tests` are
    true.

    `index`: None, or what decodes the keys of the index. `equal`: what the first values of the keys are. `bounds`: None
    when that is all; else (is `low` inclusive, is `high` inclusive) for the next value, which is not NULL."""

    def __init__(self, reader: RowReader, prefix: bytes, codec: KeyCodec, index: KeyCodec | None,
                 equal: Iterable[RowExpression], low: RowExpression | None, high: RowExpression | None,
                 bounds: tuple[bool, bool] | None, tests: Iterable[RowExpression], base: int,
                 is_reverse: bool) -> None: ...

def sample_rows(reader: RowReader, core: TransactionCore | None, start: bytes, stop: bytes, most: int, kept: int
                ) -> tuple[int, int, bytes, list[tuple[Any, ...]]]:
    """Looks at the rows with start <= key < stop, `most` at most, as the transaction sees them, or with None as of now:
    (how many they are, their bytes, the last key, `kept` of them by chance: a reservoir, the same for the same rows).
    """
