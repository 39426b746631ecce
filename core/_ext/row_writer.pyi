"""Rows written one at a time: a tuple of values becomes key, record and index entries in a transaction's write set."""
from collections.abc import Iterable, Sequence
from typing import Any, Self

from phantomdb.core._ext.engine import Engine
from phantomdb.core._ext.key_tuple import KeyCodec
from phantomdb.core._ext.record import RecordCodec
from phantomdb.core._ext.transaction import TransactionCore

def begin(engine: Engine, serializable: bool, limit_bytes: int, version: bytes, fence: bytes) -> TransactionCore | None:
    """A new transaction, which does not commit when the row at the internal key `fence`, the definition of a table, has
    changed meanwhile; None: the catalog is not that of `version`."""

class RowWriter:
    """Writes rows of one definition of a table. `columns`: (class, limit, is_nullable) of what each takes as it is:
    values of just this class, None for no value; of an int up to `limit`, of a str so many characters, None for no
    limit. `key_positions`: in the row, None for a hidden key; `record_positions`: -1 for a dropped column. `indexes`:
    (prefix, columns, positions, is_unique, nulls_distinct).

    A call that raises may have left part of its writes: go back to a mark. Errors as KeyCodec.encode and
    RecordCodec.encode; LimitExceeded; TransactionClosed."""

    def __new__(cls, columns: Iterable[tuple[type | None, int | None, bool]], prefix: bytes, keys: KeyCodec,
                key_positions: Sequence[int] | None, records: RecordCodec, record_positions: Sequence[int],
                indexes: Iterable[tuple[bytes, KeyCodec, Sequence[int], bool, bool]]) -> Self: ...
    def takes(self, row: Sequence[object]) -> bool:
        """Whether each value of the row can be stored as it is: of its column's very class, within its bounds, and not
        None where that is not allowed."""
    def insert(self, core: TransactionCore, row: tuple[Any, ...], row_id: int | None = None) -> bool:
        """Adds a row; `row_id` is its hidden key. False: a unique key is taken, and nothing was written."""
    def insert_many(self, core: TransactionCore, rows: Iterable[Any], first_id: int | None = None) -> int:
        """Adds rows, lists or tuples, that the columns take as they are (takes()); how many: fewer than all when one is
        refused, which is not written. Hidden keys count up from `first_id`."""
    def update(self, core: TransactionCore, row_key: bytes, old: tuple[Any, ...], new: tuple[Any, ...]) -> bool:
        """Replaces the row `old` at `row_key` by `new`, where a value that stays is the same object. False: the primary
        key or the columns of a unique index change, and nothing was written."""
    def delete(self, core: TransactionCore, row_key: bytes, old: tuple[Any, ...]) -> None:
        """Removes the row `old` at `row_key`."""
