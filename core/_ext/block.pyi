"""Blocks of sorted entries: their encoded form, for tests and inspection."""
from collections.abc import Iterable

def encode_blocks(entries: Iterable[tuple[bytes, int, int, bytes]], target_bytes: int = 4096) -> list[bytes]:
    """Pack (key, ts, kind, value) tuples, in order, into as many blocks as they need."""

def decode_block(data: bytes) -> list[tuple[bytes, int, int, bytes]]:
    """The (key, ts, kind, value) tuples of a block; CorruptionError when it is not one."""

def seek_block(data: bytes, key: bytes) -> tuple[int, int | None]:
    """Index of the first entry whose key is >= `key`, and how that entry compares to it (None past the end)."""
