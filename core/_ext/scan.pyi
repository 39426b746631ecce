"""Scans: rows of a range in key order, gathered without the GIL."""
from collections.abc import Iterator

class Scan(Iterator[tuple[bytes, bytes]]):
    """(key, value) in key order; made by scan(). It sees the rows of the moment it began."""

    def __next__(self) -> tuple[bytes, bytes]: ...
    def close(self) -> None:
        """Gives back what the scan holds; it is at its end then."""
