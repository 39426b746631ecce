"""Turns sorted pairs into finished tables, past log and memtable."""
from collections.abc import Iterable, Mapping
from typing import Any, final

from phantomdb.core._ext.engine import Engine

@final
class IngestWriter:
    """Writes the tables of one ingest. As long as it is not closed no value file is removed."""

    def __init__(self, engine: Engine, prefix: int, *, block_bytes: int, compress: bool, target_bytes: int) -> None: ...
    @property
    def count(self) -> int:
        """Pairs so far."""
    @property
    def tables(self) -> list[dict[str, Any]]:
        """What the writer of each finished table reports, with number and partition."""
    @property
    def first(self) -> bytes:
        """The first internal key; None before there is one."""
    @property
    def last(self) -> bytes:
        """The last internal key so far."""
    def add_all(self, pairs: Iterable[tuple[bytes, bytes]] | Mapping[bytes, bytes]) -> None:
        """Adds (key, value) pairs, which must go on in key order."""
    def finish(self) -> None:
        """Ends and syncs the tables that are still open."""
    def discard(self) -> None:
        """Removes all tables; one that cannot be removed is left for the next open to find."""
    def close(self) -> None:
        """Gives back memory; value files may go again. Closing twice is fine."""
