"""File systems for tests: a disk in memory that can lose power, and one that fails on command.

Open a database on one of them to see what your program does when the machine dies at the worst
moment or the disk says no:

    disk = MemoryFileSystem()
    ...                                     # work on a database that lives on `disk`
    after = disk.crash_image("torn", seed=7)
    ...                                     # open the database on `after`: all that was acknowledged is there

To crash at every single step, count the steps of one run, then repeat it with a hook that stops it:

    def power_cut(number, operation, path):
        if number >= step:
            raise PowerCut
    disk.before_operation = power_cut

memory_disk.py tells what survives a power cut, and by which rules.

Both classes speak the protocol of `phantomdb.core._ext.files.BridgedFileSystem`, written down below
as FileSystemLike and FileLike.
"""
from __future__ import annotations

import errno as _errno
import os
import threading
from dataclasses import dataclass
from typing import Protocol

from phantomdb.core.memory_disk import SECTOR_BYTES, MemoryFile, MemoryFileSystem

__all__ = ["SECTOR_BYTES", "FaultyFileSystem", "FileLike", "FileSystemLike", "LockLike", "MemoryFileSystem"]


class LockLike(Protocol):
    """A lock that is held."""

    def release(self) -> None:
        """Lets others in."""


class FileLike(Protocol):
    """An open file."""

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset` on; fewer only at the end."""

    def pwrite(self, data: bytes, offset: int) -> object:
        """Writes all of `data` at `offset`."""

    def sync(self) -> None:
        """Makes bytes and length durable."""

    def allocate(self, size: int, zeros: bool) -> None:
        """Makes the file at least `size` bytes long, space reserved."""

    def truncate(self, size: int) -> None:
        """Cuts or extends the file to `size` bytes."""

    def size(self) -> int:
        """Length in bytes."""

    def close(self) -> None:
        """Gives the handle back."""


class FileSystemLike(Protocol):
    """Files and folders by name."""

    def open(self, path: str, mode: int) -> FileLike:
        """Opens with mode READ, CREATE or WRITE of phantomdb.core._ext.files."""

    def rename(self, source: str, target: str) -> None:
        """Renames, replacing what had the name."""

    def link(self, source: str, target: str) -> None:
        """Gives a file a second name."""

    def unlink(self, path: str) -> None:
        """Removes a name."""

    def sync_dir(self, path: str) -> None:
        """Makes the names in a folder durable."""

    def list_dir(self, path: str) -> list[str]:
        """The names in a folder."""

    def make_dir(self, path: str) -> None:
        """Makes a folder; fine when it is there already."""

    def exists(self, path: str) -> bool:
        """Whether the name is there."""

    def lock(self, path: str) -> LockLike:
        """Takes the lock or raises DatabaseLocked."""


@dataclass
class _Fault:
    operation: str
    path_contains: str
    passes: int                      # matching operations still let through
    errno: int
    remaining: int | None            # failures still to come; None: for ever
    short_write: bool


def _failure(fault: _Fault, path: str) -> OSError:
    return OSError(fault.errno, os.strerror(fault.errno), path)


class FaultyFileSystem:
    """Passes everything on to `inner` and fails where told to.

        disk = FaultyFileSystem(MemoryFileSystem())
        disk.fail(operation="sync", path_contains="log", after=2)    # the third sync of a log file fails

    A failed sync is as treacherous as on Linux: when `inner` is a MemoryFileSystem, what was written
    can still be read but does not reach the disk by the next sync either.

    failures          how many operations were made to fail so far
    """

    def __init__(self, inner: FileSystemLike) -> None:
        self.inner = inner
        self.failures = 0
        self._faults: list[_Fault] = []
        self._mutex = threading.Lock()          # guards the faults and their count

    def fail(self, operation: str, path_contains: str = "", after: int = 0, errno: int = _errno.EIO,
             count: int | None = 1, short_write: bool = False) -> None:
        """Makes `count` (None: all) operations fail with `errno`, once `after` matching ones went through.

        `operation` is a method's name: open, rename, link, unlink, sync_dir, list_dir, make_dir, exists,
        lock, pread, pwrite, sync, allocate, truncate or size. `path_contains` is looked for in the path,
        for rename and link in that of the source. Of several faults that fit, the oldest strikes.
        `short_write` lets a failing pwrite write its first half.
        """
        if operation not in _OPERATIONS:
            raise ValueError(f"unknown operation {operation!r}; one of {', '.join(sorted(_OPERATIONS))}")
        with self._mutex:
            self._faults.append(_Fault(operation, path_contains, after, errno, count, short_write))

    def heal(self) -> None:
        """Forgets all faults."""
        with self._mutex:
            self._faults.clear()

    def _due(self, operation: str, path: str) -> _Fault | None:
        """The fault that strikes this operation, if any."""
        with self._mutex:
            for fault in self._faults:
                if fault.operation != operation or fault.path_contains not in path or fault.remaining == 0:
                    continue
                if fault.passes > 0:
                    fault.passes -= 1
                    continue
                if fault.remaining is not None:
                    fault.remaining -= 1
                self.failures += 1
                return fault
        return None

    def _check(self, operation: str, path: str) -> None:
        fault = self._due(operation, path)
        if fault is not None:
            raise _failure(fault, path)

    def open(self, path: str, mode: int) -> _FaultyFile:
        self._check("open", path)
        return _FaultyFile(self, self.inner.open(path, mode), path)

    def rename(self, source: str, target: str) -> None:
        self._check("rename", source)
        self.inner.rename(source, target)

    def link(self, source: str, target: str) -> None:
        self._check("link", source)
        self.inner.link(source, target)

    def unlink(self, path: str) -> None:
        self._check("unlink", path)
        self.inner.unlink(path)

    def sync_dir(self, path: str) -> None:
        self._check("sync_dir", path)
        self.inner.sync_dir(path)

    def list_dir(self, path: str) -> list[str]:
        self._check("list_dir", path)
        return self.inner.list_dir(path)

    def make_dir(self, path: str) -> None:
        self._check("make_dir", path)
        self.inner.make_dir(path)

    def exists(self, path: str) -> bool:
        self._check("exists", path)
        return self.inner.exists(path)

    def lock(self, path: str) -> LockLike:
        self._check("lock", path)
        return self.inner.lock(path)


class _FaultyFile:
    """An open file of a FaultyFileSystem."""

    def __init__(self, file_system: FaultyFileSystem, inner: FileLike, path: str) -> None:
        self._file_system = file_system
        self._inner = inner
        self._path = path

    def pread(self, size: int, offset: int) -> bytes:
        self._file_system._check("pread", self._path)
        return self._inner.pread(size, offset)

    def pwrite(self, data: bytes, offset: int) -> None:
        fault = self._file_system._due("pwrite", self._path)
        if fault is None:
            self._inner.pwrite(data, offset)
            return
        if fault.short_write:
            self._inner.pwrite(data[:len(data) // 2], offset)
        raise _failure(fault, self._path)

    def sync(self) -> None:
        fault = self._file_system._due("sync", self._path)
        if fault is None:
            self._inner.sync()
            return
        if isinstance(self._inner, MemoryFile):
            self._inner.drop_unsynced()
        raise _failure(fault, self._path)

    def allocate(self, size: int, zeros: bool = False) -> None:
        self._file_system._check("allocate", self._path)
        self._inner.allocate(size, zeros)

    def truncate(self, size: int) -> None:
        self._file_system._check("truncate", self._path)
        self._inner.truncate(size)

    def size(self) -> int:
        self._file_system._check("size", self._path)
        return self._inner.size()

    def close(self) -> None:
        self._inner.close()


_OPERATIONS = {name for methods in (FileSystemLike, FileLike) for name in vars(methods)
               if not name.startswith("_")} - {"close"}
