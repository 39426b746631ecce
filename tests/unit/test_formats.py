"""docs/formats.md is the truth: a database is read here with nothing but struct, as that page tells."""
from __future__ import annotations

import base64
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from struct import Struct, unpack_from
from typing import Any

import lz4.block
import mmh3
import pytest

import phantomdb
from phantomdb.core.tree import Edit, TableMeta

PAGE = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
PUT, DELETE, POINTER, RANGE_DELETE = range(4)

Entry = tuple[bytes, int, int, bytes]                # key, timestamp, kind, value


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _crc_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


CRC_TABLE = [_crc_of_byte(byte) for byte in range(256)]


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def key_hash(key: bytes) -> int:
    return mmh3.hash64(key, 0, signed=False)[0]


# ---- one reader for each section of the page

def read_manifest(data: bytes) -> list[dict[str, Any]]:
    magic, version, crc = unpack_from("<8sII", data)
    assert (magic, version, crc) == (b"PHANTMAN", 1, crc32c(data[:12]))
    records, at = [], 16
    while at < len(data):
        size, crc = unpack_from("<II", data, at)
        assert crc == crc32c(data[at:at + 4] + data[at + 8:at + 8 + size])
        records.append(json.loads(data[at + 8:at + 8 + size]))
        at += 8 + size
    return records


def read_operations(payload: bytes, partitions: int) -> list[tuple[int, bytes, bytes]]:
    operations, at = [], 0
    while at < len(payload):
        kind, slot = unpack_from("<BH", payload, at)
        size, at = varint(payload, at + 3)
        key, at = payload[at:at + size], at + size
        size, at = varint(payload, at)
        value, at = payload[at:at + size], at + size
        assert key[:1] == b"k" and slot * partitions >> 16 < partitions
        assert kind == RANGE_DELETE or slot == key_hash(key[1:]) >> 48
        operations.append((kind, key, value))
    return operations


def read_segment(data: bytes) -> tuple[int, list[tuple[int, bytes]]]:
    magic, version, zero, number, start, synced, size, crc, zeros = unpack_from("<8sIIQQQQI12s", data)
    assert (magic, version, zero, zeros) == (b"PHANTLOG", 1, 0, bytes(12))
    assert crc == crc32c(data[:48]) and synced <= start and size == len(data)
    records, at = [], 64
    while at + 24 <= len(data):
        crc, size, timestamp, synced = unpack_from("<IIQQ", data, at)
        if timestamp == 0 or crc != crc32c(number.to_bytes(8, "little") + data[at + 4:at + 24 + size]):
            break
        assert synced <= start + at - 64
        records.append((timestamp, data[at + 24:at + 24 + size]))
        end = at + 24 + size
        at = (end + 7) & ~7
        assert not any(data[end:at])
    return number, records


def read_piece(piece: bytes) -> bytes:
    size, kind, crc = unpack_from("<IBI", piece, len(piece) - 9)
    assert crc == crc32c(piece[:-4]) and kind in (0, 1)
    content = piece[:-9] if kind == 0 else lz4.block.decompress(piece[:-9], uncompressed_size=size)
    assert len(content) == size
    return content


def read_block(data: bytes) -> list[Entry]:
    count, at, size, prefix_size, width, flags, base, zero = unpack_from("<IIIHBBQQ", data)
    assert zero == 0 and at + size == len(data)
    prefix_size |= (flags & 1) << 16
    prefix = data[32:32 + prefix_size]
    descriptors_at = 32 + (prefix_size + 3 & ~3)
    stamps_at = descriptors_at + 4 * count
    assert not any(data[32 + prefix_size:descriptors_at]) and stamps_at + width * count == at
    entries = []
    for index, descriptor in enumerate(unpack_from(f"<{count}I", data, descriptors_at)):
        length, kind, suffix = descriptor & 0xFFFF, descriptor >> 16 & 3, descriptor >> 18
        if count == 1:
            assert length == size & 0xFFFF
            length = size
        stamp = base + int.from_bytes(data[stamps_at + index * width:stamps_at + (index + 1) * width], "little")
        entries.append((prefix + data[at:at + suffix], stamp, kind, data[at + suffix:at + length]))
        at += length
    assert at == len(data)
    return entries


FOOTER = Struct("<QQQQQQQIIIIHBBIII8s")
assert FOOTER.size == 96


@dataclasses.dataclass
class TableContent:
    entries: list[Entry]
    tombstones: list[tuple[bytes, bytes, int]]
    properties: dict[int, bytes]


def read_table(data: bytes) -> TableContent:
    (top_at, fingerprints_at, tombstones_at, lengths_at, properties_at, entry_count, key_count, block_count,
     partition_count, bucket_count, tombstone_count, top_limit, locator_bits, index_bits, zero, version, crc,
     magic) = FOOTER.unpack(data[-96:])
    assert (magic, version, zero, crc) == (b"PHANTTBL", 1, 0, crc32c(data[-96:-12]))
    lengths, at, raw = [], 0, read_piece(data[lengths_at:properties_at])
    while at < len(raw):
        length, at = varint(raw, at)
        lengths.append(length)
    assert len(lengths) == block_count + partition_count and sum(lengths) == top_at
    blocks, at = [], 0
    for length in lengths:
        blocks.append(read_block(read_piece(data[at:at + length])))
        at += length
    blocks, partitions = blocks[:block_count], blocks[block_count:]
    entries = [entry for block in blocks for entry in block]
    assert len(entries) == entry_count and entries == sorted(entries, key=lambda entry: (entry[0], -entry[1]))
    assert len({entry[0] for entry in entries}) == key_count

    separators = [entry for partition in partitions for entry in partition]
    assert [(ts, kind, int.from_bytes(value, "little")) for _, ts, kind, value in separators] == [
        (0, PUT, number) for number in range(block_count)]
    for (separator, *_), block, following in zip(separators, blocks, [*blocks[1:], None], strict=True):
        assert block[-1][0][:1024] <= separator
        assert following is None or separator <= following[0][0]     # equal where a key's versions go on
    top = read_block(read_piece(data[top_at:fingerprints_at]))
    assert [(key, int.from_bytes(value, "little")) for key, _, _, value in top] == [
        (partition[-1][0][:top_limit], number) for number, partition in enumerate(partitions)]

    slots = unpack_from(f"<{16 * bucket_count}I", read_piece(data[fingerprints_at:tombstones_at]))
    check_fingerprints(slots, bucket_count, locator_bits, index_bits, blocks)
    tombstones, at, raw = [], 0, read_piece(data[tombstones_at:lengths_at])
    while at < len(raw):
        size, at = varint(raw, at)
        start, at = raw[at:at + size], at + size
        size, at = varint(raw, at)
        stop, at = raw[at:at + size], at + size
        tombstones.append((start, stop, unpack_from("<Q", raw, at)[0]))
        at += 8
    assert len(tombstones) == tombstone_count
    properties, at, raw = {}, 0, read_piece(data[properties_at:-96])
    while at < len(raw):
        tag, size = unpack_from("<HI", raw, at)
        properties[tag] = raw[at + 6:at + 6 + size]
        at += 6 + size
    return TableContent(entries, tombstones, properties)


def check_fingerprints(slots: tuple[int, ...], bucket_count: int, locator_bits: int, index_bits: int,
                       blocks: list[list[Entry]]) -> None:
    """Each key's newest version is found from the key alone, and no slot is there for nothing."""
    newest: dict[bytes, tuple[int, int]] = {}
    for number, block in enumerate(blocks):
        for index, entry in enumerate(block):
            newest.setdefault(entry[0], (number, index))
    for key, (number, index) in newest.items():
        h = key_hash(key)
        bucket = (h >> 16 & 0xFFFFFFFF) * bucket_count >> 32
        fingerprint = h & (1 << 32 - locator_bits) - 1 or 1
        wanted = fingerprint << locator_bits | number << index_bits | index
        while wanted not in slots[16 * bucket:16 * bucket + 16]:
            assert 0 not in slots[16 * bucket:16 * bucket + 16], key
            bucket = (bucket + 1) % bucket_count
    assert sum(1 for slot in slots if slot) == len(newest)


def read_value(data: bytes, pointer: bytes) -> tuple[bytes, bytes]:
    number, offset, value_size, key_size, crc = unpack_from("<QQQII", pointer)
    record_crc, record_key_size, record_value_size = unpack_from("<IIQ", data, offset)
    end = offset + 16 + key_size + value_size
    assert (record_key_size, record_value_size) == (key_size, value_size)
    assert record_crc == crc32c(data[offset + 4:end]) and crc == crc32c(data[end - value_size:end])
    assert number == unpack_from("<Q", data, 16)[0]
    return data[offset + 16:end - value_size], data[end - value_size:end]


def check_value_header(data: bytes, number: int) -> None:
    magic, version, flags, found, crc, zero = unpack_from("<8sIIQII", data)
    assert (magic, version, flags, found, crc, zero) == (b"PHANTVAL", 1, 0, number, crc32c(data[:24]), 0)


# ---- a tiny database

@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as a killed process leaves it: tables and value files, and a log with commits that are in no table."""
    path = tmp_path_factory.mktemp("formats") / "db"
    program = "import os, runpy, sys; runpy.run_path(sys.argv[1])['fill'](sys.argv[2]); os._exit(0)"
    python_path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(PAGE.parents[1])]))
    subprocess.run([sys.executable, "-P", "-c", program, __file__, str(path)], check=True,
                   env=os.environ | {"PYTHONPATH": python_path})
    assert (path / "CURRENT").exists()
    return path


ROWS = {b"row/%05d" % number: b"%d " % number * 7 for number in range(3000)}
LONG_KEY = b"x" * 9000
BIG = {b"big/%d" % number: bytes([65 + number]) * 1000 for number in range(4)}


def fill(path: str) -> None:
    db = phantomdb.open(path, durability="none", block_bytes=512, memtable_bytes=4 << 20, log_segment_bytes=64 << 10,
                        value_threshold_bytes=500, retention_s=3600, partitions=2)
    for start in range(0, len(ROWS), 100):
        db.kv.write(list(ROWS.items())[start:start + 100])
    db.kv.write(list(BIG.items()))
    for number in range(40):                         # versions of one key over several blocks
        db.kv.put(b"hot", b"%040d" % number)
    db.kv.put(LONG_KEY, b"long")
    db.kv.delete(b"row/00007")
    db.kv.delete_range(b"row/00100", b"row/00200")
    db.flush()
    db.kv.write([(b"late", b"1"), (b"row/00008", None), (b"big/0", b"B" * 1000)])
    db.kv.delete_range(b"m", b"n")


def tree_of(folder: Path) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """(the snapshot's head, tables by number)."""
    name = (folder / "CURRENT").read_text()
    assert name.endswith("\n")
    first, *rest = read_manifest((folder / name[:-1]).read_bytes())
    snapshot, tables = first["snapshot"], {}
    assert set(snapshot) == {"database_id", "partitions", "levels", "tree"}
    for edit in [snapshot["tree"], *(record["edit"] for record in rest)]:
        for number in edit.get("removed", []):
            del tables[number]
        tables.update({table["number"]: table for table in edit.get("added", [])})
    return snapshot, tables


def test_marker_and_lock(folder: Path) -> None:
    assert (folder / "FORMAT").read_bytes().split(b"\n")[0] == b"1"
    assert (folder / "LOCK").read_bytes().strip().isdigit()
    kinds = {path.suffix or path.name.split("-")[0] for path in folder.iterdir()}
    assert kinds == {"FORMAT", "CURRENT", "LOCK", "MANIFEST", ".log", ".table", ".values"}


def test_the_page_names_every_field_of_the_manifest() -> None:
    page = PAGE.read_text("utf-8")
    section = page[page.index("## Manifest"):page.index("## Log segment")]
    missing = [item.name for kind in (Edit, TableMeta) for item in dataclasses.fields(kind)
               if f"`{item.name}`" not in section]
    assert not missing


def test_tables_hold_what_was_flushed(folder: Path) -> None:
    snapshot, tables = tree_of(folder)
    found: list[Entry] = []
    tombstones = []
    assert snapshot["partitions"] == 2 and {table["partition"] for table in tables.values()} == {0, 1}
    for number, meta in tables.items():
        data = (folder / f"{number:012d}.table").read_bytes()
        table = read_table(data)
        stamps = [entry[1] for entry in table.entries] + [stamp for *_, stamp in table.tombstones]
        numbers = [len(table.entries), len({entry[0] for entry in table.entries}),
                   sum(1 for entry in table.entries if entry[2] == DELETE), len(table.tombstones),
                   sum(len(key) + len(value) for key, _, _, value in table.entries), min(stamps), max(stamps)]
        assert [unpack_from("<Q", table.properties[tag])[0] for tag in range(1, 8)] == numbers
        assert [meta[name] for name in ("entry_count", "key_count", "delete_count", "tombstone_count", "raw_bytes",
                                        "min_ts", "max_ts", "file_size")] == [*numbers, len(data)]
        assert [base64.b64decode(meta[name]) for name in ("smallest", "largest")] == [
            table.properties[9], table.properties[10]]
        files = [list(unpack_from("<QQ", table.properties[11], at)) for at in range(0, len(table.properties[11]), 16)]
        assert files == meta["value_files"]
        assert unpack_from("<Q", table.properties[8])[0] == sum(size for _, size in files)
        assert all(key_hash(key[1:]) >> 48 << 1 >> 16 == meta["partition"] for key, *_ in table.entries)
        found += table.entries
        tombstones += table.tombstones
    rows = {key[1:]: value for key, _, kind, value in found if kind == PUT and key.startswith(b"krow/")}
    assert {key: value for key, value in ROWS.items() if not b"row/00100" <= key < b"row/00200"}.items() <= rows.items()
    assert [value for key, _, _, value in found if key == b"khot"] == [b"%040d" % n for n in reversed(range(40))]
    assert [value for key, _, _, value in found if key == b"k" + LONG_KEY] == [b"long"]
    assert any(key == b"krow/00007" and kind == DELETE for key, _, kind, _ in found)
    assert {(start, stop) for start, stop, _ in tombstones} == {(b"krow/00100", b"krow/00200")}
    assert all(stamp % 2 == 0 for _, stamp, _, _ in found)
    values = {}
    for key, _, kind, pointer in found:
        if kind == POINTER:
            number = unpack_from("<Q", pointer)[0]
            data = (folder / f"{number:012d}.values").read_bytes()
            check_value_header(data, number)
            stored_key, values[key[1:]] = read_value(data, pointer)
            assert stored_key == key
    assert values == BIG


def test_the_log_holds_what_was_not(folder: Path) -> None:
    snapshot, tables = tree_of(folder)
    records: list[tuple[int, bytes]] = []
    for path in sorted(folder.glob("*.log")):
        data = path.read_bytes()
        if data[:8] != bytes(8):                     # one that is prepared has no header yet
            number, some = read_segment(data)
            assert path.name == f"{number:012d}.log" or not some
            records += some
    newest = max(table["max_ts"] for table in tables.values())
    late = [read_operations(payload, snapshot["partitions"]) for timestamp, payload in sorted(records)
            if timestamp > newest]
    (put, delete, pointer), (range_delete,) = late
    assert put == (PUT, b"klate", b"1") and delete == (DELETE, b"krow/00008", b"")
    assert range_delete == (RANGE_DELETE, b"km", b"kn")
    number = unpack_from("<Q", pointer[2])[0]
    assert pointer[:2] == (POINTER, b"kbig/0")
    assert read_value((folder / f"{number:012d}.values").read_bytes(), pointer[2]) == (b"kbig/0", b"B" * 1000)
