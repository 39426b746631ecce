"""Crash sweeps: stop a database at every file operation, in every way a disk may stop, and look what is left.

    scenario  --writes-->  database  --operations-->  MemoryFileSystem
                                                          | before each operation
                                                          v
                     crash images: lost, kept, torn  --open-->  what is there?  ==  History

One run of a scenario is enough: before an operation takes effect the disk hands out copies of itself as
they would be found after a crash at this moment, each is opened as a database of its own, and what it
holds is compared with what had been acknowledged. The run itself goes on undisturbed.

Every batch also writes its number under COUNTER. The number found after a crash therefore says which
state of the history must be there, all of it and nothing else:

    lowest <= number <= highest       lowest: the last batch that had to survive
                                      highest: the last batch that had begun
"""
from __future__ import annotations

import contextlib
import importlib.util
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import phantomdb
from phantomdb.core.database import Database
from phantomdb.core.filesystems import MemoryFileSystem

ROOT = "/db"
COUNTER = b"#"
SMALL: dict[str, Any] = {
    "memtable_bytes": 256 << 10, "table_bytes": 64 << 10, "block_bytes": 512, "log_segment_bytes": 64 << 10,
    "value_file_bytes": 64 << 10, "level0_compaction_count": 2, "retention_s": 0, "block_cache_bytes": 1 << 20,
}

HAS_MAINTENANCE = importlib.util.find_spec("phantomdb.core.maintenance") is not None

State = dict[bytes, bytes]
Pair = tuple[bytes, bytes | None]


class History:
    """What one writer wrote, batch by batch. Read by crash checks while it goes on."""

    def __init__(self, durability: str = "commit") -> None:
        self.durability = durability
        self.states: list[State] = [{}]          # states[n]: all there is after n batches
        self.begun = 0
        self.acknowledged = 0
        self.durable = 0                         # must survive a loss of power
        self.refused: list[State] = []           # after batches that failed

    @contextlib.contextmanager
    def batch(self, pairs: Iterable[Pair], deleted: tuple[bytes, bytes] | None = None) -> Iterator[list[Pair]]:
        """The pairs to write in one commit, inside the block; `deleted`: a range [start, stop) deleted before."""
        pairs = [*pairs, (COUNTER, b"%d" % (self.begun + 1))]
        state = dict(self.states[self.acknowledged])
        if deleted is not None:
            state = {key: value for key, value in state.items() if not deleted[0] <= key < deleted[1]}
        for key, value in pairs:
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
        self.states.append(state)
        self.begun += 1
        try:
            yield pairs
        except BaseException:
            self.refused.append(self.states.pop())       # must not be there, unless a failed sync leaves it in doubt
            self.begun -= 1
            raise
        self.acknowledged = self.begun
        if self.durability == "commit":
            self.durable = self.begun

    def made_durable(self) -> None:
        """All that is acknowledged was synced or flushed."""
        self.durable = self.acknowledged

    def lowest(self, mode: str) -> int:
        return self.acknowledged if mode == "kept" else self.durable


@dataclass
class Run:
    """What a scenario works with."""

    disk: Any                                    # MemoryFileSystem, or FaultyFileSystem around one
    options: dict[str, Any]
    history: History
    random: random.Random
    database: Database | None = None
    # paths of finished or begun copies of the database -> (lowest, highest) state they may hold
    copies: dict[str, list[int]] = field(default_factory=dict)

    @property
    def db(self) -> Database:
        assert self.database is not None
        return self.database

    def open(self) -> Database:
        self.database = phantomdb.open(ROOT, file_system=self.disk, **self.options)
        return self.database

    def write(self, pairs: Iterable[Pair]) -> None:
        with self.history.batch(pairs) as batch:
            self.db.kv.write(batch)

    def some_pairs(self, count: int, *, value_bytes: int = 20, keys: int = 60) -> list[Pair]:
        """Puts and, one time in five, deletes of keys that recur."""
        choose = self.random
        return [(b"k%03d" % choose.randrange(keys),
                 None if choose.random() < 0.2 else choose.randbytes(choose.randint(1, value_bytes)))
                for _ in range(count)]

    def flush(self) -> None:
        before = self.history.acknowledged
        self.db.flush()
        self.history.durable = max(self.history.durable, before)

    def close(self) -> None:
        self.db.close()
        self.history.made_durable()


@dataclass(frozen=True)
class Scenario:
    name: str
    work: Callable[[Run], None]
    options: dict[str, Any] = field(default_factory=dict)
    durability: str = "commit"


@dataclass(frozen=True)
class Crash:
    """Where and how one image was made."""

    operation: int
    name: str
    path: str
    mode: str
    seed: int

    def __str__(self) -> str:
        return f"crash before operation {self.operation} ({self.name} {self.path}), image {self.mode} seed {self.seed}"


def state_of(db: Database) -> State:
    """Everything in the database, read in all ways there are, which must agree."""
    rows = list(db.kv.scan())
    assert rows == sorted(rows)
    assert list(db.kv.scan(reverse=True)) == rows[::-1]
    keys = [key for key, _ in rows]
    assert len(set(keys)) == len(keys)
    assert db.kv.multi_get(keys) == [value for _, value in rows]
    if (number := db.kv.get(COUNTER)) is not None:
        assert (COUNTER, number) in rows
    return dict(rows)


def require_state(found: State, history: History, lowest: int, highest: int) -> int:
    """The number of the state found; an AssertionError when it is none that may be there."""
    number = int(found.get(COUNTER, b"0"))
    assert lowest <= number <= highest, f"batch {number} is the last one there, it must be in {lowest}..{highest}"
    expected = history.states[number]
    if found != expected:
        keys = [key for key in sorted({*found, *expected}) if found.get(key) != expected.get(key)]
        first = keys[0]
        raise AssertionError(f"after batch {number} of {lowest}..{highest} {len(keys)} keys differ; first {first!r}: "
                             f"{found.get(first)!r:.60}, not {expected.get(first)!r:.60}")
    return number


def check_image(image: MemoryFileSystem, options: dict[str, Any], history: History, lowest: int, highest: int) -> None:
    """Opens what a crash left, looks, writes on, and opens it again."""
    db = phantomdb.open(ROOT, file_system=image, **options)
    try:
        number = require_state(state_of(db), history, lowest, highest)
        expected = {**history.states[number], b"after": b"crash"}
        db.kv.put(b"after", b"crash")
        assert state_of(db) == expected
        if HAS_MAINTENANCE:
            db.verify()
    finally:
        db.close()
    with phantomdb.open(ROOT, file_system=image, **options) as db:
        assert state_of(db) == expected
        if number % 2:                           # what was deleted must not come back by merging
            db.compact()
            assert state_of(db) == expected


Check = Callable[[MemoryFileSystem, Run, str, int, int], None]       # image, run, mode, lowest, highest


class Sweep:
    """Takes and checks crash images before every `stride`-th operation of a disk, beginning with `first`."""

    def __init__(self, run: Run, *, stride: int = 1, first: int = 0, torn_seeds: int = 3,
                 check: Check | None = None) -> None:
        self.run, self.stride, self.first, self.torn_seeds = run, stride, first, torn_seeds
        self.check = check or self._check
        self.checked = 0
        self.failures: list[tuple[Crash, BaseException]] = []
        run.disk.before_operation = self._before

    @staticmethod
    def _check(image: MemoryFileSystem, run: Run, mode: str, lowest: int, highest: int) -> None:
        check_image(image, run.options, run.history, lowest, highest)

    def _before(self, number: int, name: str, path: str) -> None:
        if number % self.stride != self.first % self.stride or len(self.failures) >= 3:
            return
        images = [("lost", 0), ("kept", 0)] + [("torn", number * 10 + i) for i in range(self.torn_seeds)]
        for mode, seed in images:
            crash = Crash(number, name, path, mode, seed)
            try:
                lowest = self.run.history.lowest(mode)
                copies = {path: list(bounds) for path, bounds in self.run.copies.items()}
                image = self.run.disk.crash_image(mode, seed)            # type: ignore[arg-type]
                highest = self.run.history.begun
                self.check(image, self.run, mode, lowest, highest)
                check_copies(image, self.run, copies)
                self.checked += 1
            except BaseException as error:
                self.failures.append((crash, error))

    def finish(self) -> None:
        self.run.disk.before_operation = None
        if self.failures:
            crash, error = self.failures[0]
            raise AssertionError(f"{crash}: {type(error).__name__}: {error}") from error
        assert self.checked, "no image was checked"


def check_copies(image: MemoryFileSystem, run: Run, copies: dict[str, list[int]]) -> None:
    """Copies made by checkpoint(): whole once it returned; before, whole or not there."""
    for path, (lowest, highest) in copies.items():
        finished = lowest == highest
        if not image.exists(f"{path}/CURRENT"):
            assert not finished, f"the checkpoint {path} is gone"
            continue
        options = {**run.options, "create": False}
        with phantomdb.open(path, file_system=image, **options) as db:
            require_state(state_of(db), run.history, lowest, highest)


def check_recovery(image: MemoryFileSystem, run: Run, mode: str, lowest: int, highest: int, *,
                   stride: int = 10) -> None:
    """A crash while the database recovers from a crash: nothing more may be lost."""
    durability = run.history.durability
    history = History(durability)
    history.states = run.history.states[:highest + 1]
    history.begun, history.acknowledged = highest, lowest
    history.durable = lowest if mode != "kept" or durability == "commit" else run.history.lowest("lost")
    again = Run(image, run.options, history, random.Random(highest))
    watcher = Sweep(again, stride=stride, first=highest, torn_seeds=1)
    db = again.open()
    try:
        number = require_state(state_of(db), history, lowest, highest)
        del history.states[number + 1:]
        history.begun = history.acknowledged = number
        for _ in range(3):
            again.write(again.some_pairs(3))
        again.flush()
        again.close()
    finally:
        db.store.abandon()
    watcher.finish()


def new_run(scenario: Scenario, seed: int = 1) -> Run:
    options = {**SMALL, **scenario.options, "durability": scenario.durability}
    return Run(MemoryFileSystem(), options, History(scenario.durability), random.Random(seed))


def sweep(scenario: Scenario, *, stride: int = 1, first: int = 0, torn_seeds: int = 3, seed: int = 1,
          check: Check | None = None) -> Sweep:
    """Runs a scenario and checks crashes on its way. Raises AssertionError for the first that lost something."""
    run = new_run(scenario, seed)
    watcher = Sweep(run, stride=stride, first=first, torn_seeds=torn_seeds, check=check)
    try:
        run.open()
        scenario.work(run)
        run.close()
    except BaseException:
        if not watcher.failures:
            raise
    finally:
        if run.database is not None:
            run.database.store.abandon()
    watcher.finish()
    return watcher


def count_operations(scenario: Scenario, seed: int = 1) -> int:
    """File operations of an undisturbed run."""
    run = new_run(scenario, seed)
    run.open()
    scenario.work(run)
    run.close()
    return run.disk.operations


# ---------------------------------------------------------------- the write paths

def _commits(run: Run) -> None:
    for _ in range(30):
        run.write(run.some_pairs(run.random.randint(1, 5)))


def _flushes(run: Run) -> None:
    for _ in range(3):
        for _ in range(6):
            run.write(run.some_pairs(4))
        run.flush()
    for _ in range(4):
        run.write(run.some_pairs(2))


def _compactions(run: Run) -> None:
    for step in range(5):
        for _ in range(3):
            run.write(run.some_pairs(12))
        if step % 2:
            with run.history.batch([], deleted=(b"k010", b"k030")) as pairs, run.db.transaction() as txn:
                txn.kv.delete_range(b"k010", b"k030")
                txn.kv.write(pairs)
        run.flush()
    run.db.compact()
    for _ in range(3):
        run.write(run.some_pairs(4))


def _rolls(run: Run) -> None:
    for _ in range(12):
        run.write(run.some_pairs(4))
        run.flush()


def _recycling(run: Run) -> None:
    for step in range(60):
        run.write([(b"k%03d" % (step * 3 % 40), run.random.randbytes(3000)),
                   (b"k%03d" % (step * 7 % 40), run.random.randbytes(3000) if step % 5 else None)])
        if step % 14 == 13:
            run.flush()


def _values(run: Run) -> None:
    for _ in range(4):
        for _ in range(8):
            run.write(run.some_pairs(3, value_bytes=6000, keys=12))
        run.flush()
        run.db.compact()
    for _ in range(3):
        run.write(run.some_pairs(3, value_bytes=6000, keys=12))


def _across_partitions(run: Run) -> None:
    for step in range(30):
        run.write([(b"k%03d" % i, b"%d" % step) for i in range(run.random.randint(6, 16))])
        if step % 9 == 8:
            run.flush()


def _reopening(run: Run) -> None:
    for step in range(5):
        for _ in range(4):
            run.write(run.some_pairs(4))
        if step % 2:
            run.close()
        else:
            run.db.store.abandon()               # as at the exit of the process: nothing is flushed
        run.open()


def _checkpoints(run: Run) -> None:
    for step in range(2):
        for _ in range(5):
            run.write(run.some_pairs(4, value_bytes=200))
        path = f"/copy{step}"
        run.copies[path] = [run.history.acknowledged, run.history.acknowledged + 1]
        run.db.checkpoint(path)
        run.copies[path][1] = run.history.acknowledged
        for _ in range(5):
            run.write(run.some_pairs(4, value_bytes=200))
        run.flush()


def _ingestion(run: Run) -> None:
    for _ in range(3):
        for _ in range(3):
            run.write(run.some_pairs(4))
        with run.history.batch([(b"k%03d" % i, b"%d" % run.random.randrange(1000)) for i in range(0, 60, 3)]) as pairs:
            run.db.ingest(sorted(pairs))
        run.history.made_durable()


def _syncs(run: Run) -> None:
    for step in range(24):
        run.write(run.some_pairs(3))
        if step % 6 == 5:
            run.db.sync()
            run.history.made_durable()


VALUES = {"value_threshold_bytes": 64}

SCENARIOS = [
    Scenario("commit", _commits),
    Scenario("commit-interval", _commits, {"sync_interval_ms": 5}, "interval"),
    Scenario("commit-none", _commits, {}, "none"),
    Scenario("sync-none", _syncs, VALUES, "none"),
    Scenario("flush", _flushes),
    Scenario("flush-none", _flushes, {}, "none"),
    Scenario("compaction", _compactions),
    Scenario("compaction-none", _compactions, {}, "none"),
    Scenario("manifest-roll", _rolls),
    Scenario("manifest-roll-none", _rolls, {}, "none"),
    Scenario("recycling", _recycling),
    Scenario("recycling-none", _recycling, {}, "none"),
    Scenario("values", _values, VALUES),
    Scenario("values-none", _values, VALUES, "none"),
    Scenario("partitions", _across_partitions, {"partitions": 4}),
    Scenario("partitions-none", _across_partitions, {"partitions": 4}, "none"),
    Scenario("partitions-values", _values, {"partitions": 3, **VALUES}, "interval"),
    Scenario("reopening", _reopening, VALUES),
    Scenario("reopening-none", _reopening, VALUES, "none"),
    Scenario("checkpoint", _checkpoints, VALUES),
    Scenario("checkpoint-none", _checkpoints, VALUES, "none"),
    Scenario("ingest", _ingestion),
    Scenario("ingest-none", _ingestion, {"partitions": 2}, "none"),
]
assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)


def scenario(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


__all__ = ["COUNTER", "ROOT", "SCENARIOS", "SMALL", "Crash", "History", "Run", "Scenario", "State", "Sweep",
           "check_image", "count_operations", "new_run", "require_state", "scenario", "state_of", "sweep"]
