"""Transactions: optimistic, validated at commit; core/transactions.py has what programs see."""
from collections.abc import Iterable, Iterator, Mapping
from typing import Self, TypeAlias

from typing_extensions import Buffer

from phantomdb.core._ext.engine import Engine

_Pairs: TypeAlias = Mapping[bytes, Buffer | None] | Iterable[tuple[Buffer, Buffer | None]]

class TransactionCore:
    """The engine's half of a transaction: its snapshot, what it read, what it will write."""

    def __new__(cls, engine: Engine, serializable: bool, as_of: int, limit_bytes: int) -> Self: ...
    @property
    def engine(self) -> Engine:
        """The engine it reads and commits to."""
    @property
    def is_open(self) -> bool:
        """Whether it has neither been committed nor rolled back."""
    @property
    def snapshot_timestamp(self) -> int:
        """What it reads: the database as of this commit timestamp."""
    @property
    def commit_timestamp(self) -> int | None:
        """The timestamp of its commit, or None."""
    @property
    def write_count(self) -> int:
        """Writes it would apply."""
    def check_open(self) -> None:
        """Raises when the transaction has ended."""
    def refresh(self) -> bool:
        """Moves the snapshot to now, if nothing has been read yet; whether it moved."""
    def commit(self) -> int:
        """Validates and applies the writes; the commit timestamp. RetryableConflict: rolled back, run it again."""
    def rollback(self) -> None:
        """Ends the transaction without effect; ending it twice is fine."""
    def mark(self) -> int:
        """A place in the writes to go back to."""
    def rollback_to(self, mark: int) -> None:
        """Forgets the writes made since `mark`; what was read stays read."""

class TransactionKeySpace:
    """A keyspace inside a transaction: reads see the snapshot and the transaction's own writes."""

    def __init__(self, core: TransactionCore, prefix: int) -> None: ...
    def get(self, key: Buffer) -> bytes | None:
        """The value of `key`, or None."""
    def get_validated(self, key: Buffer) -> bytes | None:
        """get() whose answer must still be the same at commit, whatever the isolation."""
    def __contains__(self, key: Buffer) -> bool: ...
    def multi_get(self, keys: Iterable[Buffer]) -> list[bytes | None]:
        """The values of `keys` in their order, None for a missing one."""
    def put(self, key: Buffer, value: Buffer) -> None:
        """Sets `key` to `value` when the transaction commits."""
    def delete(self, key: Buffer) -> None:
        """Removes `key` when the transaction commits."""
    def write(self, pairs: _Pairs) -> None:
        """put() for each pair, delete() where the value is None."""
    def delete_range(self, start: Buffer | None = None, stop: Buffer | None = None) -> None:
        """Removes all keys with start <= key < stop when the transaction commits; None is an open end."""
    def scan(self, start: Buffer | None = None, stop: Buffer | None = None, reverse: bool = False,
             limit: int | None = None) -> TransactionScan:
        """(key, value) with start <= key < stop in key order (or backwards), writes made before it included."""
    def cover(self, start: Buffer | None = None, stop: Buffer | None = None, always: bool = False) -> None:
        """Counts start <= key < stop as read, for one who knows its rows already: at isolation "serializable", or, with
        `always`, at any."""
    def __iter__(self) -> TransactionScan: ...

class TransactionScan(Iterator[tuple[bytes, bytes]]):
    """(key, value); remembers for validation how far it was read, no further."""

    def __next__(self) -> tuple[bytes, bytes]: ...
    def close(self) -> None:
        """Gives back what the scan holds."""

def set_closed_error(error_class: type[Exception]) -> None:
    """The exception class raised when a transaction is used after its end."""
