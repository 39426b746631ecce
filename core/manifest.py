"""The manifest: the durable history of the tree, and the files that make a folder a database.

    FORMAT            "1\\n..."  format version; written once, checked before anything else is read
    CURRENT           "MANIFEST-000007\\n"; replaced by rename, which makes the switch atomic
    MANIFEST-000007   header | snapshot of the tree | edit | edit | ...
    000000000042.table   000000000043.values   000000000044.log   LOCK

    header := "PHANTMAN" | format u32 | crc u32 (of the 12 bytes before)
    record := size u32 | crc u32 (of size and payload) | payload (JSON; keys of tables in base64)

An edit counts once its record is synced. A manifest that has grown is replaced by a new one that
begins with a snapshot: written, synced, named in its folder, and only then named by CURRENT.

When an append fails, nobody knows how much of the record is on disk: it may even be whole. Nothing is
ever written behind such a tail; the next append starts a new manifest, and only then is the failed edit
known not to count. Until an append succeeds, files that the failed edit names must therefore stay:
those it adds as well as those it removes.

At recovery a damaged record with nothing valid behind it is a torn tail, left by a crash in the
middle of an append that was never answered. A damaged one before a valid one is corruption.

Nothing here locks: the engine serialises appends.
"""
from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import re
import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import fields, replace
from typing import Any, TypeVar

from phantomdb.core import limits
from phantomdb.core._ext.files import CREATE, WRITE, File, FileSystem
from phantomdb.core._ext.hashing import crc32c_of
from phantomdb.core.errors import (
    CorruptionError,
    DatabaseClosed,
    FileAlreadyExists,
    InvalidArgument,
    LimitExceeded,
    NewerFormat,
    StorageError,
)
from phantomdb.core.options import Options
from phantomdb.core.tree import Edit, TableMeta, Tree, ValueFileMeta

FORMAT, CURRENT, LOCK = "FORMAT", "CURRENT", "LOCK"
MAGIC = b"PHANTMAN"
_HEADER = struct.Struct("<8sI")
_RECORD = struct.Struct("<II")
HEADER_BYTES = _HEADER.size + 4
RECORD_HEADER_BYTES = _RECORD.size
_FORMAT_NOTE = "The files in this folder are one PhantomDB database. Do not change, rename or remove any of them.\n"
MANIFEST_NAME = re.compile(r"MANIFEST-(\d{6,12})")
_FILE_NAME = re.compile(r"(\d{12,20})\.(table|values|log)")

T = TypeVar("T")


# ------------------------------------------------------------------ names

def table_name(number: int) -> str:
    return f"{number:012d}.table"


def values_name(number: int) -> str:
    return f"{number:012d}.values"


def log_name(number: int) -> str:
    return f"{number:012d}.log"


def manifest_name(number: int) -> str:
    return f"MANIFEST-{number:06d}"


def database_exists(file_system: FileSystem, directory: str | os.PathLike[str]) -> bool:
    """CURRENT is the last file a new database gets, so without it there is none."""
    return file_system.exists(os.path.join(directory, CURRENT))


def orphans(file_system: FileSystem, directory: str | os.PathLike[str], tree: Tree, *,
            value_files_in_log: Collection[int]) -> list[str]:
    """Names of files in the folder that nothing refers to: left by a crash, to be removed at open.

    `value_files_in_log`: value files that records of the log point into; the tree learns of those
    only when the memtable is flushed. Logs are left to the log.
    """
    current = _read_current(file_system, os.fspath(directory))
    tables = {table.number for table in tree.tables()}
    values = {file.number for file in tree.value_files} | set(value_files_in_log)
    found = []
    for name in file_system.list_dir(directory):
        if match := _FILE_NAME.fullmatch(name):
            number, kind = int(match[1]), match[2]
            unused = number not in tables if kind == "table" else kind == "values" and number not in values
        else:
            unused = name.endswith(".tmp") or (MANIFEST_NAME.fullmatch(name) is not None and name != current)
        if unused:
            found.append(name)
    return found


# ------------------------------------------------------------------ JSON of edits

class _Invalid(Exception):
    """What is wrong with a record; becomes a CorruptionError once file and offset are known."""


_TABLE_FIELDS = tuple(item.name for item in fields(TableMeta))
_KEY_FIELDS = ("smallest", "largest")
_NUMBER_FIELDS = tuple(name for name in _TABLE_FIELDS if name not in (*_KEY_FIELDS, "value_files"))
_OPTIONAL_FIELDS = {"base_ts": 0}          # not written when they have this value
_COUNTERS = ("next_file_number", "last_ts", "gc_floor_ts", "first_log_segment")


def _encode_table(table: TableMeta) -> dict[str, Any]:
    return {name: base64.b64encode(getattr(table, name)).decode() if name in _KEY_FIELDS else getattr(table, name)
            for name in _TABLE_FIELDS if getattr(table, name) != _OPTIONAL_FIELDS.get(name)}


def encode_edit(edit: Edit) -> dict[str, Any]:
    """The edit as JSON data, without what it leaves as it was."""
    result: dict[str, Any] = {name: value for name in _COUNTERS if (value := getattr(edit, name)) is not None}
    if edit.added:
        result["added"] = [_encode_table(table) for table in edit.added]
    if edit.added_value_files:
        result["added_value_files"] = [[file.number, file.total_bytes, file.garbage_bytes]
                                       for file in edit.added_value_files]
    for name in ("removed", "flushed", "value_garbage", "removed_value_files"):
        if value := getattr(edit, name):
            result[name] = value
    return result


def _object(value: Any, known: Collection[str], what: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise _Invalid(f"{what} is not an object")
    if unknown := value.keys() - set(known):
        raise _Invalid(f"{what} has unknown fields {sorted(unknown)}")
    return value


def _unsigned(value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value <= limits.MAX_U64:
        raise _Invalid(f"{what} is not an unsigned number of 64 bits")
    return value


def _list(value: Any, decode: Callable[[Any, str], T], what: str) -> tuple[T, ...]:
    if type(value) is not list:
        raise _Invalid(f"{what} is not a list")
    return tuple(decode(item, what) for item in value)


def _numbers(value: Any, count: int, what: str) -> tuple[int, ...]:
    numbers = _list(value, _unsigned, what)
    if len(numbers) != count:
        raise _Invalid(f"{what} does not consist of {count} numbers each")
    return numbers


def _pair(value: Any, what: str) -> tuple[int, int]:
    first, second = _numbers(value, 2, what)
    return first, second


def _key(value: Any, what: str) -> bytes:
    try:
        key = base64.b64decode(value, validate=True) if type(value) is str else None
    except (binascii.Error, ValueError):
        key = None
    # One byte more than keys have: range tombstones are cut just after a key, with a zero byte.
    if key is None or len(key) > limits.MAX_KEY_BYTES + 1:
        raise _Invalid(f"{what} is not a key in base64")
    return key


def _decode_table(value: Any, _what: str) -> TableMeta:
    data = _OPTIONAL_FIELDS | _object(value, _TABLE_FIELDS, "a table")
    if missing := set(_TABLE_FIELDS) - data.keys():
        raise _Invalid(f"a table lacks {sorted(missing)}")
    decoded: dict[str, Any] = {name: _unsigned(data[name], name) for name in _NUMBER_FIELDS}
    decoded |= {name: _key(data[name], name) for name in _KEY_FIELDS}
    return TableMeta(**decoded, value_files=_list(data["value_files"], _pair, "value_files"))


def decode_edit(value: Any) -> Edit:
    """The inverse of encode_edit, for data that cannot be trusted."""
    data = _object(value, [item.name for item in fields(Edit)], "an edit")
    result: dict[str, Any] = {name: _unsigned(data[name], name) for name in _COUNTERS if name in data}
    if "added" in data:
        result["added"] = _list(data["added"], _decode_table, "added")
    if "added_value_files" in data:
        result["added_value_files"] = _list(
            data["added_value_files"], lambda item, what: ValueFileMeta(*_numbers(item, 3, what)), "added_value_files")
    for name in ("removed", "removed_value_files"):
        if name in data:
            result[name] = _list(data[name], _unsigned, name)
    for name in ("flushed", "value_garbage"):
        if name in data:
            result[name] = _list(data[name], _pair, name)
    return Edit(**result)


# ------------------------------------------------------------------ bytes of the file

def _header() -> bytes:
    start = _HEADER.pack(MAGIC, limits.FORMAT_VERSION)
    return start + struct.pack("<I", crc32c_of(start))


def _record(content: dict[str, Any]) -> bytes:
    payload = json.dumps(content, separators=(",", ":")).encode()
    if len(payload) > limits.MAX_MANIFEST_RECORD_BYTES:
        raise LimitExceeded(f"a manifest record of {len(payload)} bytes is over {limits.MAX_MANIFEST_RECORD_BYTES}")
    size = struct.pack("<I", len(payload))
    return _RECORD.pack(len(payload), crc32c_of(payload, crc32c_of(size))) + payload


def _payload_at(data: bytes, offset: int) -> bytes | None:
    """The payload of the record at `offset` if that is whole and undamaged."""
    start = offset + RECORD_HEADER_BYTES
    if start > len(data):
        return None
    size, crc = _RECORD.unpack_from(data, offset)
    if not 0 < size <= limits.MAX_MANIFEST_RECORD_BYTES or start + size > len(data):
        return None
    payload = data[start:start + size]
    return payload if crc32c_of(payload, crc32c_of(data[offset:offset + 4])) == crc else None


def _valid_after(data: bytes, offset: int) -> int | None:
    """Where the next whole record behind `offset` begins. Each payload begins with the same two bytes."""
    start = data.find(b'{"', offset + 1 + RECORD_HEADER_BYTES)
    while start >= 0:
        if _payload_at(data, start - RECORD_HEADER_BYTES) is not None:
            return start - RECORD_HEADER_BYTES
        start = data.find(b'{"', start + 1)
    return None


def salvage_records(data: bytes) -> Iterator[dict[str, Any]]:
    """What every whole record says, whatever stands before or between them: {"snapshot": (database_id, partitions,
    levels, Edit)} or {"edit": Edit}."""
    offset: int | None = HEADER_BYTES if _payload_at(data, HEADER_BYTES) else _valid_after(data, 0)
    while offset is not None and offset < len(data):
        payload = _payload_at(data, offset)
        if payload is None:
            offset = _valid_after(data, offset)
            continue
        offset += RECORD_HEADER_BYTES + len(payload)
        with contextlib.suppress(ValueError, RecursionError, _Invalid, CorruptionError):
            content = json.loads(payload)
            if "snapshot" in content:
                head = _snapshot_head(content)
                yield {"snapshot": (*head, decode_edit(content["snapshot"].get("tree")))}
            else:
                yield {"edit": decode_edit(_object(content, ["edit"], "a record").get("edit"))}


def read_records(data: bytes, path: str) -> Iterator[tuple[int, int, Any]]:
    """(start, end, content) of each record of a manifest, up to a torn tail."""
    if len(data) < HEADER_BYTES or data[:8] != MAGIC:
        raise CorruptionError("not a manifest", path=path, offset=0)
    (version, crc) = struct.unpack_from("<II", data, 8)
    if crc32c_of(data[:_HEADER.size]) != crc:
        raise CorruptionError("the manifest's header is damaged", path=path, offset=0)
    _check_version(version, path)
    offset = HEADER_BYTES
    while offset < len(data):
        payload = _payload_at(data, offset)
        if payload is None:
            if offset == HEADER_BYTES or _valid_after(data, offset) is not None:
                raise CorruptionError("a record of the manifest is damaged", path=path, offset=offset)
            return
        try:
            content = json.loads(payload)
        except (ValueError, RecursionError):
            raise CorruptionError("a record of the manifest is not JSON", path=path, offset=offset) from None
        end = offset + RECORD_HEADER_BYTES + len(payload)
        yield offset, end, content
        offset = end


def _check_version(version: int, path: str) -> None:
    if version > limits.FORMAT_VERSION:
        raise NewerFormat(f"the database has format {version}, this PhantomDB reads up to {limits.FORMAT_VERSION}; "
                          "upgrade PhantomDB to open it", path=path)
    if version < 1:
        raise CorruptionError(f"there is no format {version}", path=path)


def check_format(file_system: FileSystem, directory: str) -> None:
    """Raises NewerFormat or CorruptionError unless this version can read the database."""
    path = os.path.join(directory, FORMAT)
    first = file_system.read_file(path)[:64].split(b"\n")[0]
    if not re.fullmatch(rb"[0-9]{1,9}", first):
        raise CorruptionError("the format marker is not readable", path=path, offset=0)
    _check_version(int(first), path)


def _read_current(file_system: FileSystem, directory: str) -> str:
    path = os.path.join(directory, CURRENT)
    name = file_system.read_file(path).decode("latin-1")
    if not name.endswith("\n") or not MANIFEST_NAME.fullmatch(name[:-1]):
        raise CorruptionError("CURRENT does not name a manifest", path=path, offset=0)
    return name[:-1]


def _locate(file_system: FileSystem, directory: str) -> str:
    """The name of the manifest that CURRENT names, which is there."""
    name = _read_current(file_system, directory)
    if not file_system.exists(os.path.join(directory, name)):
        raise CorruptionError(f"CURRENT names {name}, which is not there", path=os.path.join(directory, CURRENT),
                              offset=0)
    return name


def _reshape(tree: Tree, options: Options) -> Tree:
    """The tree with as many levels as the options ask for."""
    deepest = max((table.level for table in tree.tables()), default=0)
    if deepest >= options.level_count:
        raise InvalidArgument(f"level_count must be at least {deepest + 1} for this database, "
                              f"not {options.level_count}")
    return replace(tree, partitions=tuple((*levels, *((),) * options.level_count)[:options.level_count]
                                          for levels in tree.partitions))


def _snapshot_head(content: Any) -> tuple[str, int, int]:
    """(database_id, partitions, levels) of the first record."""
    snapshot = _object(_object(content, ["snapshot"], "the first record").get("snapshot"),
                       ["database_id", "partitions", "levels", "tree"], "the snapshot")
    database_id = snapshot.get("database_id")
    partitions = _unsigned(snapshot.get("partitions"), "partitions")
    level_count = _unsigned(snapshot.get("levels"), "levels")
    if not (isinstance(database_id, str) and 1 <= partitions <= limits.MAX_PARTITIONS
            and limits.MIN_LEVELS <= level_count <= limits.MAX_LEVELS):
        raise _Invalid("the snapshot's head is out of bounds")
    return database_id, partitions, level_count


def write_format(file_system: FileSystem, directory: str) -> None:
    """Writes the marker of this version's format."""
    file_system.write_file_atomically(os.path.join(directory, FORMAT),
                                      f"{limits.FORMAT_VERSION}\n{_FORMAT_NOTE}".encode())


# ------------------------------------------------------------------ the open manifest

class Manifest:
    """The manifest that CURRENT names, open for appending."""

    def __init__(self, file_system: FileSystem, directory: str, tree: Tree, database_id: str) -> None:
        self.directory = directory
        self.database_id = database_id           # hex, made once at creation
        self.tree = tree                         # as far as it is durable
        self._file_system = file_system
        self._number = 0                         # of the manifest begun last, if only in vain
        self._file: File | None = None
        self._end = 0                            # where the next record goes
        self._snapshot_end = 0
        # Set while it is not certain what the file ends with, or which manifest CURRENT names.
        self._must_roll = True
        self._superseded: list[str] = []         # paths to remove after the next switch

    @property
    def partitions(self) -> int:
        return len(self.tree.partitions)

    @property
    def name(self) -> str:
        return manifest_name(self._number)

    @classmethod
    def create(cls, file_system: FileSystem, directory: str | os.PathLike[str], options: Options, partitions: int, *,
               database_id: str | None = None) -> tuple[Manifest, Tree]:
        """Makes a database in an existing folder. CURRENT comes last: a crash before leaves none."""
        directory = os.fspath(directory)
        if not 1 <= partitions <= limits.MAX_PARTITIONS:
            raise InvalidArgument(f"partitions must be from 1 to {limits.MAX_PARTITIONS}, not {partitions}")
        if database_exists(file_system, directory):
            raise FileAlreadyExists("there is a database already", path=directory)
        if file_system.exists(os.path.join(directory, FORMAT)):  # a creation that did not end, or a version yet unknown
            check_format(file_system, directory)
        else:
            write_format(file_system, directory)
        manifest = cls.begin(file_system, directory, Tree.empty(partitions, options.level_count), database_id)
        return manifest, manifest.tree

    @classmethod
    def begin(cls, file_system: FileSystem, directory: str, tree: Tree, database_id: str | None = None) -> Manifest:
        """A first manifest for a tree whose files are there and synced, or a new one in place of one that cannot be
        read. CURRENT is switched last."""
        manifest = cls(file_system, directory, tree, database_id or os.urandom(16).hex())
        numbers = [int(match[1]) for name in file_system.list_dir(directory)
                   if (match := MANIFEST_NAME.fullmatch(name))]
        manifest._number = max(numbers, default=0)
        manifest.roll()
        return manifest

    @classmethod
    def read(cls, file_system: FileSystem, directory: str) -> Manifest:
        """The manifest as open() would recover it, only to look at: no file is changed or held open."""
        return cls.read_file(file_system, directory, _locate(file_system, directory))

    @classmethod
    def read_file(cls, file_system: FileSystem, directory: str, name: str) -> Manifest:
        """The same for the manifest of that name, whatever CURRENT says."""
        path = os.path.join(directory, name)
        manifest = cls._recover(file_system, directory, path, file_system.read_file(path))
        manifest._number = int(name.rpartition("-")[2])
        return manifest

    @classmethod
    def open(cls, file_system: FileSystem, directory: str | os.PathLike[str],
             options: Options) -> tuple[Manifest, Tree]:
        """Recovers the tree. Its next_file_number is above every table and value file in the folder."""
        directory = os.fspath(directory)
        check_format(file_system, directory)
        name = _locate(file_system, directory)
        path = os.path.join(directory, name)
        file = file_system.open(path, WRITE)
        try:
            # What is read here is acted upon, so it must not vanish later: a killed process may have
            # left it in the page cache alone.
            file.sync()
            file_system.sync_dir(directory)
            manifest = cls._recover(file_system, directory, path, file.pread(file.size(), 0))
            if options.partitions not in (None, manifest.partitions):
                raise InvalidArgument(f"the database was created with partitions={manifest.partitions}, "
                                      f"not {options.partitions}")
            numbers = [int(match[1]) for entry in file_system.list_dir(directory)
                       if (match := _FILE_NAME.fullmatch(entry)) and match[2] != "log"]
            tree = manifest.tree.apply(Edit(next_file_number=max(numbers, default=0) + 1))
            manifest.tree = _reshape(tree, options)
        except BaseException:
            file.close()
            raise
        match = MANIFEST_NAME.fullmatch(name)
        assert match is not None
        manifest._number, manifest._file = int(match[1]), file
        return manifest, manifest.tree

    @classmethod
    def _recover(cls, file_system: FileSystem, directory: str, path: str, data: bytes) -> Manifest:
        manifest: Manifest | None = None
        end = 0
        for offset, end, content in read_records(data, path):
            try:
                if manifest is None:
                    database_id, partitions, level_count = _snapshot_head(content)
                    tree = Tree.empty(partitions, level_count).apply(decode_edit(content["snapshot"].get("tree")))
                    manifest = cls(file_system, directory, tree, database_id)
                else:
                    edit = decode_edit(_object(content, ["edit"], "a record").get("edit"))
                    manifest.tree = manifest.tree.apply(edit)
            except (_Invalid, CorruptionError) as error:
                raise CorruptionError(f"the manifest makes no sense: {error}", path=path, offset=offset) from None
            manifest._snapshot_end = manifest._snapshot_end or end
        if manifest is None:
            raise CorruptionError("the manifest is empty", path=path, offset=HEADER_BYTES)
        manifest._end, manifest._must_roll = end, end < len(data)
        manifest._superseded.append(path)
        return manifest

    def append(self, edit: Edit) -> Tree:
        """Makes the edit durable and returns the new tree. After an exception the tree is as before."""
        tree = self.tree.apply(edit)
        record = _record({"edit": encode_edit(edit)})
        limit = max(limits.MANIFEST_ROLL_BYTES, 4 * self._snapshot_end)
        if self._must_roll or self._end + len(record) > limit:
            self._begin(tree)
            return tree
        if self._file is None:
            raise DatabaseClosed
        self._must_roll = True
        self._file.pwrite(record, self._end)
        self._file.sync()
        self._must_roll = False
        self._end += len(record)
        self.tree = tree
        return tree

    def seal(self) -> None:
        """Appends a record without effect: behind it the one before is no torn tail any more, so that damage to it
        is noticed. For edits that hold what is nowhere else."""
        self.append(Edit())

    @property
    def lost_its_end(self) -> bool:
        """After opening: whether a damaged record at the end was taken for a torn one, that of an edit never made."""
        return self._must_roll

    def roll(self) -> None:
        """Starts a new manifest with a snapshot of the tree, whatever the size of the old one."""
        self._begin(self.tree)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._must_roll = False

    def _begin(self, tree: Tree) -> None:
        """A new manifest that begins with `tree`, and CURRENT pointing to it."""
        # From here on CURRENT may name either. A number is never used twice: the file of a failed
        # attempt may be the one CURRENT names.
        self._must_roll = True
        self._number += 1
        path = os.path.join(self.directory, self.name)
        content = {"database_id": self.database_id, "partitions": len(tree.partitions),
                   "levels": len(tree.partitions[0]), "tree": encode_edit(tree.as_edit())}
        data = _header() + _record({"snapshot": content})
        superseded = self._superseded
        self._superseded = [*superseded, path]
        file = self._file_system.open(path, CREATE)
        try:
            file.pwrite(data, 0)
            file.sync()
            self._file_system.sync_dir(self.directory)
            self._file_system.write_file_atomically(os.path.join(self.directory, CURRENT), f"{self.name}\n".encode())
        except BaseException:
            file.close()
            raise
        if self._file is not None:
            self._file.close()
        self._file, self.tree, self._must_roll = file, tree, False
        self._end = self._snapshot_end = len(data)
        self._superseded = [path]
        for old in superseded:
            with contextlib.suppress(StorageError):      # what stays is an orphan at the next open
                self._file_system.unlink(old)
