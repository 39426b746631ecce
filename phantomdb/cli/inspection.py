"""`phantomdb inspect`: a database's tree by level, and each kind of file in readable form.

Every subject is first gathered into plain values, which `--json` prints as they are, and then shown as tables. Files
are only read, and no lock is taken; of a database that is open elsewhere one sees what its manifest said just now.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from phantomdb.cli.output import (Facts, cell, is_timestamp, print_facts, print_json, print_table, short, size,
                                  text_of, time_of)
from phantomdb.core._ext.files import PosixFileSystem
from phantomdb.core.errors import FileMissing, InvalidArgument
from phantomdb.core.manifest import CURRENT, FORMAT, Manifest, check_format, decode_edit, read_records
from phantomdb.core.tree import TableMeta

KINDS = {0: "put", 1: "delete", 2: "pointer", 3: "range delete"}
KIND_POINTER = 2


# ---------------------------------------------------------------- a database

def describe_level(depth: int, tables: Iterable[TableMeta]) -> Facts:
    """One level of one partition, summed over its tables."""
    tables = list(tables)
    return {
        "level": depth,
        "tables": len(tables),
        "bytes": sum(table.file_size for table in tables),
        "entries": sum(table.entry_count for table in tables),
        "deletes": sum(table.delete_count + table.tombstone_count for table in tables),
        "raw_bytes": sum(table.raw_bytes for table in tables),
        "smallest": text_of(min(table.smallest for table in tables)) if tables else None,
        "largest": text_of(max(table.largest for table in tables)) if tables else None,
    }


def describe_table_meta(table: TableMeta) -> Facts:
    return {
        "number": table.number, "partition": table.partition, "level": table.level, "bytes": table.file_size,
        "entries": table.entry_count, "smallest": text_of(table.smallest), "largest": text_of(table.largest),
        "min_ts": table.min_ts, "max_ts": table.max_ts,
    }


def describe_folder(directory: Path, suffix: str) -> list[Facts]:
    return [{"name": path.name, "bytes": path.stat().st_size} for path in sorted(directory.glob(f"*{suffix}"))]


def describe_database(directory: Path) -> Facts:
    if not (directory / CURRENT).exists():
        raise FileMissing("there is no database here", path=str(directory))
    files = PosixFileSystem()
    check_format(files, str(directory))
    manifest = Manifest.read(files, str(directory))
    tree = manifest.tree
    return {
        "path": str(directory),
        "format": (directory / FORMAT).read_bytes().split(b"\n")[0].decode("latin-1"),
        "manifest": manifest.name,
        "last_ts": tree.last_ts,
        "gc_floor_ts": tree.gc_floor_ts,
        "first_log_segment": tree.first_log_segment,
        "partitions": [[describe_level(depth, level) for depth, level in enumerate(levels)]
                       for levels in tree.partitions],
        "tables": [describe_table_meta(table) for table in tree.tables()],
        "value_files": [{"number": file.number, "bytes": file.total_bytes, "garbage_bytes": file.garbage_bytes}
                        for file in tree.value_files],
        "log_segments": describe_folder(directory, ".log"),
    }


def show_database(directory: Path, *, limit: int, tables: bool, as_json: bool) -> None:
    found = describe_database(directory)
    if as_json:
        print_json(found)
        return
    print_facts({"database": found["path"], "last commit in tables": time_of(found["last_ts"]),
                 "history reaches back to": time_of(found["gc_floor_ts"])})
    for number, levels in enumerate(found["partitions"]):
        title = f"\nTree of partition {number}" if len(found["partitions"]) > 1 else "\nTree"
        total = {key: sum(level[key] for level in levels) for key in ("tables", "bytes", "entries", "deletes",
                                                                      "raw_bytes")}
        rows = [level_row(str(level["level"]), level) for level in levels if level["tables"]]
        print_table(title, ["level", "tables>", "size>", "entries>", "deletes>", "of raw>", "first key", "last key"],
                    [*rows, level_row("all", total)])
    if tables:
        rows = [[str(table["number"]), str(table["partition"]), str(table["level"]), size(table["bytes"]),
                 f"{table['entries']:,}", short(table["smallest"]), short(table["largest"]), time_of(table["max_ts"])]
                for table in found["tables"][:limit]]
        print_table("\nTables", ["number>", "partition>", "level>", "size>", "entries>", "first key", "last key",
                                 "newest version"], rows, note=cut_note(len(rows), len(found["tables"])))
    print_table("\nLog segments", ["file", "size>"],
                [[segment["name"], size(segment["bytes"])] for segment in found["log_segments"]])
    if found["value_files"]:
        print_table("\nValue files", ["number>", "size>", "garbage>"],
                    [[str(file["number"]), size(file["bytes"]), share(file["garbage_bytes"], file["bytes"])]
                     for file in found["value_files"]])


def level_row(label: str, level: Facts) -> list[str]:
    return [label, f"{level['tables']:,}", size(level["bytes"]), f"{level['entries']:,}", f"{level['deletes']:,}",
            share(level["bytes"], level["raw_bytes"]), short(level.get("smallest") or ""),
            short(level.get("largest") or "")]


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def cut_note(shown: int, total: int) -> str:
    return f"{shown:,} of {total:,}; --limit shows more" if shown < total else ""


# ---------------------------------------------------------------- one file

def describe_table(path: Path, limit: int) -> Facts:
    from phantomdb.core._ext.table_file import TableFile

    file = TableFile(PosixFileSystem(), str(path))
    return {
        "properties": dict(file.properties),
        "range_deletes": [{"start": start, "stop": stop, "ts": ts} for start, stop, ts in file.tombstones[:limit]],
        "blocks_in_all": file.block_count,
        "blocks": file.blocks()[:limit],
        "entries": [{"key": key, "ts": ts, "kind": kind_name(kind), "value": value_of(kind, value)}
                    for key, ts, kind, value in islice(file, limit)],
    }


def value_of(kind: int, value: bytes) -> bytes | str:
    """A value as it stands, or where a pointer leads."""
    if kind != KIND_POINTER:
        return value
    from phantomdb.core._ext.value_file import unpack_pointer

    number, offset, value_bytes, _, _ = unpack_pointer(value)
    return f"{value_bytes:,} bytes in value file {number} at {offset:,}"


def describe_log(path: Path, limit: int) -> Facts:
    from phantomdb.core._ext.log_reader import LogSegment
    from phantomdb.core.verification import operations_of

    segment = LogSegment(PosixFileSystem(), str(path))
    facts = {"number": segment.number, "start_lsn": segment.start_lsn, "durable_lsn": segment.durable_lsn,
             "header": "valid" if segment.header_valid else "none: prepared for later use, or damaged"}
    records: list[Facts] = []
    operations: list[Facts] = []
    count = operation_count = 0
    for offset, lsn, commit_ts, durable_lsn, payload in segment:
        found = [{"kind": kind_name(kind), "slot": slot, "key": key, "value": value_of(kind, value)}
                 for kind, slot, key, value in operations_of(payload)]
        count, operation_count = count + 1, operation_count + len(found)
        if len(records) < limit:
            records.append({"offset": offset, "lsn": lsn, "commit_ts": commit_ts, "durable_lsn": durable_lsn,
                            "payload_bytes": len(payload), "operations": len(found)})
        operations += [{"record": offset, **operation} for operation in found[:limit - len(operations)]]
    return {**facts, "records_in_all": count, "operations_in_all": operation_count,
            "ends_at": segment.end_offset, "ends_with": segment.end_reason, "records": records,
            "operations": operations}


def kind_name(kind: int) -> str:
    return KINDS.get(kind, f"kind {kind}")


def describe_values(path: Path, limit: int) -> Facts:
    from phantomdb.core._ext.value_file import ValueFile

    file = ValueFile(PosixFileSystem(), str(path))
    try:
        records = [{"offset": offset, "key": key, "value_bytes": value_bytes, "checksum": "right" if right else "wrong"}
                   for offset, key, value_bytes, right in islice(file.records(), limit)]
        return {"number": file.number, "torn_offset": file.torn_offset, "records": records}
    finally:
        file.close()


def describe_manifest(path: Path, limit: int) -> Facts:
    records = [{"offset": offset, "bytes": end - offset, **describe_edit(content)}
               for offset, end, content in read_records(path.read_bytes(), str(path))]
    return {"records_in_all": len(records), "records": records[-limit:] if limit else []}


def describe_edit(content: Facts) -> Facts:
    """A manifest's record, keys of tables left out."""
    kind, data = ("snapshot", content["snapshot"]["tree"]) if "snapshot" in content else ("edit", content["edit"])
    edit = decode_edit(data)
    return {
        "kind": kind,
        "added": [f"{table.number}@{table.level}" for table in edit.added],
        "removed": list(edit.removed),
        "value_files": [file.number for file in edit.added_value_files],
        "removed_value_files": list(edit.removed_value_files),
        "last_ts": edit.last_ts,
        "first_log_segment": edit.first_log_segment,
    }


DESCRIBERS: dict[str, Callable[[Path, int], Facts]] = {
    ".table": describe_table, ".log": describe_log, ".values": describe_values}


def describe_file(path: Path, limit: int) -> Facts:
    if path.name.startswith("MANIFEST"):
        return {"file": str(path), "bytes": path.stat().st_size, **describe_manifest(path, limit)}
    describe = DESCRIBERS.get(path.suffix)
    if describe is None:
        raise InvalidArgument(f"{path} is none of MANIFEST*, {', '.join('*' + suffix for suffix in DESCRIBERS)}")
    return {"file": str(path), "bytes": path.stat().st_size, **describe(path, limit)}


def show_file(path: Path, *, limit: int, as_json: bool) -> None:
    found = describe_file(path, limit)
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        if isinstance(value, dict):
            print_facts({key: cell(key, part) for key, part in value.items()})
        elif isinstance(value, list):
            show_rows(name, value)
        else:
            print_facts({name: value if isinstance(value, str) else cell(name, value)})


def show_rows(name: str, rows: list[Facts]) -> None:
    """A list of like dictionaries as a table."""
    if not rows:
        print_facts({name: "none"})
        return
    numeric = {column for column, value in rows[0].items() if isinstance(value, int) and not is_timestamp(column)}
    print_table(f"\n{name.replace('_', ' ')}", [column + ">" * (column in numeric) for column in rows[0]],
                [[cell(column, value) for column, value in row.items()] for row in rows])
