"""verify: reads every byte of a database and checks that all of it agrees.

    FORMAT, CURRENT --> MANIFEST --> tree: levels disjoint, counters in bounds
                                      |
            +-------------------------+------------------------+
            v                         v                        v
      value files: every       tables: every byte (see    log: replayed as at open,
      record's checksum        table_file.pyx), and what  but into nothing
            ^                  the tree says of them           |
            +---- pointers ----------+-------------------------+
                  each must lead to a whole record of its key

What a crash may leave is no damage: a torn end of manifest or log, torn records of a value file (unless a pointer
leads there), and files that nothing refers to. They are read as opening the database would read them.
"""
from __future__ import annotations

import os
import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from phantomdb.core._ext import background as doors
from phantomdb.core._ext.files import FileSystem
from phantomdb.core._ext.hashing import crc32c_of
from phantomdb.core._ext.log_salvage import check_records, replay_log
from phantomdb.core._ext.table_file import TableFile
from phantomdb.core._ext.value_file import ValueFile, unpack_pointer
from phantomdb.core.errors import CorruptionError, FileMissing, NewerFormat, PhantomError, StorageError
from phantomdb.core.manifest import CURRENT, LOCK, Manifest, check_format, database_exists, table_name, values_name
from phantomdb.core.tree import TableMeta, Tree

if TYPE_CHECKING:
    from phantomdb.core.filesystems import FileSystemLike
    from phantomdb.core.store import LocalStore

KIND_PUT, KIND_DELETE, KIND_POINTER, KIND_RANGE_DELETE = range(4)        # of block.pxd

Progress = Callable[[str, int, int], None]       # file, bytes done, bytes in all
Operation = tuple[int, int, bytes, bytes]        # kind, slot, internal key, value (of a range delete: its stop)


def operations_of(payload: bytes) -> Iterator[Operation]:
    """The writes in a log record's payload; see batch.pxd. A payload the checksum vouches for is whole."""
    position = 0
    while position < len(payload):
        kind, slot = payload[position], int.from_bytes(payload[position + 1:position + 3], "little")
        key_size, start = varint(payload, position + 3)
        value_size, middle = varint(payload, start + key_size)
        position = middle + value_size
        yield kind, slot, payload[start:start + key_size], payload[middle:position]


def varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at `position`, and where it ends."""
    value = shift = 0
    while True:
        value |= (data[position] & 127) << shift
        position, shift = position + 1, shift + 7
        if data[position - 1] < 128:
            return value, position


class ValueRecords:
    """The whole records of a value file: where each begins, and a checksum of its key and size."""

    def __init__(self) -> None:
        self.offsets = array("Q")                # ascending
        self.marks = array("I")

    def add(self, offset: int, key: bytes, value_bytes: int) -> None:
        self.offsets.append(offset)
        self.marks.append(_mark(key, value_bytes))

    def has(self, offset: int, key: bytes, value_bytes: int) -> bool:
        index = bisect_left(self.offsets, offset)
        return (index < len(self.offsets) and self.offsets[index] == offset
                and self.marks[index] == _mark(key, value_bytes))


def _mark(key: bytes, value_bytes: int) -> int:
    return crc32c_of(key, crc32c_of(struct.pack("<Q", value_bytes)))


class Verification:
    """One run over the files of a database. Damage is raised, or added to `problems` if that is a list."""

    def __init__(self, files: FileSystem, directory: str, progress: Progress | None = None,
                 problems: list[PhantomError] | None = None) -> None:
        self.files, self.directory = files, directory
        self.counts = dict.fromkeys(
            ("files", "tables", "blocks", "entries", "value_files", "value_records", "log_records", "bytes"), 0)
        self.total_bytes = 0
        self._progress, self._problems = progress, problems
        self.records: dict[int, ValueRecords] = {}       # of the value files read so far, by number
        # Value files with a damaged header, and the number of a copy with a right one that is read in their place.
        self.stand_ins: dict[int, int] = {}
        self.bad_tables: dict[int, PhantomError] = {}

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def problem(self, error: PhantomError) -> None:
        if self._problems is None:
            raise error
        self._problems.append(error)

    def expect(self, name: str, size: int | None = None) -> None:
        """Counts a file's bytes among those to be read."""
        if self.files.exists(self.path(name)):
            self.total_bytes += self.files.size(self.path(name)) if size is None else size

    def done(self, name: str, size: int | None = None) -> None:
        size = self.files.size(self.path(name)) if size is None else size
        self.counts["files"] += 1
        self.counts["bytes"] += size
        if self._progress is not None:
            self._progress(name, self.counts["bytes"], max(self.total_bytes, self.counts["bytes"]))

    def guarded(self, name: str, check: Callable[[], None]) -> PhantomError | None:
        """Runs the check of one file and returns what it found, if that is not raised."""
        found: PhantomError
        try:
            check()
            self.done(name)
            return None
        except NewerFormat:
            raise
        except FileMissing:
            found = CorruptionError("a file of the database is not there", path=self.path(name))
        except (CorruptionError, StorageError) as error:
            found = error
        self.problem(found)
        return found

    # ---------------------------------------------------------------- values

    def records_of(self, number: int) -> ValueRecords:
        """The records of a value file, which is read and checked now if it was not before."""
        if number not in self.records:
            self.records[number] = records = ValueRecords()
            self.guarded(values_name(number), lambda: self._read_values(number, records))
        return self.records[number]

    def _read_values(self, number: int, records: ValueRecords) -> None:
        number = self.stand_ins.get(number, number)
        path = self.path(values_name(number))
        file = ValueFile(self.files, path)
        try:
            self.counts["value_files"] += 1
            if file.torn_offset is None and file.number != number:
                raise CorruptionError("the file's header tells another number than its name", path=path, offset=16)
            for offset, key, value_bytes, is_right in file.records():
                if is_right and key is not None:         # other damage, as a crash may leave, matters to pointers only
                    records.add(offset, key, value_bytes)
            self.counts["value_records"] += len(records.offsets)
        finally:
            file.close()

    def has_value(self, key: bytes, pointer: bytes) -> bool:
        number, offset, value_bytes, key_bytes, _ = unpack_pointer(pointer)
        return key_bytes == len(key) and self.records_of(number).has(offset, key, value_bytes)

    # ---------------------------------------------------------------- tables

    def check_table(self, meta: TableMeta) -> None:
        problem = self.guarded(table_name(meta.number), lambda: self._read_table(meta))
        if problem is not None:
            self.bad_tables[meta.number] = problem

    def _read_table(self, meta: TableMeta) -> None:
        path = self.path(table_name(meta.number))
        if (size := self.files.size(path)) != meta.file_size:
            raise CorruptionError(f"the table has {size} bytes, and the manifest counts {meta.file_size}", path=path,
                                  offset=min(size, meta.file_size))
        file = TableFile(self.files, path)
        file.verify()
        found = file.properties
        for name in ("entry_count", "key_count", "delete_count", "tombstone_count", "raw_bytes", "smallest"):
            if found[name] != getattr(meta, name):
                raise CorruptionError(f"{name} is {found[name]!r}, and {getattr(meta, name)!r} in the manifest",
                                      path=path)
        # where a range delete was cut the manifest has the last key before the cut
        if found["largest"] < meta.largest or (found["largest"] != meta.largest and not meta.tombstone_count):
            raise CorruptionError("the manifest has another largest key", path=path)
        if (found["min_ts"] + meta.base_ts, found["max_ts"] + meta.base_ts) != (meta.min_ts, meta.max_ts):
            raise CorruptionError("the manifest has other timestamps", path=path)
        if found["value_files"] != dict(meta.value_files):
            raise CorruptionError("the manifest has other value files", path=path)
        if meta.value_files:
            for key, _, kind, value in file:
                if kind == KIND_POINTER and not self.has_value(key, value):
                    number, offset = unpack_pointer(value)[:2]
                    raise CorruptionError(f"the value of key {key[1:41]!r} is not whole (table {meta.number} needs it)",
                                          path=self.path(values_name(number)), offset=offset)
        self.counts["tables"] += 1
        self.counts["blocks"] += file.block_count
        self.counts["entries"] += meta.entry_count

    # ---------------------------------------------------------------- the whole

    def check_tree(self, tree: Tree, *, between: Callable[[], None] = lambda: None) -> None:
        """Value files and tables; `between` is called between two files and may raise."""
        alive = [file.number for file in tree.value_files if file.garbage_bytes < file.total_bytes]
        for number in alive:
            self.expect(values_name(number))
        for table in tree.tables():
            self.expect(table_name(table.number))
        for number in alive:
            between()
            self.records_of(number)
        for table in tree.tables():
            between()
            self.check_table(table)

    def check_names(self) -> Manifest | None:
        """FORMAT, CURRENT and the manifest; None when the tree cannot be known."""
        manifest: list[Manifest] = []
        self.guarded("FORMAT", lambda: check_format(self.files, self.directory))
        if self.guarded(CURRENT, lambda: manifest.append(Manifest.read(self.files, self.directory))) is None:
            self.done(manifest[0].name)
            return manifest[0]
        return None

    def check_log(self, tree: Tree) -> bool:
        """The log of a database that is not open; whether it is as opening needs it."""
        partitions = len(tree.partitions)

        def is_lost(_segment: int, ts: int, payload: bytes) -> bool:
            self.counts["log_records"] += 1
            return any(kind == KIND_POINTER and ts > tree.flushed_ts[slot * partitions >> 16]
                       and not self.has_value(key, value)
                       for kind, slot, key, value in operations_of(payload))

        try:
            replay_log(self.files, self.directory, tree.first_log_segment, is_lost)
        except (CorruptionError, StorageError) as error:
            self.problem(error)
            return False
        for name in self.files.list_dir(self.directory):
            if name.endswith(".log"):
                self.done(name)
        return True


def require_database(files: FileSystem, directory: str) -> None:
    """FileMissing unless at least a part of a database is in the folder."""
    if not files.exists(directory) or not any(
            name in ("FORMAT", CURRENT) or name.startswith("MANIFEST-") or name.endswith((".table", ".values"))
            for name in files.list_dir(directory)):
        raise FileMissing("there is no database", path=directory)


def verify(directory: str | os.PathLike[str], progress: Progress | None = None,
           file_system: FileSystemLike | FileSystem | None = None, *,
           problems: list[PhantomError] | None = None) -> dict[str, int]:
    """Reads and checks every byte of a database that is not open; what it read, in numbers. The first damage is
    raised as a CorruptionError; with a list for `problems` all of it is added there instead."""
    from phantomdb.core.store import as_file_system
    files, directory = as_file_system(file_system), os.path.abspath(os.fspath(directory))
    require_database(files, directory)
    lock = files.lock(os.path.join(directory, LOCK))
    try:
        run = Verification(files, directory, progress, problems)
        for name in files.list_dir(directory):
            if name.endswith(".log"):
                run.expect(name)
        if not database_exists(files, directory):
            run.problem(CorruptionError("CURRENT is not there; see `phantomdb repair`",
                                        path=os.path.join(directory, CURRENT)))
        elif (manifest := run.check_names()) is not None:
            run.check_tree(manifest.tree)
            run.check_log(manifest.tree)
        return run.counts
    finally:
        lock.release()


def verify_store(store: LocalStore, progress: Progress | None = None, *,
                 problems: list[PhantomError] | None = None) -> dict[str, int]:
    """The same for a database that is open; commits and reads go on meanwhile."""
    with store.use(), store.pinned() as tree:
        run = Verification(store.file_system, store.directory, progress, problems)
        with store.mutex:                        # the manifest does not grow, no log segment goes
            manifest = run.check_names()
            if manifest is not None and set(manifest.tree.tables()) != set(store.tree.tables()):
                run.problem(CorruptionError("the manifest names other tables than are in use",
                                            path=store.path(manifest.name)))
            oldest, _ = doors.oldest_log_segment(store.engine)
            try:
                run.counts["log_records"], size = check_records(
                    store.file_system, store.directory, oldest, doors.figures(store.engine)["log_end_lsn"])
                run.done(f"{oldest:012d}.log", size)
            except (CorruptionError, StorageError) as error:
                run.problem(error)
        run.check_tree(tree, between=store.check_usable)
        return run.counts
