"""Blocks against sorted lists of (key, ts, kind, value)."""
from __future__ import annotations

import bisect
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomdb.core import errors
from phantomdb.core._ext import block

Entry = tuple[bytes, int, int, bytes]

HEADER_BYTES = 32
LONG_KEY_BYTES = 8192

_short_keys = st.binary(max_size=12)
_shared_keys = st.builds(lambda head, tail: head + tail,
                         st.sampled_from([b"", b"user/", b"user/profile/0000", b"\xff" * 300]), _short_keys)
_values = st.one_of(st.binary(max_size=40), st.integers(0, 6000).map(lambda size: b"v" * size))
_versions = st.tuples(_shared_keys, st.integers(0, 2**64 - 1), st.integers(0, 2), _values)


def in_order(entries: list[Entry]) -> list[Entry]:
    unique = {(key, ts): (key, ts, kind, value) for key, ts, kind, value in entries}
    return sorted(unique.values(), key=lambda entry: (entry[0], -entry[1]))


@given(st.lists(_versions, max_size=120), st.sampled_from([256, 4096, 32768]))
@settings(max_examples=150, deadline=None)
def test_blocks_hold_what_was_put_in(entries: list[Entry], target_bytes: int) -> None:
    expected = in_order(entries)
    blocks = block.encode_blocks(expected, target_bytes)
    assert [entry for data in blocks for entry in block.decode_block(data)] == expected


@given(st.lists(_versions, min_size=1, max_size=60), _shared_keys)
@settings(max_examples=200, deadline=None)
def test_seek_finds_the_first_entry_not_before_the_key(entries: list[Entry], key: bytes) -> None:
    for data in block.encode_blocks(in_order(entries), 32768):
        keys = [entry[0] for entry in block.decode_block(data)]
        for wanted in [key, *keys, *(k + b"\0" for k in keys), *(k[:-1] for k in keys)]:
            index, order = block.seek_block(data, wanted)
            assert index == bisect.bisect_left(keys, wanted)
            if index < len(keys):
                assert order is not None
                assert (order > 0) - (order < 0) == (keys[index] > wanted) - (keys[index] < wanted)
            else:
                assert order is None


@pytest.mark.parametrize("key_size", [0, 1, LONG_KEY_BYTES, LONG_KEY_BYTES + 1, 65535, 65536, 65537, 131071])
@pytest.mark.parametrize("value_size", [0, 1, 65535, 65536, 70000])
def test_sizes_at_the_edges(key_size: int, value_size: int) -> None:
    entries = [(b"k" * key_size, 7, 0, b"x" * value_size)]
    if key_size < 131071:
        entries.append((b"k" * key_size + b"z", 6, 1, b""))
    blocks = block.encode_blocks(entries)
    assert [entry for data in blocks for entry in block.decode_block(data)] == entries


def test_keys_and_values_over_the_limits_are_refused() -> None:
    with pytest.raises(errors.LimitExceeded):
        block.encode_blocks([(b"k" * 131072, 1, 0, b"")])


def test_a_long_key_stands_alone() -> None:
    long = b"m" * (LONG_KEY_BYTES + 1)
    blocks = block.encode_blocks([(b"a", 1, 0, b""), (long, 1, 0, b""), (long + b"x", 1, 0, b""), (b"z", 1, 0, b"")])
    assert [len(block.decode_block(data)) for data in blocks] == [1, 1, 1, 1]


def test_the_common_prefix_is_stored_once() -> None:
    entries = [(b"p" * 1000 + b"%04d" % i, 1, 0, b"") for i in range(100)]
    blocks = block.encode_blocks(entries)
    assert len(blocks) == 1
    assert len(blocks[0]) < HEADER_BYTES + 1004 + 100 * (4 + 4)


@pytest.mark.parametrize("step", [0, 1, 2**40])
def test_blocks_keep_to_their_target(step: int) -> None:
    """Exactly: the cache's slots are made for blocks of that size."""
    entries = [(b"%08d" % i, i * step, 0, b"v" * (i % 50)) for i in range(5000)]
    blocks = block.encode_blocks(entries, 4096)
    assert all(4096 - 80 <= len(data) <= 4096 for data in blocks[:-1])


def test_versions_without_bytes_of_their_own_still_fill_blocks() -> None:
    entries = [(b"key", ts, 1, b"") for ts in range(5000, 0, -1)]
    blocks = block.encode_blocks(entries, 4096)
    assert len(blocks) > 5
    assert [entry for data in blocks for entry in block.decode_block(data)] == entries


@pytest.mark.parametrize("spread", [0, 1, 255, 256, 2**24, 2**40, 2**56, 2**63, 2**64 - 1])
def test_timestamps_take_the_bytes_they_need(spread: int) -> None:
    entries = [(b"a", spread, 0, b""), (b"b", 0, 0, b"")]
    (data,) = block.encode_blocks(entries)
    assert data[14] == (spread.bit_length() + 7) // 8
    assert block.decode_block(data) == entries


def test_damage_is_reported_or_harmless() -> None:
    """No byte string may make the decoder read outside; only structure is checked here, content has a CRC."""
    entries = in_order([(b"pre" + bytes([i]), 300 * i, i % 3, b"v" * i) for i in range(20)])
    (data,) = block.encode_blocks(entries)
    for at in range(HEADER_BYTES + 4 + 20 * 4):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            try:
                decoded = block.decode_block(bytes(damaged))
            except errors.CorruptionError:
                continue
            assert sum(len(entry[3]) for entry in decoded) <= len(data)


@pytest.mark.parametrize("offset, width, value", [
    (0, 4, 2**32 - 1),        # entry_count
    (4, 4, 0),                # payload_offset
    (4, 4, 2**31),
    (8, 4, 2**32 - 1),        # payload_size
    (12, 2, 0xFFFF),          # prefix_size
    (14, 1, 9),               # ts_width
    (15, 1, 2),               # flags
    (24, 8, 1),               # reserved
    (36, 2, 0xFFFF),          # length of the first entry
    (38, 2, 0xFFFF),          # kind and suffix size of the first entry
])
def test_fields_out_of_bounds_are_corruption(offset: int, width: int, value: int) -> None:
    (data,) = block.encode_blocks([(b"keya", 1, 0, b"v"), (b"keyb", 1, 0, b"v")])
    damaged = bytearray(data)
    damaged[offset:offset + width] = value.to_bytes(width, "little")
    with pytest.raises(errors.CorruptionError):
        block.decode_block(bytes(damaged))


def test_random_bytes_are_not_a_block() -> None:
    source = random.Random(11)
    for size in [0, 1, 31, 32, 33, 100]:
        with pytest.raises(errors.CorruptionError):
            block.decode_block(source.randbytes(size))
