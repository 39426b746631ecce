"""One value file, record by record: for inspection, verification and repair."""
from collections.abc import Iterator
from typing import final

from phantomdb.core._ext.files import FileSystem

def unpack_pointer(pointer: bytes) -> tuple[int, int, int, int, int]:
    """(file number, offset, value size, key size, CRC) of a pointer as it is stored."""

def value_file_header(number: int) -> bytes:
    """The header of a value file of that number."""

@final
class ValueFile:
    """A value file, open for reading. CorruptionError when its header is damaged."""

    path: str
    number: int
    """From the header."""
    size: int
    """Bytes in the file."""
    torn_offset: int | None
    """Set by records() and verify(): where the torn tail begins, or None."""

    def __init__(self, file_system: FileSystem, path: str) -> None: ...
    def records(self) -> Iterator[tuple[int, bytes | None, int, bool]]:
        """Yield (offset, key, value size, whether the checksum is right).

        For bytes that do not even tell their sizes the key is None and the size is that of the gap up to
        the next whole record.
        """
    def verify(self) -> int:
        """Read everything; CorruptionError names the first damaged record. Returns the number of records."""
    def read(self, offset: int) -> tuple[bytes, bytes]:
        """(key, value) of the record at `offset`, checked."""
    def close(self) -> None:
        """Close the file; again is allowed."""
