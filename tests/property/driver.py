"""Does the operations of model.py on a real database, and gives its answers."""
from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import strategies as st
from model import CONFLICT, DONE, NOT_OPEN, TOO_OLD, Model, Operation, Place, Write, pairs_of_fill

import phantomdb
from phantomdb.core.errors import RetryableConflict, SnapshotTooOld


class Undone(Exception):
    """Raised inside a savepoint to undo it."""


class Driver:
    """A database and the handles a list of operations opens on it."""

    def __init__(self, path: str, **options: Any) -> None:
        self.path, self.options = path, options
        self.db = phantomdb.open(path, **options)
        self.timestamps: list[int] = []                     # of version 1, 2, ...
        self.newest = self.db.timestamp
        self.snapshots: dict[int, Any] = {}
        self.transactions: dict[int, phantomdb.Transaction] = {}
        self.savepoints: dict[int, list[Any]] = {}

    def answer(self, operation: Operation) -> Any:
        name, place, *arguments = operation
        if place is not None and name not in ("snapshot", "begin") and place[1] not in (
                self.snapshots if place[0] == "snapshot" else self.transactions):
            return NOT_OPEN
        result = getattr(self, name)(place, *arguments)
        if self.db.timestamp != self.newest:
            self.newest = self.db.timestamp
            self.timestamps.append(self.newest)
        return DONE if result is None and name not in ("get",) else result

    def keyspace(self, place: Place) -> Any:
        if place is None:
            return self.db.kv
        return self.snapshots[place[1]] if place[0] == "snapshot" else self.transactions[place[1]].kv

    def write(self, place: Place, pairs: list[Write]) -> None:
        self.keyspace(place).write(pairs)

    def fill(self, place: Place, *numbers: int) -> None:
        self.keyspace(place).write(pairs_of_fill(*numbers))

    def put(self, place: Place, key: bytes, value: bytes) -> None:
        self.keyspace(place).put(key, value)

    def delete(self, place: Place, key: bytes) -> None:
        self.keyspace(place).delete(key)

    def delete_range(self, place: Place, start: bytes | None, stop: bytes | None) -> None:
        self.keyspace(place).delete_range(start, stop)

    def get(self, place: Place, key: bytes) -> Any:
        found = self.keyspace(place).get(key)
        if place is None:
            assert (key in self.db.kv) == (found is not None)
        return found

    def multi_get(self, place: Place, keys: list[bytes]) -> Any:
        return self.keyspace(place).multi_get(keys)

    def scan(self, place: Place, start: bytes | None, stop: bytes | None, reverse: bool, limit: int | None,
             take: int | None) -> Any:
        rows = self.keyspace(place).scan(start, stop, reverse=reverse, limit=limit)
        if take is None:
            return list(rows)
        # Not zip or islice: asking for a row too many would tell the transaction that it saw the end.
        taken = []
        with contextlib.suppress(StopIteration):
            for _ in range(take):
                taken.append(next(rows))
        return taken

    def range_scan(self, place: Place, start: bytes, count: int) -> Any:
        return self.keyspace(place).range_scan(start, count)

    def snapshot(self, place: Place, back: int | None) -> Any:
        assert place is not None
        old = self.snapshots.pop(place[1], None)
        if old is not None:
            old.close()
        as_of = None
        if back is not None and self.timestamps:
            number = len(self.timestamps) - back % (len(self.timestamps) + 1)
            as_of = self.timestamps[number - 1] if number else self.timestamps[0] - 1
        try:
            self.snapshots[place[1]] = self.db.kv.snapshot(as_of)
        except SnapshotTooOld:
            return TOO_OLD
        return None

    def close_snapshot(self, place: Place) -> None:
        assert place is not None
        self.snapshots.pop(place[1]).close()

    def begin(self, place: Place, isolation: Any) -> None:
        assert place is not None
        old = self.transactions.pop(place[1], None)
        if old is not None:
            old.rollback()
        self.transactions[place[1]] = self.db.transaction(isolation=isolation)
        self.savepoints[place[1]] = []

    def commit(self, place: Place) -> Any:
        assert place is not None
        transaction = self.transactions.pop(place[1])
        try:
            commit_ts = transaction.commit()
        except RetryableConflict:
            assert transaction.commit_timestamp is None
            return CONFLICT
        assert transaction.commit_timestamp == commit_ts
        return None

    def rollback(self, place: Place) -> None:
        assert place is not None
        self.transactions.pop(place[1]).rollback()

    def savepoint(self, place: Place) -> None:
        assert place is not None
        block = self.transactions[place[1]].savepoint()
        block.__enter__()
        self.savepoints[place[1]].append(block)

    def release(self, place: Place) -> Any:
        assert place is not None
        if not self.savepoints[place[1]]:
            return NOT_OPEN
        self.savepoints[place[1]].pop().__exit__(None, None, None)
        return None

    def undo(self, place: Place) -> Any:
        assert place is not None
        if not self.savepoints[place[1]]:
            return NOT_OPEN
        error = Undone()
        assert not self.savepoints[place[1]].pop().__exit__(Undone, error, None)
        return None

    def flush(self, place: Place) -> None:
        self.db.flush()

    def compact(self, place: Place) -> None:
        self.db.compact()

    def reopen(self, place: Place, how: str) -> None:
        """`close`: properly, with snapshots and transactions still open. `abandon`: as when the process ends."""
        if how == "close":
            self.db.close()
        else:
            self.db.store.abandon()
        self.snapshots.clear()
        self.transactions.clear()
        self.savepoints.clear()
        self.db = phantomdb.open(self.path, **self.options)

    def finish(self) -> None:
        self.db.close()


def run(operations: list[Operation], path: str, **options: Any) -> list[tuple[Operation, Any]]:
    """All operations and what a database with these options answered, each checked against the model as it comes."""
    model = Model(keeps_versions=options.get("retention_s", 60) > 0)
    driver = Driver(path, **options)
    answers = []
    try:
        for number, operation in enumerate([*operations, ("reopen", None, "close")]):
            looks: list[Operation] = []
            if operation[0] not in READS and (operation[1] is None or operation[0] in ("commit", "snapshot")):
                looks = [(name, place, *rest) for name, *rest in LOOKS
                         for place in (None, ("snapshot", 0), ("snapshot", 1))]
            for one in (operation, *looks):
                answer = driver.answer(one)
                try:
                    model.step(one, answer)
                except AssertionError as error:
                    raise AssertionError(f"operation {number}, {operation!r:.300}: {error}") from None
                if one is operation:
                    answers.append((operation, answer))
    finally:
        driver.finish()
    return answers


# ---------------------------------------------------------------- what is drawn

# Few short keys, so that operations meet; some that share long prefixes, span several blocks or are at the edges.
SHORT = [b"", b"\0", b"a", b"a\0", b"aa", b"ab", b"b", b"ba", b"c", b"f0003", b"f0050", b"\xff", b"\xff\xff"]
LONG = [b"a" * 300, b"a" * 301, b"a" * 299 + b"b", b"b" * 1500, b"f0010" + b"x" * 700]
KEYS = st.one_of(st.sampled_from(SHORT), st.sampled_from(LONG), st.binary(max_size=2))
# Read in the database and in each open snapshot after each change.
LOOKS: list[tuple[Any, ...]] = [("scan", None, None, False, None, None), ("scan", None, None, True, None, None),
                                ("multi_get", SHORT + LONG), *(("get", key) for key in SHORT + LONG)]
READS = {"get", "multi_get", "scan", "range_scan"}
BOUNDS = st.one_of(st.none(), KEYS)
VALUES = st.builds(lambda tag, size: b"%d." % tag * size,
                   st.integers(0, 99), st.sampled_from([0, 1, 1, 1, 5, 20, 22, 33, 100, 400]))
SLOTS = st.integers(0, 1)
SNAPSHOT = st.tuples(st.just("snapshot"), SLOTS)
TRANSACTION = st.tuples(st.just("transaction"), SLOTS)
ANYWHERE = st.one_of(st.none(), SNAPSHOT, TRANSACTION)
WRITABLE = st.one_of(st.none(), TRANSACTION)
FEW = st.integers(0, 5)
WRITES = st.lists(st.tuples(KEYS, st.one_of(st.none(), VALUES)), max_size=8)


def _operation(name: str, *parts: Any) -> Any:
    return st.tuples(st.just(name), *parts)


OPERATION = st.one_of(
    _operation("put", WRITABLE, KEYS, VALUES),
    _operation("put", WRITABLE, KEYS, VALUES),
    _operation("delete", WRITABLE, KEYS),
    _operation("write", WRITABLE, WRITES),
    _operation("fill", WRITABLE, st.integers(0, 90), st.integers(1, 80), FEW, st.integers(1, 12)),
    _operation("delete_range", WRITABLE, BOUNDS, BOUNDS),
    _operation("get", ANYWHERE, KEYS),
    _operation("multi_get", ANYWHERE, st.lists(KEYS, max_size=20)),
    _operation("scan", ANYWHERE, BOUNDS, BOUNDS, st.booleans(), st.one_of(st.none(), FEW), st.one_of(st.none(), FEW)),
    _operation("range_scan", st.one_of(st.none(), SNAPSHOT), KEYS, FEW),
    _operation("snapshot", SNAPSHOT, st.one_of(st.none(), st.integers(0, 30))),
    _operation("close_snapshot", SNAPSHOT),
    _operation("begin", TRANSACTION, st.sampled_from(["serializable", "serializable", "snapshot"])),
    _operation("commit", TRANSACTION),
    _operation("commit", TRANSACTION),
    _operation("rollback", TRANSACTION),
    _operation("savepoint", TRANSACTION),
    _operation("release", TRANSACTION),
    _operation("undo", TRANSACTION),
    _operation("flush", st.none()),
    _operation("flush", st.none()),
    _operation("compact", st.none()),
    _operation("reopen", st.none(), st.sampled_from(["close", "abandon"])),
)


def _session(slot: int, isolation: str, steps: list[Operation]) -> list[Operation]:
    place = ("transaction", slot)
    return [("begin", place, isolation), *((name, place, *rest) for name, _, *rest in steps),
            ("scan", place, None, None, False, None, None), ("scan", place, None, None, True, None, None),
            ("multi_get", place, SHORT + LONG), ("commit", place)]


# A whole transaction at a time: drawn one by one, its operations seldom meet.
SESSION = st.builds(_session, SLOTS, st.sampled_from(["serializable", "snapshot"]), st.lists(st.one_of(
    _operation("put", st.none(), KEYS, VALUES), _operation("delete", st.none(), KEYS),
    _operation("delete_range", st.none(), BOUNDS, BOUNDS), _operation("write", st.none(), WRITES),
    _operation("get", st.none(), KEYS), _operation("savepoint", st.none()), _operation("undo", st.none()),
    _operation("scan", st.none(), BOUNDS, BOUNDS, st.booleans(), st.one_of(st.none(), FEW), st.none())), max_size=8))
_STEP = st.one_of(*[OPERATION.map(lambda operation: [operation])] * 5, SESSION)
# Long lists, since bugs need a history, and short ones for a failing list to shrink to.
_LONG = st.lists(_STEP, min_size=30, max_size=60)
OPERATIONS = st.one_of(st.lists(_STEP, min_size=1, max_size=29), _LONG, _LONG).map(
    lambda steps: [operation for step in steps for operation in step])

SMALL: dict[str, Any] = {
    "memtable_bytes": 256 << 10, "table_bytes": 64 << 10, "block_bytes": 512, "log_segment_bytes": 64 << 10,
    "value_file_bytes": 64 << 10, "level0_compaction_count": 2, "value_threshold_bytes": 64, "retention_s": 0,
    "block_cache_bytes": 1 << 20, "durability": "none",
}
CHOICES: dict[str, list[Any]] = {
    "partitions": [1, 1, 2, 3, 8],
    "block_bytes": [512, 4096, 32768],
    "table_bytes": [64 << 10, 64 << 20],
    "level_count": [2, 3, 7],
    "level_ratio": [2, 10],
    "level0_compaction_count": [1, 2, 4],
    "value_threshold_bytes": [64, 1000, 4096],
    "retention_s": [0, 0, 86_400],
    "compression": ["lz4", "none"],
    "block_cache_bytes": [0, 1 << 16, 1 << 20],
    "max_open_tables": [16, 1000],
    "durability": ["none", "none", "interval", "commit"],
}
OPTIONS = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in CHOICES.items()})
