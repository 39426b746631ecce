"""Rows read one at a time: from values of a key to a tuple of values in one call."""
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from phantomdb.core._ext.engine import Engine
from phantomdb.core._ext.key_tuple import KeyCodec
from phantomdb.core._ext.record import RecordCodec
from phantomdb.core._ext.transaction import TransactionCore

FROM_KEY: Final[int]
FROM_RECORD: Final[int]
FROM_ROW_KEY: Final[int]
STALE: Final[Any]

class RowReader:
    """Reads some values of the rows of one table. `prefix`: of its keys. `outputs`: (source, position, default,
    restore) of each value: FROM_KEY or FROM_RECORD, at `position` of its codec, or FROM_ROW_KEY, the encoded primary
    key; `default` where the record was written without it; `restore`, or None, makes the value out of what the key
    holds.

    `core`: an open transaction, which counts what it reads as read. None: as of the newest commit; then `version` may
    be the catalog's version row the caller knows, and STALE is the answer when it is another. Rows that have expired
    are not left out. Errors of values as KeyCodec.encode; CorruptionError."""

    def __new__(cls, engine: Engine, prefix: bytes, keys: KeyCodec, records: RecordCodec,
                outputs: Sequence[tuple[int, int, object, Callable[[Any], Any] | None]]) -> Self: ...
    def get(self, core: TransactionCore | None, values: Sequence[object], version: bytes | None = None) -> Any:
        """A list of the row whose key has `values`, a list or tuple, or of none; STALE."""
    def pair(self, other: RowReader, links: tuple[int, ...], picks: tuple[int, ...], core: TransactionCore | None,
             values: Sequence[object], version: bytes | None = None) -> Any:
        """A list of one row or none: values of the row as in get() and of the row of `other` whose key the first row
        has at `links`. `picks` says which of both, one behind the other. STALE."""
    def range(self, core: TransactionCore | None, start: bytes, stop: bytes, limit: int | None = None,
              reverse: bool = False, version: bytes | None = None) -> Any:
        """The rows with start <= key < stop in key order, or backwards; at most `limit`. STALE."""
    def through(self, core: TransactionCore | None, index: KeyCodec, start: bytes, stop: bytes,
                limit: int | None = None, reverse: bool = False, version: bytes | None = None) -> Any:
        """The rows to which the entries with start <= key < stop of an index with these columns lead, in the order of
        the entries; at most `limit`. STALE. CorruptionError: a row is not there."""
