"""repair(): makes a database that does not open one that does, with all that can still be read.

    look      everything is verified, as verify() does; nothing is changed
    save      damaged files get a second name in lost/
    write     damaged tables anew, from their whole blocks; a log that cannot be replayed as tables
    switch    a new manifest names the result, by one rename of CURRENT
    tidy      the damaged files' first names go

A crash before the switch leaves the database as it was, and after it the repaired one. Repairing again is safe.

What the manifest knows and nobody else: which tables count (a file may be left of a table that compaction has
replaced), when an ingest was, and which part of the log is in tables already. As long as it can be read, all else
follows from it. Without it every table file is taken, and all are merged into one run per partition, dropping nothing,
with the log on top. Then pairs that had been deleted may be back, if a file was left that held them, and ingested
pairs count as the oldest.
"""
from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from phantomdb.core._ext.compaction import write_tables
from phantomdb.core._ext.files import WRITE, FileSystem
from phantomdb.core._ext.hashing import slot_of
from phantomdb.core._ext.log_salvage import salvage_segment
from phantomdb.core._ext.table import TableCacheHandle, TableHandle
from phantomdb.core._ext.table_file import TableFile
from phantomdb.core._ext.table_writer import write_table
from phantomdb.core._ext.value_file import ValueFile, unpack_pointer, value_file_header
from phantomdb.core.checkpoint import copy_file, link_or_copy
from phantomdb.core.errors import CorruptionError, NewerFormat, PhantomError, StorageError
from phantomdb.core.manifest import (CURRENT, FORMAT, LOCK, MANIFEST_NAME, Manifest, check_format, salvage_records,
                                     table_name, values_name, write_format)
from phantomdb.core.options import Options
from phantomdb.core.salvage import DamagedTable, Entry, FileReport, Loss, RepairReport, Tombstone
from phantomdb.core.tree import Edit, TableMeta, Tree, ValueFileMeta, table_meta, table_properties
from phantomdb.core.verification import (KIND_DELETE, KIND_POINTER, KIND_RANGE_DELETE, Progress, Verification,
                                         operations_of, require_database)

if TYPE_CHECKING:
    from phantomdb.core.filesystems import FileSystemLike

LOST = "lost"
LARGE_TABLE_BYTES = 256 << 20                    # from here on larger blocks, as a table can number only so many
PREFIX_BYTES = 1                                 # of an internal key, before what slots are made of


def repair(directory: str | os.PathLike[str], progress: Progress | None = None,
           file_system: FileSystemLike | FileSystem | None = None) -> RepairReport:
    """Salvages what can be salvaged of a database that is not open, in place; damaged files move to the folder lost/.
    What is lost stands in the report. DatabaseLocked when somebody has it open."""
    from phantomdb.core.store import as_file_system
    files, directory = as_file_system(file_system), os.path.abspath(os.fspath(directory))
    require_database(files, directory)
    lock = files.lock(os.path.join(directory, LOCK))
    try:
        return _Repair(files, directory, progress).run()
    finally:
        lock.release()


@dataclass
class _Known:
    """What all readable manifests say together, when none says everything."""

    database_id: str | None = None
    partitions: int | None = None
    level_count: int = Options().level_count
    tables: dict[int, TableMeta] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)
    flushed_ts: dict[int, int] = field(default_factory=dict)
    last_ts: int = 0
    next_file_number: int = 1
    first_log_segment: int = 0

    def add(self, edit: Edit) -> None:
        self.removed |= set(edit.removed)
        for table in edit.added:
            self.tables[table.number] = table
            self.removed.discard(table.number)
        for partition, ts in edit.flushed:
            self.flushed_ts[partition] = max(self.flushed_ts.get(partition, 0), ts)
        self.last_ts = max([self.last_ts, edit.last_ts or 0, *(ts for _, ts in edit.flushed)])
        self.next_file_number = max(self.next_file_number, edit.next_file_number or 0)
        self.first_log_segment = max(self.first_log_segment, edit.first_log_segment or 0)


class _Repair:
    def __init__(self, files: FileSystem, directory: str, progress: Progress | None) -> None:
        self.files, self.directory = files, directory
        self.problems: list[PhantomError] = []
        self.check = Verification(files, directory, progress, self.problems)
        self.report = RepairReport(directory)
        self.names = files.list_dir(directory)
        self.next_number = 1 + max((int(name.split(".")[0]) for name in self.names
                                    if name.endswith((".table", ".values")) and name[:12].isdecimal()), default=0)
        self.moves: list[tuple[str, FileReport | None]] = []     # files that go to lost/
        self.kept = {FORMAT, CURRENT}                            # those of them that are needed here as well

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def take_number(self) -> int:
        self.next_number += 1
        return self.next_number - 1

    def damaged(self, name: str, problem: str, *, moves: bool = True) -> FileReport:
        """Notes a damaged file; `moves`: it goes to lost/ if it is there."""
        found = FileReport(name, problem)
        self.report.files.append(found)
        if moves and name in self.names:
            self.moves.append((name, found))
        return found

    # ---------------------------------------------------------------- the course of it

    def run(self) -> RepairReport:
        has_format = self._has_format()
        manifest, known = self._find_manifest()
        self.next_number = max(self.next_number, known.next_file_number if manifest is None
                               else manifest.tree.next_file_number)
        self._stand_in_for_headers()
        tree = self._rebuild(known) if manifest is None else self._mend(manifest.tree)
        database_id = known.database_id if manifest is None else manifest.database_id
        if self.report.is_clean:
            return self.report
        self._save()
        if not has_format:
            write_format(self.files, self.directory)
        self.files.sync_dir(self.directory)
        tree = replace(tree, next_file_number=max(tree.next_file_number, self.next_number))
        current = Manifest.begin(self.files, self.directory, tree, database_id)
        current.close()
        self._tidy(current.name)
        return self.report

    def _has_format(self) -> bool:
        try:
            check_format(self.files, self.directory)
            return True
        except NewerFormat:
            raise
        except (CorruptionError, StorageError) as error:
            self.damaged(FORMAT, str(error))
            return False

    def _find_manifest(self) -> tuple[Manifest | None, _Known]:
        """The manifest in force if that can be read, else what can be known."""
        known = _Known()
        manifests = sorted((name for name in self.names if MANIFEST_NAME.fullmatch(name)),
                           key=lambda name: int(name.rpartition("-")[2]), reverse=True)
        named: str | None = None
        try:
            manifest = Manifest.read(self.files, self.directory)
            if not manifest.lost_its_end or self._has_all_files(manifest.tree):
                return manifest, known
            named = manifest.name
            self.damaged(named, "its last record is damaged, and files that it named before are gone")
        except NewerFormat:
            raise
        except (CorruptionError, StorageError) as error:
            named = os.path.basename(error.path or "")
            self.damaged(named, str(error))
            if named == CURRENT or CURRENT not in self.names:    # any other manifest but the newest is out of date
                for name in manifests:
                    try:
                        found = Manifest.read_file(self.files, self.directory, name)
                    except (CorruptionError, StorageError):
                        continue
                    self.report.notes.append(f"{CURRENT} could not be read; the newest readable manifest, {name}, "
                                             "was taken")
                    return found, known
        for name in reversed(manifests):
            for record in salvage_records(self.files.read_file(self.path(name))):
                if "snapshot" in record:
                    known.database_id, known.partitions, known.level_count, edit = record["snapshot"]
                else:
                    edit = record["edit"]
                known.add(edit)
        self.report.manifest = "lost" if known.partitions is None else "salvaged"
        self.report.notes.append(
            "The manifest could not be read, so every table file was taken: pairs that had been deleted may be back. "
            "The files they came from are in lost/.")
        if known.partitions is None:
            self.report.notes.append("It is not known how many partitions there were; now there is one. Pairs added by "
                                     "ingest() count as the oldest.")
        return None, known

    def _has_all_files(self, tree: Tree) -> bool:
        return all(table_name(table.number) in self.names for table in tree.tables())

    # ---------------------------------------------------------------- with the manifest

    def _mend(self, tree: Tree) -> Tree:
        """The tree with damaged tables replaced."""
        self.check.check_tree(tree)
        added: list[TableMeta] = []
        removed: list[int] = []
        for table in tree.tables():
            name, problem = table_name(table.number), self.check.bad_tables.get(table.number)
            if problem is None and not any(number in self.check.stand_ins for number, _ in table.value_files):
                continue
            removed.append(table.number)
            found = self._table_report(name, problem)
            if (made := self._rewrite(name, found, table)) is not None:
                added.append(replace(made, largest=min(made.largest, table.largest)))
        from_log = self._mend_log(tree)
        for error in self.problems:              # what nothing in use depended on
            name = os.path.basename(error.path or "")
            if not any(file.name == name for file in self.report.files):
                self.damaged(name, str(error), moves=False)
        tree = self._without(tree, removed, [*added, *(from_log or ())])
        return tree if from_log is None else replace(tree, first_log_segment=self._next_segment())

    def _table_report(self, name: str, problem: PhantomError | None) -> FileReport:
        """A damaged table's entry in the report; none for a whole one that is only written anew."""
        if problem is None or os.path.basename(problem.path or "").endswith(".values"):
            return FileReport(name, "")
        return self.damaged(name, str(problem))

    def _without(self, tree: Tree, removed: list[int], added: list[TableMeta]) -> Tree:
        changed = tree.apply(Edit(removed=tuple(removed), added=tuple(added)))
        referenced: dict[int, int] = {}
        for table in changed.tables():
            for number, count in table.value_files:
                referenced[number] = referenced.get(number, 0) + count
        old = {file.number: file.total_bytes for file in tree.value_files}
        value_files = []
        for number, count in sorted(referenced.items()):
            total = max(old.get(number, 0), count)
            value_files.append(ValueFileMeta(number, total, total - count))
        return replace(changed, value_files=tuple(value_files))

    # ---------------------------------------------------------------- without it

    def _rebuild(self, known: _Known) -> Tree:
        """One run of tables per partition out of all table files and the log."""
        partitions = known.partitions or 1
        cache = TableCacheHandle.create(self.files)
        sources: list[list[list[TableHandle]]] = [[] for _ in range(partitions)]
        flushed_ts = [known.flushed_ts.get(partition, 0) for partition in range(partitions)]
        temporary: list[str] = []
        last_ts = known.last_ts
        for name in sorted((name for name in self.names if name.endswith(".table")), reverse=True):
            number = int(name[:12])
            if number in known.removed:
                continue
            meta = self._table_of(name, known.tables.get(number))
            if meta is None:
                continue
            if meta.number != number:
                temporary.append(table_name(meta.number))
            elif not any(file.name == name for file in self.report.files):
                self.moves.append((name, None))
            last_ts = max(last_ts, meta.max_ts)
            handle = TableHandle.create(cache, self.path(table_name(meta.number)), table_properties(meta))
            for partition in range(partitions) if not meta.entry_count else (self._partition_of(meta, partitions),):
                sources[partition].append([handle])
                flushed_ts[partition] = max(flushed_ts[partition], meta.max_ts)
        tree = replace(Tree.empty(partitions, known.level_count), flushed_ts=tuple(flushed_ts),
                       first_log_segment=known.first_log_segment)
        for meta in self._tables_from_log(tree):
            temporary.append(table_name(meta.number))
            last_ts = max(last_ts, meta.max_ts)
            sources[meta.partition].insert(0, [TableHandle.create(cache, self.path(table_name(meta.number)),
                                                                  table_properties(meta))])
        added = []
        for partition, runs in enumerate(sources):
            made = write_tables(self.files, self.directory, runs, next_number=self.take_number,
                                target_bytes=Options().table_bytes, snapshots=[], horizon=0)
            added += [table_meta(table, partition, known.level_count - 1) for table in made.tables]
        for name in temporary:
            self.files.unlink(self.path(name))
        tree = tree.apply(Edit(last_ts=last_ts, gc_floor_ts=last_ts))
        return replace(self._without(tree, [], added), first_log_segment=self._next_segment())

    def _table_of(self, name: str, known: TableMeta | None) -> TableMeta | None:
        """The table as it is or, if it is damaged, what could be written anew; None when that is nothing."""
        path, base_ts = self.path(name), 0 if known is None else known.base_ts
        try:
            file = TableFile(self.files, path)
            file.verify()
            made = table_meta({**file.properties, "number": int(name[:12])}, 0, 0)
            meta: TableMeta | None
            meta = replace(made, min_ts=made.min_ts + base_ts, max_ts=made.max_ts + base_ts, base_ts=base_ts)
            if not meta.value_files or all(
                    self.check.has_value(key, value) and unpack_pointer(value)[0] not in self.check.stand_ins
                    for key, _, kind, value in file if kind == KIND_POINTER):
                return meta
            found = FileReport(name, "")
        except (CorruptionError, StorageError) as error:
            meta, found = known, self.damaged(name, str(error))
        return self._rewrite(name, found, meta, base_ts)

    def _partition_of(self, meta: TableMeta, partitions: int) -> int:
        if partitions == 1:
            return 0
        key = next(iter(TableFile(self.files, self.path(table_name(meta.number)))))[0]
        return slot_of(key[PREFIX_BYTES:]) * partitions >> 16

    # ---------------------------------------------------------------- tables and values

    def _rewrite(self, name: str, found: FileReport, meta: TableMeta | None, base_ts: int = 0) -> TableMeta | None:
        """A new table with what is whole in a damaged one; None when that is nothing."""
        entries_before = None if meta is None else meta.entry_count
        if name not in self.names:
            found.entries_lost = entries_before
            found.losses.append(Loss(0, 0) if meta is None else
                                Loss(0, meta.file_size, meta.smallest, meta.largest))
            return None
        table = DamagedTable(self.files, self.path(name))
        base_ts = base_ts if meta is None else meta.base_ts
        if not table.has_all_tombstones and (meta is None or meta.tombstone_count):
            self.report.notes.append(f"{name}: its range deletes are lost; what they had deleted may be back.")
        made = self._write(self._whole(table.entries()), table.tombstones, self.files.size(self.path(name)))
        found.losses += table.losses
        found.entries_kept = 0 if made is None else made.entry_count
        found.entries_lost = None if entries_before is None else entries_before - found.entries_kept
        if made is None:
            return None
        if meta is not None:
            made = replace(made, partition=meta.partition, level=meta.level)
        return replace(made, base_ts=base_ts, min_ts=made.min_ts + base_ts, max_ts=made.max_ts + base_ts)

    def _write(self, entries: Iterator[Entry], tombstones: list[Tombstone], size: int) -> TableMeta | None:
        number = self.take_number()
        path = self.path(table_name(number))
        made = write_table(self.files, path, entries, tombstones, 4096 if size < LARGE_TABLE_BYTES else 32768)
        if not made["entry_count"] and not tombstones:
            self.files.unlink(path)
            return None
        return table_meta({**made, "number": number}, 0, 0)

    def _whole(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """The entries whose values are there."""
        for key, ts, kind, value in entries:
            if kind == KIND_POINTER:
                number, offset, value_bytes, key_bytes, crc = unpack_pointer(value)
                if not self.check.has_value(key, value):
                    self._report_value(number, Loss(offset, value_bytes, key, key))
                    continue
                if number in self.check.stand_ins:
                    value = struct.pack("<QQQII", self.check.stand_ins[number], offset, value_bytes, key_bytes, crc)
            yield key, ts, kind, value

    def _report_value(self, number: int, loss: Loss) -> None:
        """The damaged file gets a name in lost/, but also stays where it is: its other values are needed."""
        name = values_name(number)
        found = next((file for file in self.report.files if file.name == name), None)
        if found is None:
            found = self.damaged(name, "values are damaged" if name in self.names else "it is not there")
            self.kept.add(name)
        found.losses.append(loss)
        found.entries_lost = (found.entries_lost or 0) + 1

    def _stand_in_for_headers(self) -> None:
        """Copies of value files whose header is damaged, with a right one: it tells nothing but the file's number."""
        for name in self.names:
            if not name.endswith(".values") or not name[:12].isdecimal():
                continue
            try:
                if ValueFile(self.files, self.path(name)).number in (int(name[:12]), 0):
                    continue
                self.damaged(name, "its header tells another number than its name")
            except CorruptionError as error:
                self.damaged(name, str(error))
            number = self.take_number()
            path = self.path(values_name(number))
            copy_file(self.files, self.path(name), path)
            with self.files.open(path, WRITE) as file:
                file.pwrite(value_file_header(number), 0)
                file.sync()
            self.check.stand_ins[int(name[:12])] = number

    # ---------------------------------------------------------------- the log

    def _mend_log(self, tree: Tree) -> list[TableMeta] | None:
        """Tables with what is in the log, if opening could not replay it as it is; None: it could."""
        before = len(self.problems)
        is_right = self.check.check_log(tree)
        if is_right and not self._log_points_to_stand_ins(tree):
            return None
        if not is_right:
            self._report_log(self.problems[before])
        return list(self._tables_from_log(tree))

    def _report_log(self, error: PhantomError) -> None:
        name = os.path.basename(error.path or "the log")
        self.damaged(name, str(error), moves=False)

    def _next_segment(self) -> int:
        """Where a log begins that has nothing to do with the segments there are."""
        return 1 + max((int(name[:12]) for name in self.names if name.endswith(".log")), default=0)

    def _segments(self, tree: Tree) -> list[int]:
        numbers = sorted(int(name[:12]) for name in self.names
                         if name.endswith(".log") and int(name[:12]) >= tree.first_log_segment)
        if numbers and tree.first_log_segment == 0:      # those before a gap are old files kept for reuse
            last, count = numbers[-1], len(numbers)
            numbers = [number for place, number in enumerate(numbers, 1) if last - number == count - place]
        return numbers

    def _log_points_to_stand_ins(self, tree: Tree) -> bool:
        return bool(self.check.stand_ins) and any(
            kind == KIND_POINTER and unpack_pointer(value)[0] in self.check.stand_ins
            for number in self._segments(tree)
            for _, _, payload in salvage_segment(self.files, self.directory, number)[0]
            for kind, _, _, value in operations_of(payload))

    def _tables_from_log(self, tree: Tree) -> Iterator[TableMeta]:
        """The log's writes that are not in tables yet, as one table of level 0 for each partition."""
        count = len(tree.partitions)
        entries: list[dict[tuple[bytes, int], tuple[int, int, int, bytes]]] = [{} for _ in range(count)]
        tombstones: list[list[Tombstone]] = [[] for _ in range(count)]
        for number in self._segments(tree):
            records, damage = salvage_segment(self.files, self.directory, number)
            name = f"{number:012d}.log"
            found = next((file for file in self.report.files if file.name == name), None)
            if damage and found is None:
                found = self.damaged(name, "records are damaged", moves=False)
            if found is not None:
                found.losses += [Loss(offset, size) for offset, size in damage]
                found.entries_kept = sum(1 for _, _, payload in records for _ in operations_of(payload))
            self.moves.append((name, found))
            for _, ts, payload in records:
                for place, (kind, slot, key, value) in enumerate(operations_of(payload)):
                    if kind == KIND_RANGE_DELETE:
                        for partition in range(count):
                            if ts > tree.flushed_ts[partition]:
                                tombstones[partition].append((key, value, ts))
                    elif ts > tree.flushed_ts[partition := slot * count >> 16]:
                        entries[partition][key, -ts] = (ts, place, kind, value)      # the last write of a batch counts
        for partition in range(count):
            if not entries[partition] and not tombstones[partition]:
                continue
            ordered = ((key, ts, kind, b"" if kind == KIND_DELETE else value)
                       for (key, _), (ts, _, kind, value) in sorted(entries[partition].items()))
            made = self._write(self._whole(ordered), tombstones[partition], 0)
            if made is not None:
                yield replace(made, partition=partition)

    # ---------------------------------------------------------------- the end

    def _save(self) -> None:
        """Second names in lost/ for all that is damaged."""
        folder = self.path(LOST)
        self.files.make_dir(folder)
        taken = set(self.files.list_dir(folder))
        for name, found in self.moves:
            target, again = name, 0
            while target in taken:
                again += 1
                target = f"{name}.{again}"
            taken.add(target)
            link_or_copy(self.files, self.path(name), os.path.join(folder, target))
            if found is not None:
                found.moved_to = os.path.join(LOST, target)
        self.files.sync_dir(folder)
        self.files.sync_dir(self.directory)

    def _tidy(self, manifest_name: str) -> None:
        """What is in lost/, and other manifests, go from the folder itself."""
        for name in {name for name, _ in self.moves} | {name for name in self.names if MANIFEST_NAME.fullmatch(name)}:
            if name not in self.kept and name != manifest_name:
                self.files.unlink(self.path(name))
        self.files.sync_dir(self.directory)
