"""Pieces of a table's file taken out one by one, when the file as a whole cannot be opened; for repair."""

def unpack_piece(stored: bytes) -> bytes | None:
    """The bytes that were stored, or None when they are damaged."""

def unpack_block(stored: bytes) -> list[tuple[bytes, int, int, bytes]] | None:
    """The (key, ts, kind, value) entries of a stored block, or None when it is damaged."""

def find_block(data: bytes, start: int) -> tuple[int, int] | None:
    """(offset, size) of the first block that begins at `start` or not far behind it in a table's bytes, found by
    checksums; None for none."""
