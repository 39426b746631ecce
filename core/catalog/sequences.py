"""Numbers that are given out once: values of sequences, hidden row ids, ids of the catalog's objects.

    counter row, under prefix c:   "n" | id u32   ->   [last value reserved, whether it was given out]

A block of values is reserved in a small transaction of its own, and then given out from memory. So no rollback takes a
value back and no writer waits for another; after a crash, what was left of a block is skipped. The counter's commit
stands in the log before any commit that uses a value of it, so both are lost in a power cut, or neither.
"""
from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

from phantomdb.core.catalog.catalog import FIRST_ID
from phantomdb.core.catalog.keys import CATALOG_PREFIX, counter_key
from phantomdb.core.catalog.objects import Sequence
from phantomdb.core.errors import CorruptionError
from phantomdb.core.query.errors import NumericValueOutOfRange, SequenceLimit, UndefinedTable
from phantomdb.core.transactions import Transaction, run

if TYPE_CHECKING:
    from phantomdb.core.store import LocalStore

BLOCK = 32                           # values reserved at a time, at least
ROW_ID_BLOCK = 4096
RESERVE_TIMEOUT_S = 30.0

# The ids of objects are counted like values of a sequence that has the id no object has. They have 32 bits in keys.
_OBJECT_IDS = Sequence(0, 0, "object ids", start=FIRST_ID, minimum=FIRST_ID, maximum=(1 << 32) - 1)

T = TypeVar("T")
_State = tuple[int, bool]              # a counter row


class _Counter:
    """The values reserved and not given out: `left` of them, from `next` on. Guarded by `lock`."""

    __slots__ = ("last", "left", "lock", "next", "sequence")

    def __init__(self, sequence: Sequence) -> None:
        self.lock = threading.Lock()
        self.sequence = sequence
        self.next = self.left = 0
        self.last: int | None = None                             # given out


class SequenceStore:
    """All counters of a database. All threads may share it."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._counters: dict[int, _Counter] = {}
        self._mutex = threading.Lock()                           # guards the making of counters

    def next(self, sequence: Sequence) -> int:
        """The next value (nextval). SequenceLimit; UndefinedTable: it was dropped."""
        return self._take(sequence, 1, BLOCK).start

    def next_row_ids(self, table: int, count: int = 1) -> range:
        """`count` ids, one behind the other, for rows of a table without a primary key."""
        counter = self._counters.get(table)
        if counter is None:
            counter = self._counter(Sequence(table, 0, "row ids"))
        return self._take(counter.sequence, count, ROW_ID_BLOCK)

    def new_id(self) -> int:
        """An id for an object of the catalog or an index; never given out before, also not by a transaction that
        was rolled back. SequenceLimit: all 4 billion are gone."""
        return self._take(_OBJECT_IDS, 1, BLOCK).start

    def current(self, sequence: Sequence) -> tuple[int, bool]:
        """(last value, whether it was given out), as PostgreSQL shows a sequence; after a crash, the last one
        reserved."""
        counter = self._counter(sequence)
        with counter.lock:
            if counter.last is not None:
                return counter.last, True
            transaction = Transaction(self._store, CATALOG_PREFIX)
            try:
                return _read(transaction, sequence) or (sequence.start, False)
            finally:
                transaction.rollback()

    def set(self, sequence: Sequence, value: int, is_called: bool = True) -> None:
        """The next value is the one after `value`, or with is_called=False `value` itself (setval). Not undone by
        rollback. NumericValueOutOfRange."""
        if not sequence.minimum <= value <= sequence.maximum:
            raise NumericValueOutOfRange(f'setval: value {value} is out of bounds for sequence "{sequence.name}" '
                                         f"({sequence.minimum}..{sequence.maximum})")
        counter = self._counter(sequence)
        with counter.lock:
            self._run(lambda transaction: _write(transaction, sequence, (value, is_called)))
            counter.sequence, counter.left, counter.last = sequence, 0, None

    def give_back(self) -> None:
        """Before the database is closed: what is left of each block is not skipped at the next opening."""
        for counter in list(self._counters.values()):
            with counter.lock:
                if counter.left:
                    self._run(partial(_return, counter))
                    counter.left = 0

    # ---------------------------------------------------------------- blocks

    def _counter(self, sequence: Sequence) -> _Counter:
        with self._mutex:
            return self._counters.setdefault(sequence.id, _Counter(sequence))

    def _take(self, sequence: Sequence, count: int, block: int) -> range:
        """`count` values that follow each other; more than one only where the increment is 1."""
        counter = self._counters.get(sequence.id) or self._counter(sequence)
        with counter.lock:
            if counter.sequence is not sequence and counter.sequence != sequence:
                counter.sequence, counter.left = sequence, 0     # it was altered: what is reserved may be no value now
            if counter.left < count:
                self._reserve(counter, max(count - counter.left, sequence.cache, block), count)
            first = counter.next
            counter.next += count * sequence.increment
            counter.left -= count
            counter.last = counter.next - sequence.increment
            return range(first, first + count)

    def _reserve(self, counter: _Counter, wanted: int, count: int) -> None:
        """Adds a block to the counter, whose lock is held."""
        sequence = counter.sequence
        first, size = self._run(lambda transaction: _advance(transaction, sequence, wanted, counter.last is not None))
        if counter.left and counter.next + counter.left * sequence.increment == first:
            first, size = counter.next, counter.left + size      # goes on where the last one ends
        if size < count:
            first, size = self._run(lambda transaction: _advance(transaction, sequence, count, True))
        counter.next, counter.left = first, size

    def _run(self, function: Callable[[Transaction], T]) -> T:
        return run(lambda age: Transaction(self._store, CATALOG_PREFIX, "serializable", age), function,
                   timeout_s=RESERVE_TIMEOUT_S)


# -------------------------------------------------------------------- the counter row

def _read(transaction: Transaction, sequence: Sequence) -> _State | None:
    data = transaction.kv.get(counter_key(sequence.id))
    if data is None:
        return None
    try:
        last, is_called = msgspec.msgpack.decode(data, type=tuple[int, bool])
    except ValueError as error:
        raise CorruptionError(f"the counter of sequence {sequence.id} cannot be read: {error}") from error
    return last, is_called


def _write(transaction: Transaction, sequence: Sequence, state: _State) -> None:
    transaction.kv.put(counter_key(sequence.id), msgspec.msgpack.encode(state))


def _advance(transaction: Transaction, sequence: Sequence, wanted: int, must_exist: bool) -> tuple[int, int]:
    """Reserves up to `wanted` values; (the first, how many)."""
    state = _read(transaction, sequence)
    if state is None and must_exist:
        raise UndefinedTable(f'sequence "{sequence.name}" does not exist')
    last, is_called = state or (sequence.start, False)
    step, low, high = sequence.increment, sequence.minimum, sequence.maximum
    first = last + step if is_called else last
    if not low <= first <= high:
        if not sequence.is_cyclic:
            raise SequenceLimit(f'nextval: reached {"maximum" if step > 0 else "minimum"} value of sequence '
                                f'"{sequence.name}" ({high if step > 0 else low})')
        first = low if step > 0 else high
    size = min(wanted, ((high if step > 0 else low) - first) // step + 1)
    _write(transaction, sequence, (first + (size - 1) * step, True))
    return first, size


def _return(counter: _Counter, transaction: Transaction) -> None:
    sequence = counter.sequence
    end = counter.next + (counter.left - 1) * sequence.increment
    if _read(transaction, sequence) == (end, True):              # else somebody has gone on, or dropped or set it
        _write(transaction, sequence, (counter.next - sequence.increment, True))
