"""One table file looked at on its own: for verify, inspect and repair."""
from collections.abc import Iterator
from typing import Any, final

from phantomdb.core._ext.files import FileSystem

@final
class TableFile:
    """A table file opened on its own. Iterating gives every version as (key, ts, kind, value)."""

    def __init__(self, file_system: FileSystem, path: str) -> None: ...
    def __iter__(self) -> Iterator[tuple[bytes, int, int, bytes]]: ...
    @property
    def path(self) -> str:
        """Where the file is."""
    @property
    def properties(self) -> dict[str, Any]:
        """What the writer recorded about the table; same names as its summary."""
    @property
    def block_count(self) -> int:
        """How many data blocks there are."""
    @property
    def tombstones(self) -> list[tuple[bytes, bytes, int]]:
        """The range tombstones, as (start, stop, ts) tuples."""
    def read_block(self, number: int) -> list[tuple[bytes, int, int, bytes]]:
        """The entries of data block `number`; a damaged one raises and the others can still be read."""
    def blocks(self) -> list[dict[str, Any]]:
        """A dict for each data block: number, offset, stored and raw bytes, entries and first key."""
    def verify(self) -> None:
        """Check every byte, and that all parts agree; CorruptionError names the file and the offset."""
