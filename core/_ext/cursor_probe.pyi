"""Cursors driven from Python, move by move: for tests and debugging."""
from collections.abc import Iterable
from typing import TypeAlias, final

_Row: TypeAlias = tuple[bytes, int, int, bytes]

@final
class CursorProbe:
    """A cursor over the merge of `sources`; each move returns (key, ts, kind, value), or None at the end."""

    def __init__(self, sources: list[list[_Row]], *, fail_after: int | None = None) -> None: ...
    @property
    def moves(self) -> int:
        """Moves made by all sources so far."""
    def first(self) -> _Row | None:
        """To the first row."""
    def last(self) -> _Row | None:
        """To the last row."""
    def seek(self, key: bytes) -> _Row | None:
        """To the first row whose key is `key` or after it."""
    def seek_before(self, key: bytes) -> _Row | None:
        """To the last row whose key is before `key`."""
    def next(self) -> _Row | None:
        """To the row after the current one."""
    def previous(self) -> _Row | None:
        """To the row before the current one."""

def read_rows(sources: list[list[_Row]], snapshot: int, *, tombstones: Iterable[tuple[bytes, bytes, int]] = (),
              start: bytes | None = None, stop: bytes | None = None, reverse: bool = False,
              fail_after: int | None = None) -> tuple[list[_Row], int]:
    """The rows a reader sees at `snapshot`, as (key, ts, kind, value), and how many moves that took."""
