"""Writing sorted tables."""
from collections.abc import Iterable
from typing import Any

from phantomdb.core._ext.files import FileSystem

def write_table(file_system: FileSystem, path: str, entries: Iterable[tuple[bytes, int, int, bytes]],
                tombstones: Iterable[tuple[bytes, bytes, int]] = (), block_bytes: int = 4096,
                compress: bool = True) -> dict[str, Any]:
    """Write (key, ts, kind, value) entries, in order, and (start, stop, ts) tombstones; returns the summary."""
