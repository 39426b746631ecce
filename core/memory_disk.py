"""A disk in memory that can lose power: what crash tests of the storage core stand on.

What survives a power cut, by the rules of POSIX and of journaled file systems, is less than one hopes:

    what changed               durable after            until then a crash may keep
    -----------------------    --------------------     ------------------------------------------
    bytes, length of a file    sync() of the file       any mix of old and new 512-byte sectors
    names in a folder          sync_dir() of it         the first few of the changes, in their order

So a new file needs both. A rename is one change: it is seen whole or not at all, in whatever state
the file's bytes are. What the model leaves out: sectors that tear, a sector written twice between
two syncs that comes back in its middle state, and disks that lie about syncing.
"""
from __future__ import annotations

import errno
import os
import posixpath
import random
import threading
from collections.abc import Callable, Iterator
from typing import Literal

from phantomdb.core._ext.files import CREATE, READ, WRITE
from phantomdb.core.errors import DatabaseLocked

# Disks write whole sectors; a power cut falls between two of them.
SECTOR_BYTES = 512

CrashMode = Literal["lost", "kept", "torn"]


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)


class _Contents:
    """A file's bytes: as programs see them, and as the disk has them."""

    def __init__(self) -> None:
        self.current = bytearray()
        self.synced = bytearray()
        # Sectors in which the two may differ. Zeros that lengthen the file are not marked: where
        # the disk has nothing, it reads as zeros, too.
        self.dirty: set[int] = set()
        self.names = 0
        self.handles = 0

    def mark(self, start: int, end: int) -> None:
        if end > start:
            self.dirty.update(range(start // SECTOR_BYTES, (end - 1) // SECTOR_BYTES + 1))

    def write(self, data: bytes, offset: int) -> None:
        if offset > len(self.current):
            self.current.extend(bytes(offset - len(self.current)))
        self.current[offset:offset + len(data)] = data
        self.mark(offset, offset + len(data))

    def resize(self, size: int) -> None:
        if size < len(self.current):
            self.mark(size, len(self.current))
            del self.current[size:]
        else:
            self.current.extend(bytes(size - len(self.current)))

    def sync(self) -> None:
        _resize(self.synced, len(self.current))
        for sector in self.dirty:
            start = sector * SECTOR_BYTES
            self.synced[start:start + SECTOR_BYTES] = self.current[start:start + SECTOR_BYTES]
        self.dirty.clear()

    def drop_unsynced(self) -> None:
        """What Linux does when a sync fails: the pages count as clean, and the disk never gets them."""
        self.dirty.clear()

    def after_crash(self, mode: CrashMode, choose: random.Random) -> _Contents:
        copy = _Contents()
        if mode == "kept":
            copy.current, copy.synced, copy.dirty = bytearray(self.current), bytearray(self.synced), set(self.dirty)
            return copy
        copy.synced = bytearray(self.synced)
        if mode == "torn":
            short, long = sorted((len(self.synced), len(self.current)))
            size = choose.choice((len(self.synced), len(self.current), choose.randint(short, long)))
            _resize(copy.synced, size)
            for sector in sorted(self.dirty):
                start, end = sector * SECTOR_BYTES, min((sector + 1) * SECTOR_BYTES, size)
                if end > start and choose.random() < 0.5:
                    copy.synced[start:end] = self.current[start:end].ljust(end - start, b"\0")
        copy.current = bytearray(copy.synced)
        return copy


def _resize(data: bytearray, size: int) -> None:
    del data[size:]
    data.extend(bytes(size - len(data)))


class _Folder:
    """A folder's names: as programs see them, and as the disk has them."""

    def __init__(self) -> None:
        self.entries: dict[str, _Contents | _Folder] = {}
        self.synced: dict[str, _Contents | _Folder] = {}


# One change of names: in this folder, this name is now that (None: nothing). A rename has two of
# them, which are kept or lost together.
_Change = list[tuple[_Folder, str, "_Contents | _Folder | None"]]


def _apply(entries: dict[str, _Contents | _Folder], name: str, node: _Contents | _Folder | None) -> None:
    if node is None:
        entries.pop(name, None)
    else:
        entries[name] = node


class MemoryFileSystem:
    """A disk in memory, thread-safe, with the durability rules of this module's docstring.

    Paths are POSIX paths; relative ones start at the root, which always exists. Folders must be made
    before files in them, and a folder's own name is durable after sync_dir() of its parent.

    operations        how many changing operations took effect: open for CREATE, pwrite, sync, allocate,
                      truncate, rename, link, unlink, sync_dir, make_dir, lock
    before_operation  called with (operations so far, name of the operation, path) before each takes
                      effect; if it raises, the operation does not happen. It may call crash_image(), but
                      must not wait for other threads: it runs with the disk locked.
    capacity_bytes    None, or how many bytes all files may have together; beyond it, writes fill
                      what is left and raise ENOSPC, as a full disk does
    """

    def __init__(self, capacity_bytes: int | None = None) -> None:
        self.capacity_bytes = capacity_bytes
        self.operations = 0
        self.before_operation: Callable[[int, str, str], None] | None = None
        self._root = _Folder()
        self._unsynced: list[_Change] = []      # changes of names not yet durable, oldest first
        self._locks: set[str] = set()
        self._used_bytes = 0
        self._mutex = threading.RLock()         # guards everything; re-entered by before_operation

    # ---- crashes and damage

    def crash_image(self, mode: CrashMode, seed: int = 0) -> MemoryFileSystem:
        """A new, independent disk as it is found after a crash now. This one goes on unchanged.

        "lost"  the power fails and takes everything that was not synced
        "kept"  the process is killed: everything it wrote is there (and not more durable than before)
        "torn"  the power fails in the midst of writing back: of the unsynced changes of names a
                random number of first ones is there; of each file a random mix of old and new sectors.
                The same seed gives the same disk.
        """
        if mode not in ("lost", "kept", "torn"):
            raise ValueError(f"mode must be 'lost', 'kept' or 'torn', not {mode!r}")
        with self._mutex:
            choose = random.Random(seed)
            image = MemoryFileSystem(self.capacity_bytes)
            copies: dict[int, _Contents | _Folder] = {id(self._root): image._root}
            if mode == "kept":
                self._copy_kept(self._root, copies, choose)
                for change in self._unsynced:
                    image._unsynced.append([
                        (self._copy_folder(folder, copies, choose), name, self._copy_node(node, copies, choose))
                        for folder, name, node in change])
            else:
                views: dict[int, dict[str, _Contents | _Folder]] = {}
                kept = choose.randint(0, len(self._unsynced)) if mode == "torn" else 0
                for change in self._unsynced[:kept]:
                    for folder, name, node in change:
                        _apply(views.setdefault(id(folder), dict(folder.synced)), name, node)
                self._copy_disk(self._root, image._root, mode, views, copies, choose)
            image._recount()
            return image

    def flip_bit(self, path: str, offset: int, bit: int = 0) -> None:
        """Damages one bit of a file on the disk, behind the back of whoever uses it."""
        with self._mutex:
            contents = self._file(path)
            if not 0 <= offset < len(contents.current):
                raise _error(errno.EINVAL, path)
            contents.current[offset] ^= 1 << bit
            if offset < len(contents.synced):
                contents.synced[offset] ^= 1 << bit

    @property
    def used_bytes(self) -> int:
        """Bytes in all files that have a name or are open."""
        return self._used_bytes

    # ---- the protocol

    def open(self, path: str, mode: int) -> MemoryFile:
        """Opens with mode READ, CREATE or WRITE of phantomdb.core._ext.files."""
        if mode not in (READ, CREATE, WRITE):
            raise _error(errno.EINVAL, path)
        with self._mutex:
            folder, name = self._parent(path)
            node = folder.entries.get(name)
            if isinstance(node, _Folder):
                raise _error(errno.EISDIR, path)
            if mode == CREATE:
                self._begin("open", path)
                if node is None:
                    node = _Contents()
                    self._change([(folder, name, node)])
                else:
                    self._resize_file(node, 0)
            if node is None:
                raise _error(errno.ENOENT, path)
            node.handles += 1
            return MemoryFile(self, node, path, writable=mode != READ)

    def rename(self, source: str, target: str) -> None:
        """Renames a file or folder, replacing a file that had the name."""
        with self._mutex:
            node = self._node(source)
            source_folder, source_name = self._parent(source)
            target_folder, target_name = self._parent(target)
            replaced = target_folder.entries.get(target_name)
            if replaced is node:                 # two names of one file, or its own name: POSIX does nothing
                self._begin("rename", source)
                return
            if isinstance(replaced, _Folder):
                raise _error(errno.EISDIR, target)
            if isinstance(node, _Folder) and _parts(target)[:len(_parts(source))] == _parts(source):
                raise _error(errno.EINVAL, target)      # a folder cannot go into itself
            if isinstance(node, _Folder) and replaced is not None:
                raise _error(errno.ENOTDIR, target)
            self._begin("rename", source)
            self._change([(source_folder, source_name, None), (target_folder, target_name, node)])

    def link(self, source: str, target: str) -> None:
        """Gives a file a second name, which must be free."""
        with self._mutex:
            contents = self._file(source)
            folder, name = self._parent(target)
            if name in folder.entries:
                raise _error(errno.EEXIST, target)
            self._begin("link", source)
            self._change([(folder, name, contents)])

    def unlink(self, path: str) -> None:
        """Removes a file's name; who has it open can go on using it."""
        with self._mutex:
            self._file(path)
            self._begin("unlink", path)
            folder, name = self._parent(path)
            self._change([(folder, name, None)])

    def sync_dir(self, path: str) -> None:
        """Makes the names in a folder durable; those in other folders only where these depend on them."""
        with self._mutex:
            folder = self._folder(path)
            self._begin("sync_dir", path)
            # Backwards: a change comes along when it is in this folder, or when a later one that
            # comes along touches the same name elsewhere (a rename between folders).
            needed: set[tuple[int, str]] = set()
            chosen: list[_Change] = []
            left: list[_Change] = []
            for change in reversed(self._unsynced):
                places = {(id(where), name) for where, name, _ in change}
                if needed & places or any(where is folder for where, _, _ in change):
                    needed |= places
                    chosen.append(change)
                else:
                    left.append(change)
            self._unsynced = left[::-1]
            for change in reversed(chosen):
                for where, name, node in change:
                    _apply(where.synced, name, node)

    def list_dir(self, path: str) -> list[str]:
        """The names in a folder, sorted."""
        with self._mutex:
            return sorted(self._folder(path).entries)

    def make_dir(self, path: str) -> None:
        """Makes a folder; fine when it is there already."""
        with self._mutex:
            if not _parts(path):
                return
            folder, name = self._parent(path)
            node = folder.entries.get(name)
            if isinstance(node, _Contents):
                raise _error(errno.EEXIST, path)
            if node is None:
                self._begin("make_dir", path)
                self._change([(folder, name, _Folder())])

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of that name."""
        with self._mutex:
            try:
                self._node(path)
            except OSError:
                return False
            return True

    def lock(self, path: str) -> _MemoryLock:
        """Takes the lock, which dies with this object: crash images start without locks."""
        with self._mutex:
            folder, name = self._parent(path)
            key = "/".join(_parts(path))
            if key in self._locks:
                raise DatabaseLocked(f"this process (pid {os.getpid()}) has the database open already", path=path)
            self._begin("lock", path)
            if name not in folder.entries:
                self._change([(folder, name, _Contents())])
            self._locks.add(key)
            return _MemoryLock(self, key)

    # ---- inside; callers hold the mutex

    def _begin(self, operation: str, path: str) -> None:
        if self.before_operation is not None:
            self.before_operation(self.operations, operation, path)
        self.operations += 1

    def _node(self, path: str) -> _Contents | _Folder:
        node: _Contents | _Folder = self._root
        for part in _parts(path):
            if not isinstance(node, _Folder):
                raise _error(errno.ENOTDIR, path)
            if part not in node.entries:
                raise _error(errno.ENOENT, path)
            node = node.entries[part]
        return node

    def _file(self, path: str) -> _Contents:
        node = self._node(path)
        if isinstance(node, _Folder):
            raise _error(errno.EISDIR, path)
        return node

    def _folder(self, path: str) -> _Folder:
        node = self._node(path)
        if not isinstance(node, _Folder):
            raise _error(errno.ENOTDIR, path)
        return node

    def _parent(self, path: str) -> tuple[_Folder, str]:
        parts = _parts(path)
        if not parts:
            raise _error(errno.EISDIR, path)
        return self._folder("/".join(parts[:-1])), parts[-1]

    def _change(self, change: _Change) -> None:
        for _, _, node in change:
            if isinstance(node, _Contents):
                node.names += 1
        for folder, name, node in change:
            old = folder.entries.get(name)
            _apply(folder.entries, name, node)
            if isinstance(old, _Contents):
                old.names -= 1
                self._forget(old)
        self._unsynced.append(change)

    def _forget(self, contents: _Contents) -> None:
        if contents.names == 0 and contents.handles == 0:
            self._used_bytes -= len(contents.current)

    def _room(self, contents: _Contents, size: int) -> int:
        """How far the file may grow towards `size` bytes."""
        if self.capacity_bytes is None:
            return size
        return min(size, len(contents.current) + max(0, self.capacity_bytes - self._used_bytes))

    def _resize_file(self, contents: _Contents, size: int) -> None:
        self._used_bytes += size - len(contents.current)
        contents.resize(size)

    def _write(self, contents: _Contents, data: bytes, offset: int, path: str) -> None:
        old_size = len(contents.current)
        end = max(old_size, offset + len(data))
        room = self._room(contents, end) if end > old_size else end
        fitting = data if room == end else data[:max(0, room - offset)]
        if fitting:
            contents.write(fitting, offset)
            self._used_bytes += len(contents.current) - old_size
        if len(fitting) < len(data):
            raise _error(errno.ENOSPC, path)

    def _recount(self) -> None:
        files: dict[int, _Contents] = {}
        for contents in _walk(self._root):
            if id(contents) not in files:
                contents.names = 0
                files[id(contents)] = contents
            contents.names += 1
        self._used_bytes = sum(len(contents.current) for contents in files.values())

    def _copy_node(self, node: _Contents | _Folder | None, copies: dict[int, _Contents | _Folder],
                   choose: random.Random) -> _Contents | _Folder | None:
        if isinstance(node, _Folder):
            return self._copy_folder(node, copies, choose)
        if node is not None and id(node) not in copies:
            copies[id(node)] = node.after_crash("kept", choose)
        return None if node is None else copies[id(node)]

    def _copy_folder(self, folder: _Folder, copies: dict[int, _Contents | _Folder], choose: random.Random) -> _Folder:
        if id(folder) not in copies:
            copies[id(folder)] = _Folder()
            self._copy_kept(folder, copies, choose)
        copy = copies[id(folder)]
        assert isinstance(copy, _Folder)
        return copy

    def _copy_kept(self, folder: _Folder, copies: dict[int, _Contents | _Folder], choose: random.Random) -> None:
        """Copies both views of a folder: what programs see and what the disk has."""
        copy = copies[id(folder)]
        assert isinstance(copy, _Folder)
        for source, target in ((folder.entries, copy.entries), (folder.synced, copy.synced)):
            for name, node in source.items():
                _apply(target, name, self._copy_node(node, copies, choose))

    def _copy_disk(self, folder: _Folder, target: _Folder, mode: CrashMode,
                   views: dict[int, dict[str, _Contents | _Folder]], copies: dict[int, _Contents | _Folder],
                   choose: random.Random) -> None:
        """Copies what the disk has of a folder, `views` being what it has where that is not `synced`."""
        for name, node in sorted(views.get(id(folder), folder.synced).items()):
            if isinstance(node, _Folder):
                copy: _Contents | _Folder = _Folder()
                assert isinstance(copy, _Folder)
                self._copy_disk(node, copy, mode, views, copies, choose)
            else:
                if id(node) not in copies:
                    copies[id(node)] = node.after_crash(mode, choose)
                copy = copies[id(node)]
            target.entries[name] = copy
            target.synced[name] = copy


def _parts(path: str) -> list[str]:
    return [part for part in posixpath.normpath("/" + os.fspath(path)).split("/") if part]


def _walk(folder: _Folder) -> Iterator[_Contents]:
    for node in folder.entries.values():
        if isinstance(node, _Folder):
            yield from _walk(node)
        else:
            yield node


class _MemoryLock:
    def __init__(self, file_system: MemoryFileSystem, key: str) -> None:
        self._file_system = file_system
        self._key: str | None = key

    def release(self) -> None:
        """Lets others in; again is allowed."""
        with self._file_system._mutex:
            if self._key is not None:
                self._file_system._locks.discard(self._key)
                self._key = None


class MemoryFile:
    """An open file of a MemoryFileSystem."""

    def __init__(self, file_system: MemoryFileSystem, contents: _Contents, path: str, writable: bool) -> None:
        self._file_system = file_system
        self._contents: _Contents | None = contents
        self._path = path
        self._writable = writable
        self._mutex = file_system._mutex

    def _open(self, write: bool = False) -> _Contents:
        if self._contents is None or (write and not self._writable):
            raise _error(errno.EBADF, self._path)
        return self._contents

    def pread(self, size: int, offset: int) -> bytes:
        with self._mutex:
            return bytes(self._open().current[offset:offset + size])

    def pwrite(self, data: bytes, offset: int) -> None:
        with self._mutex:
            contents = self._open(write=True)
            self._file_system._begin("pwrite", self._path)
            self._file_system._write(contents, data, offset, self._path)

    def sync(self) -> None:
        with self._mutex:
            contents = self._open()
            self._file_system._begin("sync", self._path)
            contents.sync()

    def allocate(self, size: int, zeros: bool = False) -> None:
        with self._mutex:
            contents = self._open(write=True)
            self._file_system._begin("allocate", self._path)
            if size > len(contents.current):
                if self._file_system._room(contents, size) < size:
                    raise _error(errno.ENOSPC, self._path)
                self._file_system._resize_file(contents, size)

    def truncate(self, size: int) -> None:
        with self._mutex:
            contents = self._open(write=True)
            self._file_system._begin("truncate", self._path)
            if size > len(contents.current) and self._file_system._room(contents, size) < size:
                raise _error(errno.ENOSPC, self._path)
            self._file_system._resize_file(contents, size)

    def size(self) -> int:
        with self._mutex:
            return len(self._open().current)

    def drop_unsynced(self) -> None:
        """For FaultyFileSystem: what was not synced will never reach the disk, though it can be read."""
        with self._mutex:
            self._open().drop_unsynced()

    def close(self) -> None:
        with self._mutex:
            if self._contents is not None:
                self._contents.handles -= 1
                self._file_system._forget(self._contents)
                self._contents = None
