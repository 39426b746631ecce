"""Merging cursors and read cursors against sorted lists."""
from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomdb.core._ext.cursor_probe import CursorProbe, read_rows
from phantomdb.core.errors import StorageError

PUT, DELETE, POINTER = 0, 1, 2
Row = tuple[bytes, int, int, bytes]
Tombstone = tuple[bytes, bytes, int]

# Few letters and lengths around the eight cached bytes, so that keys and prefixes often collide.
keys = st.one_of(st.sampled_from([b"", b"\0", b"a", b"a\0", b"prefix00", b"prefix000", b"prefix00\0", b"prefix01"]),
                 st.text("ab\xff", max_size=3).map(lambda text: text.encode("latin-1")),
                 st.text("ab", max_size=2).map(lambda text: b"prefix00" + text.encode()))
timestamps = st.integers(1, 12)


def place(row: Row) -> tuple[bytes, int]:
    return row[0], -row[1]


@st.composite
def source_lists(draw: st.DrawFn, unique: bool = False) -> list[list[Row]]:
    """Sources in order; the value says where a row is from. `unique`: each (key, ts) in one source only."""
    sources = []
    taken: set[tuple[bytes, int]] = set()
    for index in range(draw(st.integers(1, 5))):
        places = draw(st.sets(st.tuples(keys, timestamps), max_size=25))
        if unique:
            places -= taken
            taken |= places
        rows = [(key, ts, draw(st.sampled_from([PUT, PUT, DELETE, POINTER])), b"%d:%d" % (index, ts))
                for key, ts in places]
        sources.append(sorted(rows, key=place))
    return sources


def merged(sources: list[list[Row]]) -> list[Row]:
    winners: dict[tuple[bytes, int], Row] = {}
    for rows in reversed(sources):
        winners.update((place(row), row) for row in rows)
    return [winners[at] for at in sorted(winners)]


def visible(rows: list[Row], snapshot: int, tombstones: list[Tombstone]) -> list[Row]:
    """What a reader sees, key ascending: the definition, read aloud."""
    newest: dict[bytes, Row] = {}
    for row in rows:
        if row[1] <= snapshot:
            newest.setdefault(row[0], row)
    return [row for row in newest.values() if row[2] != DELETE and not any(
        start <= row[0] < stop and row[1] < ts <= snapshot for start, stop, ts in tombstones)]


class Model:
    """The moves of a cursor on one sorted list."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.at = -1

    def to(self, at: int) -> Row | None:
        self.at = at if 0 <= at < len(self.rows) else -1
        return self.rows[self.at] if self.at >= 0 else None

    def first_at_least(self, key: bytes) -> int:
        return next((i for i, row in enumerate(self.rows) if row[0] >= key), len(self.rows))


@settings(max_examples=400, deadline=None)
@given(source_lists(), st.lists(st.tuples(st.sampled_from(["first", "last", "seek", "seek_before", "next", "next",
                                                          "previous", "previous"]), keys), max_size=40))
def test_any_moves_in_any_order(sources: list[list[Row]], moves: list[tuple[str, bytes]]) -> None:
    if len(sources) == 1:
        sources.append([])           # one source is returned as it is; make it a merge
    probe, model = CursorProbe(sources), Model(merged(sources))
    for move, key in moves:
        if move == "first":
            assert probe.first() == model.to(0)
        elif move == "last":
            assert probe.last() == model.to(len(model.rows) - 1)
        elif move == "seek":
            assert probe.seek(key) == model.to(model.first_at_least(key))
        elif move == "seek_before":
            assert probe.seek_before(key) == model.to(model.first_at_least(key) - 1)
        elif model.at < 0:
            assert probe.next() is None and probe.previous() is None
        elif move == "next":
            assert probe.next() == model.to(model.at + 1)
        else:
            assert probe.previous() == model.to(model.at - 1)


@pytest.mark.parametrize("seed", range(20))
def test_runs_in_one_source_and_moves_that_end_them(seed: int) -> None:
    """Long runs of one source, between which the nearest other one changes: with each seek and each turn, too."""
    choose = random.Random(seed)
    sources: list[list[Row]] = [[] for _ in range(5)]
    number = 0
    while number < 400:
        source = choose.choice(sources)
        for _ in range(choose.randrange(1, 12)):
            source.append((b"prefix%04d" % number, 1, PUT, b""))
            number += 1
    probe, model = CursorProbe(sources), Model(merged(sources))
    for _ in range(300):
        key = b"prefix%04d" % choose.randrange(number)
        if choose.random() < 0.5:
            assert probe.seek(key) == model.to(model.first_at_least(key))
        else:
            assert probe.seek_before(key) == model.to(model.first_at_least(key) - 1)
        for _ in range(choose.randrange(3)):
            step, move = choose.choice([(1, probe.next), (-1, probe.previous)])
            for _ in range(choose.randrange(1, 8)):
                if model.at >= 0:
                    assert move() == model.to(model.at + step)


def test_no_sources() -> None:
    probe = CursorProbe([])
    assert probe.first() is probe.last() is probe.seek(b"a") is probe.seek_before(b"a") is probe.next() is None


def test_each_direction_visits_everything_once() -> None:
    rows = [(b"%04d" % (i * 7 % 1000), i, PUT, b"v%d" % i) for i in range(1000)]
    sources = [sorted(rows[i::6], key=place) for i in range(6)]
    probe = CursorProbe(sources)
    expected = sorted(rows, key=place)
    row, forward = probe.first(), []
    while row:
        forward.append(row)
        row = probe.next()
    assert forward == expected
    assert probe.moves == 6 + 1000          # no source is moved twice for a row
    row, backward = probe.last(), []
    while row:
        backward.append(row)
        row = probe.previous()
    assert backward == expected[::-1]


def test_turning_does_not_seek() -> None:
    sources = [[(b"%04d" % i, 1, PUT, b"") for i in range(j, 1000, 5)] for j in range(5)]
    probe = CursorProbe(sources)
    probe.seek(b"0500")
    before = probe.moves
    for _ in range(10):
        assert probe.next() == (b"0501", 1, PUT, b"")
        assert probe.previous() == (b"0500", 1, PUT, b"")
    assert probe.moves - before <= 20 * 6


@settings(deadline=None)
@given(source_lists(), st.integers(0, 30), st.booleans())
def test_failures_end_the_merge_and_a_seek_revives_it(sources: list[list[Row]], fail_after: int, back: bool) -> None:
    probe = CursorProbe(sources, fail_after=fail_after)
    reference = merged(sources)
    if back:
        reference.reverse()
    with pytest.raises(StorageError):       # comes at the right place: all before it was right
        row = probe.last() if back else probe.first()
        for expected in reference:
            assert row == expected
            row = probe.previous() if back else probe.next()
        while True:                         # too few moves to fail so far
            probe.first()
    if len(sources) > 1:
        with pytest.raises(StorageError):
            probe.next()
        with pytest.raises(StorageError):
            probe.previous()


@settings(max_examples=500, deadline=None)
@given(source_lists(), st.integers(0, 13), st.lists(st.tuples(keys, keys, timestamps), max_size=4),
       st.none() | keys, st.none() | keys)
def test_reader_sees_what_the_definition_says(sources: list[list[Row]], snapshot: int, tombstones: list[Tombstone],
                                              start: bytes | None, stop: bytes | None) -> None:
    expected = [row for row in visible(merged(sources), snapshot, tombstones)
                if (start is None or row[0] >= start) and (stop is None or row[0] < stop)]
    rows, _ = read_rows(sources, snapshot, tombstones=tombstones, start=start, stop=stop)
    assert rows == expected
    rows, _ = read_rows(sources, snapshot, tombstones=tombstones, start=start, stop=stop, reverse=True)
    assert rows == expected[::-1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200), st.integers(0, 200), st.booleans(), st.booleans(), st.integers(1, 3))
def test_hot_keys_of_any_shape(newer: int, older: int, reverse: bool, dead: bool, source_count: int) -> None:
    versions = [(b"hot", ts, DELETE if dead and ts == older else PUT, b"%d" % ts)
                for ts in range(newer + older, 0, -1)]
    rows = [(b"cold", 1, PUT, b"x"), *versions, (b"next", 1, PUT, b"y")]
    sources = [rows[i::source_count] for i in range(source_count)]
    expected = visible(rows, older, [])
    assert read_rows(sources, older, reverse=reverse)[0] == (expected[::-1] if reverse else expected)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("newer", "older"), [(10_000, 0), (0, 10_000), (10_000, 20), (20, 10_000), (3, 10_000)])
def test_hot_key_costs_a_few_seeks(newer: int, older: int, reverse: bool) -> None:
    rows = [(b"hot", ts, PUT, b"%d" % ts) for ts in range(newer + older, 0, -1)]
    seen, moves = read_rows([[(b"cold", 1, PUT, b"x")], rows, [(b"next", 1, PUT, b"y")]], older, reverse=reverse)
    assert [row[1] for row in seen if row[0] == b"hot"] == ([older] if older else [])
    assert moves < 250


@settings(max_examples=150, deadline=None)
@given(source_lists(), st.integers(0, 60), st.integers(0, 13), st.booleans())
def test_reader_passes_failures_on(sources: list[list[Row]], fail_after: int, snapshot: int, reverse: bool) -> None:
    rows, moves = read_rows(sources, snapshot, reverse=reverse)
    if fail_after >= moves:
        assert read_rows(sources, snapshot, reverse=reverse, fail_after=fail_after) == (rows, moves)
    else:
        with pytest.raises(StorageError):
            read_rows(sources, snapshot, reverse=reverse, fail_after=fail_after)


def test_tombstone_hides_older_versions_only() -> None:
    rows = [(b"a", 5, PUT, b"old"), (b"b", 7, PUT, b"same"), (b"c", 9, PUT, b"new"), (b"d", 5, PUT, b"outside")]
    wide = [(b"a", b"d", 7)]
    assert [row[0] for row in read_rows([rows], 9, tombstones=wide)[0]] == [b"b", b"c", b"d"]
    assert [row[0] for row in read_rows([rows], 6, tombstones=wide)[0]] == [b"a", b"d"]
