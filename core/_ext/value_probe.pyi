"""A value log driven from Python, for tests."""
from typing import final

from phantomdb.core._ext.files import FileSystem

@final
class ValueLogProbe:
    """A value log driven from Python, for tests. Not to be closed while another thread uses it."""

    def __init__(self, file_system: FileSystem, directory: str, file_bytes: int, first_number: int = 1) -> None: ...
    def append(self, key: bytes, value: bytes) -> bytes:
        """Append a value; returns its pointer, 32 bytes."""
    def read(self, pointer: bytes) -> bytes:
        """The value behind a pointer."""
    def sync(self) -> None:
        """Everything appended before is on disk."""
    def roll(self) -> int:
        """End the current file; returns its number, 0 when there is none."""
    def remove(self, file_number: int) -> None:
        """Delete a file."""
    def close(self) -> None:
        """Sync and close; again is allowed."""
    @property
    def open_count(self) -> int:
        """Files in the table of open files."""
