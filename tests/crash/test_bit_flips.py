"""One bit flipped anywhere in any file: reads give the right answer or an error that names the file."""
from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sweep import ROOT, SMALL, State

import phantomdb
from phantomdb.core.errors import CorruptionError, NewerFormat
from phantomdb.core.filesystems import MemoryFileSystem

OPTIONS: dict[str, Any] = {**SMALL, "value_threshold_bytes": 64, "level0_compaction_count": 4}
SAMPLE = 60                          # flips of each file in the fast tier
KINDS = {"table": r"\d{12}\.table", "values": r"\d{12}\.values", "log": r"\d{12}\.log", "manifest": r"MANIFEST-\d+",
         "current": "CURRENT", "format": "FORMAT"}


def rows_of(choose: random.Random, count: int, keys: int) -> State:
    return {b"k%03d" % choose.randrange(keys): choose.randbytes(choose.choice((3, 20, 60, 300))) for _ in range(count)}


def build(durability: str, closed: bool) -> tuple[MemoryFileSystem, list[State]]:
    """A database with files of every kind, closed or as a killed process leaves it; what it held after each commit."""
    disk = MemoryFileSystem()
    choose = random.Random(5)
    history: list[State] = [{}]
    db = phantomdb.open(ROOT, file_system=disk, durability=durability, **OPTIONS)
    for step in range(6):
        for key, value in rows_of(choose, 25, 120).items():
            db.kv.put(key, value)
            history.append({**history[-1], key: value})
        gone = b"k%03d" % choose.randrange(120)
        db.kv.delete(gone)
        history.append({key: value for key, value in history[-1].items() if key != gone})
        if step in (1, 3):
            db.flush()
        if step == 3:
            db.compact()
    for key in (b"last but one", b"last"):       # so that no commit but one is the last that was synced
        db.kv.put(key, b"1")
        history.append({**history[-1], key: b"1"})
    if closed:
        db.close()
        return disk, history
    image = disk.crash_image("kept")
    db.store.abandon()
    return image, history


def paths_of(disk: MemoryFileSystem, kind: str) -> list[str]:
    return [f"{ROOT}/{name}" for name in disk.list_dir(ROOT) if re.fullmatch(KINDS[kind], name)]


def flips(disk: MemoryFileSystem, path: str, count: int | None) -> Iterator[tuple[int, int]]:
    """(offset, bit) of a sample, or of every byte (and every bit of the first 128)."""
    size = len(disk.open(path, 0).pread(1 << 30, 0))
    choose = random.Random(path)
    if count is None:
        yield from ((offset, bit) for offset in range(min(size, 128)) for bit in range(8))
        yield from ((offset, choose.randrange(8)) for offset in range(128, size))
    else:
        yield from ((offset, choose.randrange(8)) for offset in range(min(size, 48)))
        yield from ((choose.randrange(size), choose.randrange(8)) for _ in range(count))


def read_everything(disk: MemoryFileSystem, durability: str, expected: State, allowed: list[State]) -> str:
    """Opens and reads in all ways. "right", or the message of the error; anything else fails."""
    messages: list[str] = []

    def attempt(read: Callable[[], Any], right: Callable[[State], Any]) -> None:
        nonlocal allowed
        try:
            found = read()
        except (CorruptionError, NewerFormat) as error:
            assert error.path is not None, f"the error names no file: {error}"
            assert error.path in str(error)
            messages.append(error.path)
        else:
            allowed = [state for state in allowed if found == right(state)]      # all reads see one and the same
            assert allowed, "wrong data"

    try:
        db = phantomdb.open(ROOT, file_system=disk, durability=durability, **OPTIONS)
    except (CorruptionError, NewerFormat) as error:
        assert error.path is not None, f"the error names no file: {error}"
        return error.path
    try:
        attempt(lambda: list(db.kv.scan()), lambda state: sorted(state.items()))
        attempt(lambda: list(db.kv.scan(reverse=True)), lambda state: sorted(state.items(), reverse=True))
        attempt(lambda: db.kv.multi_get(list(expected)), lambda state: [state.get(key) for key in expected])
        for key in [*list(expected)[::5], b"k", b"k0005", b"zz"]:
            attempt(lambda key=key: db.kv.get(key), lambda state, key=key: state.get(key))      # type: ignore[misc]
    finally:
        db.store.abandon()
    return messages[0] if messages else "right"


def check_flips(durability: str, closed: bool, kind: str, count: int | None) -> dict[str, int]:
    disk, history = build(durability, closed)
    expected, allowed = history[-1], history[-1:]
    if durability == "none" and not closed and kind in ("log", "values"):
        allowed = history                        # where nothing was synced, damage looks like a write that was lost
    elif kind == "log":
        allowed = history[-2:]                   # nobody proves that the last record was synced
    outcomes = {"right": 0, "refused": 0}
    paths = paths_of(disk, kind)
    assert paths or (kind == "log" and closed)
    for path in paths:
        for offset, bit in flips(disk, path, count):
            image = disk.crash_image("kept")
            image.flip_bit(path, offset, bit)
            try:
                outcome = read_everything(image, durability, expected, allowed)
            except BaseException as error:
                error.add_note(f"bit {bit} of byte {offset} of {path}")
                raise
            assert outcome in ("right", path), f"bit {bit} of byte {offset} of {path}: the error names {outcome}"
            outcomes["right" if outcome == "right" else "refused"] += 1
    return outcomes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "killed"])
def test_flipped_bits(kind: str, closed: bool) -> None:
    outcomes = check_flips("commit", closed, kind, SAMPLE)
    if not (kind == "log" and closed):
        assert outcomes["refused"], "no flip was noticed"


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "killed"])
def test_long_every_byte_flipped(kind: str, closed: bool) -> None:
    check_flips("commit", closed, kind, None)


@pytest.mark.parametrize("kind", ["log", "values"])
def test_flipped_bits_unsynced(kind: str) -> None:
    """Where nothing was synced, what is read is the database as it was after some commit, all of it."""
    check_flips("none", False, kind, SAMPLE)


@pytest.mark.long
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "log"])
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "killed"])
def test_long_every_byte_flipped_unsynced(kind: str, closed: bool) -> None:
    check_flips("none", closed, kind, None)


def test_flips_in_the_log_are_never_cut_off_silently() -> None:
    """Every bit of every record but the last belongs to a commit that was acknowledged as synced."""
    disk, history = build("commit", closed=False)
    noticed = 0
    for path in paths_of(disk, "log"):
        data = disk.open(path, 0).pread(1 << 30, 0)
        used = len(data.rstrip(b"\0"))
        choose = random.Random(3)
        for _ in range(80):
            offset = choose.randrange(64, max(65, used - 80))
            image = disk.crash_image("kept")
            image.flip_bit(path, offset, choose.randrange(8))
            noticed += read_everything(image, "commit", history[-1], history[-1:]) == path
    assert noticed
