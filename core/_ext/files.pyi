"""The file seam: POSIX files, or a Python object that stands in for them."""
import os
from typing import Any, Final, Protocol, Self, final

from typing_extensions import Buffer

READ: Final[int]
"""Open an existing file for reading."""
CREATE: Final[int]
"""Make an empty file (or empty an existing one) for reading and writing."""
WRITE: Final[int]
"""Open an existing file for reading and writing."""

class _Lock(Protocol):
    def release(self) -> None: ...

@final
class File:
    """An open file; made by FileSystem.open(). Not to be closed while another thread uses it."""
    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset` on; fewer only at the end of the file."""
    def pwrite(self, data: Buffer, offset: int) -> None:
        """Writes all of `data` at `offset`."""
    def sync(self) -> None:
        """Returns when the contents are on disk."""
    def allocate(self, size: int, zeros: bool = False) -> None:
        """Makes the file at least `size` bytes long, its space reserved; `zeros` writes zeros, too."""
    def map(self, size: int) -> None:
        """Maps the first `size` bytes, which must be allocated: writes inside become memory copies."""
    def truncate(self, size: int) -> None:
        """Cuts or extends (by zeros) the file to `size` bytes."""
    def size(self) -> int:
        """Length in bytes."""
    def close(self) -> None:
        """Closes; again is allowed. Nothing is synced."""
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...

class FileSystem:
    """Files and folders by name. All methods raise the classes of phantomdb.core.errors."""
    def open(self, path: str | os.PathLike[str], mode: int) -> File:
        """Opens a file: READ, CREATE (emptied or new, read and write) or WRITE (existing, read and write)."""
    def rename(self, source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        """Gives a file another name, replacing what had it, in one step."""
    def link(self, source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        """Gives a file a second name; the name must be free."""
    def unlink(self, path: str | os.PathLike[str]) -> None:
        """Removes a name; the file goes with its last name and its last open handle."""
    def sync_dir(self, path: str | os.PathLike[str]) -> None:
        """Returns when the names in a folder are on disk."""
    def list_dir(self, path: str | os.PathLike[str]) -> list[str]:
        """The names in a folder, sorted."""
    def make_dir(self, path: str | os.PathLike[str]) -> None:
        """Makes a folder; fine when it is there already."""
    def exists(self, path: str | os.PathLike[str]) -> bool:
        """Whether there is a file or folder of that name."""
    def size(self, path: str | os.PathLike[str]) -> int:
        """Length of a file in bytes."""
    def read_file(self, path: str | os.PathLike[str]) -> bytes:
        """All bytes of a file."""
    def write_file_atomically(self, path: str | os.PathLike[str], data: Buffer) -> None:
        """Puts `data` under `path` so that after a crash there is either the old file or the new one."""
    def lock(self, path: str | os.PathLike[str]) -> _Lock:
        """Takes the lock that `path` stands for, or raises DatabaseLocked naming the process that has it."""

@final
class PosixFileSystem(FileSystem):
    """The operating system's files."""
    def __init__(self) -> None: ...
    def list_dir(self, path: str | os.PathLike[str]) -> list[str]:
        """The names in a folder, sorted."""
    def make_dir(self, path: str | os.PathLike[str]) -> None:
        """Makes a folder; fine when it is there already."""
    def exists(self, path: str | os.PathLike[str]) -> bool:
        """Whether there is a file or folder of that name."""
    def lock(self, path: str | os.PathLike[str]) -> _Lock:
        """Takes the lock that `path` stands for, or raises DatabaseLocked naming the process that has it."""

@final
class BridgedFileSystem(FileSystem):
    """A Python object's files; phantomdb.core.filesystems.FileSystemLike lists the methods it needs."""
    def __init__(self, target: Any) -> None: ...
    @property
    def target(self) -> Any:
        """The Python object behind."""
    def list_dir(self, path: str | os.PathLike[str]) -> list[str]:
        """The names in a folder, sorted."""
    def make_dir(self, path: str | os.PathLike[str]) -> None:
        """Makes a folder; fine when it is there already."""
    def exists(self, path: str | os.PathLike[str]) -> bool:
        """Whether there is a file or folder of that name."""
    def lock(self, path: str | os.PathLike[str]) -> _Lock:
        """Takes the lock that `path` stands for; release() gives it back."""
