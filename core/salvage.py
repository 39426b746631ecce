"""What can still be read of damaged files, and the report on what cannot.

A table's blocks each carry a checksum and depend on nothing else, so damage costs the blocks it is in and no more.
Where the footer or the list of block lengths is lost, the blocks are found by their checksums:

    [block 0][block 1][##damage##][block 3] [index partitions] [fingerprints] ... [lengths] [footer]
        |        |                    |           | its values count up from 0: here the entries end
        +--------+---- entries -------+
"""
from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from phantomdb.core._ext.files import FileSystem
from phantomdb.core._ext.hashing import crc32c_of
from phantomdb.core._ext.table_salvage import find_block, unpack_block, unpack_piece
from phantomdb.core.limits import MAX_U64
from phantomdb.core.verification import varint

# table_format.pxd: five offsets of sections, entries, keys | blocks, index blocks, buckets, tombstones | limits | crc
_FOOTER = struct.Struct("<7Q4IHBBIII8s")
_FOOTER_CRC_END = _FOOTER.size - 12
SHOWN_KEY_BYTES = 40

Entry = tuple[bytes, int, int, bytes]            # key, timestamp, kind, value
Tombstone = tuple[bytes, bytes, int]             # start, stop, timestamp


@dataclass
class Loss:
    """Some bytes of a file that could not be read. The keys in them lie between `after` and `before` (None: the
    file's end)."""

    offset: int
    size: int
    after: bytes | None = None
    before: bytes | None = None


@dataclass
class FileReport:
    """What became of one file."""

    name: str
    problem: str
    entries_kept: int = 0
    entries_lost: int | None = None              # None: not known
    losses: list[Loss] = field(default_factory=list)
    moved_to: str | None = None

    @property
    def lost_bytes(self) -> int:
        return sum(loss.size for loss in self.losses)

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.problem}"]
        lost = "an unknown number" if self.entries_lost is None else f"{self.entries_lost:,}"
        lines.append(f"    entries kept {self.entries_kept:,}, lost {lost}; bytes lost {self.lost_bytes:,}")
        for loss in self.losses:
            between = f" between {_shown(loss.after)} and {_shown(loss.before)}" if loss.after or loss.before else ""
            lines.append(f"    lost {loss.size:,} bytes at offset {loss.offset:,}{between}")
        if self.moved_to:
            lines.append(f"    the damaged file is kept as {self.moved_to}")
        return "\n".join(lines)


@dataclass
class RepairReport:
    """What repair() found and did. str() is for people, as_dict() for programs."""

    directory: str
    manifest: str = "read"                       # "read", "salvaged" (in part) or "lost"
    notes: list[str] = field(default_factory=list)
    files: list[FileReport] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Nothing was damaged; nothing was changed."""
        return not self.files and not self.notes

    def as_dict(self) -> dict[str, Any]:
        return {"directory": self.directory, "is_clean": self.is_clean, "manifest": self.manifest,
                "notes": list(self.notes), "files": [{**asdict(file), "lost_bytes": file.lost_bytes}
                                                     for file in self.files]}

    def __str__(self) -> str:
        if self.is_clean:
            return "nothing is damaged"
        return "\n".join([*self.notes, *map(str, self.files)])


def _shown(key: bytes | None) -> str:
    """A user key without its keyspace's prefix."""
    return "the end" if key is None else repr(key[1:][:SHOWN_KEY_BYTES]) + ("..." if len(key) > SHOWN_KEY_BYTES else "")


class DamagedTable:
    """Reads what is whole in a table file. `losses` and `max_ts` are complete once entries() has ended."""

    def __init__(self, files: FileSystem, path: str) -> None:
        self._data = files.read_file(path)
        self._sections = self._footer()
        self._offsets = self._block_offsets()
        self.losses: list[Loss] = []
        self.tombstones: list[Tombstone] = []
        self.has_all_tombstones = self._read_tombstones()

    def _footer(self) -> tuple[Any, ...] | None:
        """The footer's fields; None when it is damaged."""
        if len(self._data) < _FOOTER.size:
            return None
        raw = self._data[-_FOOTER.size:]
        fields = _FOOTER.unpack(raw)
        return fields if fields[-1] == b"PHANTTBL" and fields[-2] == crc32c_of(raw[:_FOOTER_CRC_END]) else None

    def _section(self, index: int) -> bytes | None:
        """Section `index` of the footer's offsets, which ends where the next begins; None when it is damaged."""
        return None if self._sections is None else unpack_piece(self._data[self._sections[index]:
                                                                           self._sections[index + 1]])

    def _block_offsets(self) -> list[int] | None:
        """Where each data block begins and the last one ends; None when that is not known."""
        lengths = self._section(3)
        if lengths is None or self._sections is None:
            return None
        offsets, position = [0], 0
        for _ in range(self._sections[7]):
            length, position = varint(lengths, position)
            offsets.append(offsets[-1] + length)
        return offsets

    def _read_tombstones(self) -> bool:
        section = self._section(2)
        if section is None:
            return False
        position = 0
        while position < len(section):
            size, position = varint(section, position)
            start, position = section[position:position + size], position + size
            size, position = varint(section, position)
            stop, position = section[position:position + size], position + size
            self.tombstones.append((start, stop, int.from_bytes(section[position:position + 8], "little")))
            position += 8
        return True

    def _blocks(self) -> Iterator[tuple[int, int, list[Entry] | None]]:
        """(offset, bytes, entries or None where damaged) of all data blocks."""
        if self._offsets is not None:
            for start, stop in zip(self._offsets, self._offsets[1:], strict=False):
                yield start, stop - start, unpack_block(self._data[start:stop])
            return
        position = 0
        last_key: bytes | None = None
        while (found := find_block(self._data, position)) is not None:
            offset, size = found
            entries = unpack_block(self._data[offset:offset + size])
            if not entries or (last_key is not None and _is_index(entries, last_key)):
                break
            if offset > position:
                yield position, offset - position, None
            yield offset, size, entries
            position, last_key = offset + size, entries[-1][0]

    def entries(self) -> Iterator[Entry]:
        """All entries that can be read, in order."""
        last: tuple[bytes, int] | None = None
        open_losses: list[Loss] = []
        for offset, size, entries in self._blocks():
            if entries and (last is None or (entries[0][0], MAX_U64 - entries[0][1]) > last):
                for loss in open_losses:
                    loss.before = entries[0][0]
                open_losses.clear()
                last = (entries[-1][0], MAX_U64 - entries[-1][1])
                yield from entries
            else:
                open_losses.append(Loss(offset, size, None if last is None else last[0]))
                self.losses.append(open_losses[-1])


def _is_index(entries: list[Entry], last_key: bytes) -> bool:
    """Whether a block is the first index partition: it begins anew with the keys, and numbers the data blocks."""
    return entries[0][0] <= last_key and all(
        ts == 0 and value == index.to_bytes(4, "little") for index, (_, ts, _, value) in enumerate(entries))
