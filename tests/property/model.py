"""What a database should answer: an ordered map that keeps every version of itself.

    versions    0          1                2               3
    state       {}         {a: 1}           {a: 1, b: 2}    {b: 2}
    changed                [a, a+)          [b, b+)         [a, c)

Nothing here is clever, so that nothing here can be wrong in the way the engine may be: a version is a
whole copy of the map, a read is a loop over it, and a transaction is a copy of the version it began at.
Operations are tuples, so that a list of them can be drawn, printed and shrunk:

    (name, place, *arguments)      place: None, ("snapshot", slot) or ("transaction", slot)

`Model.step(operation, answer)` says whether a real database may have given that answer, and goes on from there.
A commit is where more than one answer may be right. It must be refused when something that was read now reads
differently; it may be refused, and mostly will be, when it was changed at all (written again with the same value,
or put and deleted again: whether compaction still shows that depends on when it ran).
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

State = dict[bytes, bytes]
Rows = list[tuple[bytes, bytes]]
Place = tuple[str, int] | None
Operation = tuple[Any, ...]
Write = tuple[bytes, bytes | None]

NOT_OPEN = "not open"                # the answer when a slot is empty: drawn lists need not be tidy
CONFLICT, TOO_OLD = "conflict", "snapshot_too_old"
DONE = "done"


class Range(NamedTuple):
    """start <= key < stop; None is open."""

    start: bytes
    stop: bytes | None

    def __contains__(self, key: object) -> bool:
        assert isinstance(key, bytes)
        return self.start <= key and (self.stop is None or key < self.stop)

    def meets(self, other: Range) -> bool:
        start = max(self.start, other.start)
        stops = [stop for stop in (self.stop, other.stop) if stop is not None]
        return not stops or start < min(stops)


def only(key: bytes) -> Range:
    return Range(key, key + b"\0")


def pairs_of_fill(first: int, count: int, tag: int, size: int) -> list[Write]:
    """Many rows from few numbers; every seventh is a delete."""
    return [(b"f%04d" % number, None if (number + tag) % 7 == 0 else b"%d.%d," % (tag, number) * size)
            for number in range(first, first + count)]


def scanned(state: State, start: bytes | None, stop: bytes | None, reverse: bool, limit: int | None) -> Rows:
    bounds = Range(start or b"", stop)
    rows = [(key, state[key]) for key in sorted(state) if key in bounds]
    if reverse:
        rows.reverse()
    return rows if limit is None else rows[:limit]


@dataclass
class Version:
    state: State
    changed: list[Range]


@dataclass
class TransactionModel:
    base: int                                    # the version it reads
    serializable: bool
    state: State                                 # that version and its own writes
    written: list[Range] = field(default_factory=list)
    read: list[Range] = field(default_factory=list)
    savepoints: list[tuple[State, int]] = field(default_factory=list)

    def put(self, key: bytes, value: bytes | None) -> None:
        self.written.append(only(key))
        if value is None:
            self.state.pop(key, None)
        else:
            self.state[key] = value

    def delete_range(self, bounds: Range) -> None:
        self.written.append(bounds)
        self.state = {key: value for key, value in self.state.items() if key not in bounds}

    def remember(self, key: bytes) -> None:
        if not any(key in bounds for bounds in self.written):      # else its own write answers, whatever others do
            self.read.append(only(key))


class Model:
    """The whole database: versions, open snapshots, open transactions."""

    def __init__(self, *, keeps_versions: bool) -> None:
        self.keeps_versions = keeps_versions                       # a retention window longer than the test
        self.versions = [Version({}, [])]
        self.snapshots: dict[int, int] = {}
        self.transactions: dict[int, TransactionModel] = {}

    @property
    def newest(self) -> State:
        return self.versions[-1].state

    def step(self, operation: Operation, answer: Any) -> None:
        name, place, *arguments = operation
        if place is not None and name not in ("snapshot", "begin"):
            slots: dict[int, Any] = self.snapshots if place[0] == "snapshot" else self.transactions
            if place[1] not in slots:
                require(operation, answer, NOT_OPEN)
                return
        getattr(self, name)(operation, answer, place, *arguments)

    def state(self, place: Place) -> State:
        if place is None:
            return self.newest
        if place[0] == "snapshot":
            return self.versions[self.snapshots[place[1]]].state
        return self.transactions[place[1]].state

    def commit_version(self, state: State, changed: list[Range]) -> None:
        self.versions.append(Version(state, changed))

    # ---------------------------------------------------------------- writes

    def write(self, operation: Operation, answer: Any, place: Place, pairs: list[Write]) -> None:
        require(operation, answer, DONE)
        if place is not None:
            for key, value in pairs:
                self.transactions[place[1]].put(key, value)
        elif pairs:
            alone = TransactionModel(0, False, dict(self.newest))
            for key, value in pairs:
                alone.put(key, value)
            self.commit_version(alone.state, alone.written)

    def fill(self, operation: Operation, answer: Any, place: Place, *numbers: int) -> None:
        self.write(operation, answer, place, pairs_of_fill(*numbers))

    def put(self, operation: Operation, answer: Any, place: Place, key: bytes, value: bytes) -> None:
        self.write(operation, answer, place, [(key, value)])

    def delete(self, operation: Operation, answer: Any, place: Place, key: bytes) -> None:
        self.write(operation, answer, place, [(key, None)])

    def delete_range(self, operation: Operation, answer: Any, place: Place, start: bytes | None,
                     stop: bytes | None) -> None:
        require(operation, answer, DONE)
        bounds = Range(start or b"", stop)
        if place is not None:
            self.transactions[place[1]].delete_range(bounds)
        else:
            alone = TransactionModel(0, False, dict(self.newest))
            alone.delete_range(bounds)
            self.commit_version(alone.state, [bounds])

    # ---------------------------------------------------------------- reads

    def get(self, operation: Operation, answer: Any, place: Place, key: bytes) -> None:
        if place is not None and place[0] == "transaction":
            self.transactions[place[1]].remember(key)
        require(operation, answer, self.state(place).get(key))

    def multi_get(self, operation: Operation, answer: Any, place: Place, keys: list[bytes]) -> None:
        if place is not None and place[0] == "transaction":
            for key in keys:
                self.transactions[place[1]].remember(key)
        require(operation, answer, [self.state(place).get(key) for key in keys])

    def scan(self, operation: Operation, answer: Any, place: Place, start: bytes | None, stop: bytes | None,
             reverse: bool, limit: int | None, take: int | None) -> None:
        """`take`: how many rows are asked for before the scan is dropped; None: until it ends."""
        found = scanned(self.state(place), start, stop, reverse, limit)
        rows = found if take is None else found[:take]
        require(operation, answer, rows)
        if place is None or place[0] == "snapshot":
            return
        # What it knows now: everything up to the last row it saw, or the whole range when it saw the end of it.
        whole = (take is None or take > len(found)) and (limit is None or len(found) < limit)
        first, last = start or b"", stop
        if not whole and not rows:
            return
        if not whole and reverse:
            first = rows[-1][0]
        elif not whole:
            last = rows[-1][0] + b"\0"
        self.transactions[place[1]].read.append(Range(first, last))

    def range_scan(self, operation: Operation, answer: Any, place: Place, start: bytes, count: int) -> None:
        require(operation, answer, scanned(self.state(place), start, None, False, count))

    # ---------------------------------------------------------------- snapshots and transactions

    def snapshot(self, operation: Operation, answer: Any, place: Place, back: int | None) -> None:
        """`back`: as of that many versions ago; None: now."""
        assert place is not None
        number = len(self.versions) - 1 - (back or 0) % len(self.versions)
        allowed = [DONE]
        if not self.keeps_versions and number != len(self.versions) - 1:
            allowed.append(TOO_OLD)
        require(operation, answer, *allowed)
        self.snapshots.pop(place[1], None)
        if answer == DONE:
            self.snapshots[place[1]] = number

    def close_snapshot(self, operation: Operation, answer: Any, place: Place) -> None:
        assert place is not None
        require(operation, answer, DONE)
        del self.snapshots[place[1]]

    def begin(self, operation: Operation, answer: Any, place: Place, isolation: str) -> None:
        assert place is not None
        require(operation, answer, DONE)
        self.transactions[place[1]] = TransactionModel(len(self.versions) - 1, isolation == "serializable",
                                                       dict(self.newest))

    def commit(self, operation: Operation, answer: Any, place: Place) -> None:
        assert place is not None
        transaction = self.transactions.pop(place[1])
        since = self.versions[transaction.base + 1:]
        before, now = self.versions[transaction.base].state, self.newest
        checked = transaction.read if transaction.serializable else transaction.written
        must, may = False, False
        if transaction.written:
            for bounds in checked:
                touched = any(bounds.meets(changed) for version in since for changed in version.changed)
                may = may or touched
                must = must or (touched and any(before.get(key) != now.get(key) for key in {*before, *now}
                                                if key in bounds))
        require(operation, answer, *([CONFLICT] if must else [DONE, CONFLICT] if may else [DONE]))
        if answer == DONE and transaction.written:
            state = dict(now)
            for bounds in transaction.written:
                state = {key: value for key, value in state.items() if key not in bounds}
                state.update({key: value for key, value in transaction.state.items() if key in bounds})
            self.commit_version(state, transaction.written)

    def rollback(self, operation: Operation, answer: Any, place: Place) -> None:
        assert place is not None
        require(operation, answer, DONE)
        del self.transactions[place[1]]

    def savepoint(self, operation: Operation, answer: Any, place: Place) -> None:
        assert place is not None
        require(operation, answer, DONE)
        transaction = self.transactions[place[1]]
        transaction.savepoints.append((dict(transaction.state), len(transaction.written)))

    def release(self, operation: Operation, answer: Any, place: Place) -> None:
        assert place is not None
        savepoints = self.transactions[place[1]].savepoints
        require(operation, answer, DONE if savepoints else NOT_OPEN)
        if savepoints:
            savepoints.pop()

    def undo(self, operation: Operation, answer: Any, place: Place) -> None:
        assert place is not None
        transaction = self.transactions[place[1]]
        require(operation, answer, DONE if transaction.savepoints else NOT_OPEN)
        if transaction.savepoints:
            transaction.state, count = transaction.savepoints.pop()
            del transaction.written[count:]

    # ---------------------------------------------------------------- upkeep

    def flush(self, operation: Operation, answer: Any, place: Place) -> None:
        require(operation, answer, DONE)

    compact = flush

    def reopen(self, operation: Operation, answer: Any, place: Place, how: str) -> None:
        require(operation, answer, DONE)
        self.snapshots.clear()
        self.transactions.clear()


def require(operation: Operation, answer: Any, *allowed: Any) -> None:
    if answer not in allowed:
        expected = " or ".join(f"{one!r:.2000}" for one in allowed)
        raise AssertionError(f"{operation!r:.300} answered {answer!r:.2000}, not {expected}")
