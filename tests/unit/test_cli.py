"""The command line, run as a user runs it: arguments in; output, errors and exit status out."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import phantomdb
from phantomdb import cli
from phantomdb.cli.output import size, text_of, time_of


class Result:
    def __init__(self, status: int, output: str, errors: str) -> None:
        self.status, self.output, self.errors = status, output, errors

    @property
    def json(self) -> Any:
        return json.loads(self.output)


class Command:
    """Calls `phantomdb ...` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: str | Path) -> Result:
        self.monkeypatch.setattr(sys, "argv", ["phantomdb", *map(str, arguments)])
        self.capsys.readouterr()
        status: Any = 0
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code or 0
        captured = self.capsys.readouterr()
        return Result(status, captured.out, captured.err)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A database with tables on two levels, a value file, a range delete, and writes only the log has."""
    path = tmp_path / "data"
    program = """
import os, sys, phantomdb
db = phantomdb.open(sys.argv[1], durability="none", partitions=2)
for number in range(500):
    db.kv.put(b"key%04d" % number, b"value%04d" % number)
db.compact()
db.kv.put(b"[bold]", b"\\xff" * 10)
db.kv.put(b"large", b"x" * 100_000)
db.kv.delete(b"key0007")
db.kv.delete_range(b"key0400", b"key0410")
db.flush()
db.kv.write([(b"tail1", b"one"), (b"tail2", b"two")])
os._exit(0)                                    # as after kill -9: the log still holds the last write
"""
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    return path


def only(folder: Path, pattern: str) -> Path:
    return max(folder.glob(pattern), key=lambda path: path.stat().st_size)


def test_version(command: Command) -> None:
    assert command("version").output == f"phantomdb {phantomdb.__version__}\n"


def test_tree_by_level(command: Command, folder: Path) -> None:
    found = command("inspect", folder, "--json").json
    assert len(found["partitions"]) == 2
    levels = [level for levels in found["partitions"] for level in levels]
    assert sum(level["tables"] for level in levels) == len(list(folder.glob("*.table"))) == len(found["tables"])
    assert sum(level["bytes"] for level in levels) == sum(path.stat().st_size for path in folder.glob("*.table"))
    assert sum(level["entries"] for level in levels) == 500 + 3
    assert [file["number"] for file in found["value_files"]] == [int(path.stem) for path in folder.glob("*.values")]
    assert {segment["name"] for segment in found["log_segments"]} == {path.name for path in folder.glob("*.log")}
    text = command("inspect", folder, "--tables").output
    assert "Tree of partition 1" in text
    assert "key0499" in text
    assert "[bold]" in text                     # a key, not markup
    assert "\x1b" not in text                   # not a terminal: no colours


def test_looking_needs_no_lock(command: Command, folder: Path) -> None:
    with phantomdb.open(folder, partitions=None, durability="none"):
        assert command("inspect", folder).status == 0
        refused = command("compact", folder)
    assert refused.status == 1
    assert refused.errors.endswith("[locked]\n")


def test_table_file(command: Command, folder: Path) -> None:
    entries = []
    for path in sorted(folder.glob("*.table")):
        found = command("inspect", path, "--json", "--limit", "1000").json
        assert len(found["entries"]) == found["properties"]["entry_count"]
        assert sum(block["entry_count"] for block in found["blocks"]) == found["properties"]["entry_count"]
        entries += found["entries"]
    by_key = {entry["key"].removeprefix("k"): entry for entry in entries}
    assert by_key["key0123"]["value"] == "value0123"
    assert by_key["large"]["kind"] == "pointer"
    assert by_key["large"]["value"].startswith("100,000 bytes in value file")
    assert sum(entry["kind"] == "delete" for entry in entries) == 1
    path = only(folder, "*.table")
    assert len(command("inspect", path, "--json", "--limit", "3").json["entries"]) == 3
    assert "value0" in command("inspect", path).output


def test_log_file(command: Command, folder: Path) -> None:
    found = [command("inspect", path, "--json", "--limit", "10000").json for path in sorted(folder.glob("*.log"))]
    operations = [operation for segment in found for operation in segment["operations"]]
    tail = [operation for operation in operations if operation["key"].startswith("ktail")]
    assert [(operation["kind"], operation["value"]) for operation in tail] == [("put", "one"), ("put", "two")]
    assert tail[0]["record"] == tail[1]["record"]            # one commit, one record
    path = folder / next(Path(segment["file"]).name for segment in found if segment["operations"])
    assert "ends with" in command("inspect", path, "--limit", "2").output


def test_value_file(command: Command, folder: Path) -> None:
    found = command("inspect", only(folder, "*.values"), "--json").json
    assert [(record["key"], record["value_bytes"], record["checksum"]) for record in found["records"]] \
        == [("klarge", 100_000, "right")]
    assert "klarge" in command("inspect", only(folder, "*.values")).output


def test_manifest(command: Command, folder: Path) -> None:
    path = only(folder, "MANIFEST-*")
    found = command("inspect", path, "--json", "--limit", "1000").json
    assert found["records"][0]["kind"] == "snapshot"
    assert found["records_in_all"] == len(found["records"])
    assert "snapshot" in command("inspect", path, "--limit", "1000").output


def test_stats(command: Command, folder: Path) -> None:
    assert command("stats", folder, "--json").json["partitions"] == 2
    assert "space amplification" in command("stats", folder).output


def test_compact(command: Command, folder: Path) -> None:
    assert command("compact", folder).output.startswith("compacted")
    levels = command("inspect", folder, "--json").json["partitions"]
    assert sum(bool(level["tables"]) for level in levels[0]) == 1
    with phantomdb.open(folder, partitions=None) as db:
        assert db.kv.get(b"tail2") == b"two"
        assert db.kv.get(b"key0405") is None


@pytest.mark.parametrize("verb", ["inspect", "stats", "compact", "verify"])
def test_a_folder_without_database(command: Command, tmp_path: Path, verb: str) -> None:
    result = command(verb, tmp_path)
    assert (result.status, result.output) == (1, "")
    assert result.errors.count("\n") == 1
    assert result.errors.startswith("phantomdb: ")
    assert result.errors.endswith("[file_missing]\n")
    assert list(tmp_path.iterdir()) == []       # looking makes nothing


def test_an_unknown_file(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("?")
    assert command("inspect", path).errors.endswith("[invalid_argument]\n")


def test_damage_is_named(command: Command, folder: Path) -> None:
    path = only(folder, "MANIFEST-*")
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    result = command("inspect", folder)
    assert result.status == 1
    assert str(path) in result.errors
    assert result.errors.endswith("[corruption]\n")


def test_verify_and_repair(command: Command, folder: Path) -> None:
    assert command("verify", folder).status == 0
    path = only(folder, "*.table")
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)
    damaged = command("verify", folder)
    assert damaged.status == 1
    assert str(path) in damaged.errors
    assert command("repair", folder, "--yes").status == 0
    assert command("verify", folder).status == 0
    with phantomdb.open(folder, partitions=None) as db:
        assert db.kv.get(b"tail1") == b"one"


def test_verify_for_programs(command: Command, folder: Path) -> None:
    found = command("verify", folder, "--json").json
    assert found["problems"] == []
    assert found["tables"] == len(list(folder.glob("*.table")))
    text = command("verify", folder).output
    assert "no damage" in text
    assert "\x1b" not in text


def test_verify_tells_all_damage(command: Command, folder: Path) -> None:
    tables = sorted(folder.glob("*.table"))
    for path in tables:
        data = bytearray(path.read_bytes())
        data[20] ^= 4
        path.write_bytes(data)
    result = command("verify", folder, "--json")
    assert result.status == 1
    assert {problem["path"] for problem in result.json["problems"]} == {str(path) for path in tables}
    assert {problem["code"] for problem in result.json["problems"]} == {"corruption"}
    lines = result.errors.splitlines()
    assert len(lines) == len(tables)
    assert all(line.startswith("phantomdb: ") and line.endswith("[corruption]") for line in lines)
    assert f"damage in {len(tables)} files" in command("verify", folder).output


def test_repair_reports_what_is_lost(command: Command, folder: Path) -> None:
    assert command("repair", folder, "--yes").output == "nothing is damaged\n"
    assert command("repair", folder, "--yes", "--json").json["is_clean"]
    (folder / "CURRENT").unlink()
    path = only(folder, "*.table")
    data = bytearray(path.read_bytes())
    data[20] ^= 4
    path.write_bytes(data)
    assert [command(verb, folder).status for verb in ("stats", "compact", "inspect")] == [1, 1, 1]
    found = command("repair", folder, "--yes", "--json").json
    by_name = {file["name"]: file for file in found["files"]}
    assert set(by_name) == {"CURRENT", path.name}
    assert by_name[path.name]["entries_lost"] > 0
    assert by_name[path.name]["moved_to"] == f"lost/{path.name}"
    assert (folder / "lost" / path.name).read_bytes() == data
    assert command("verify", folder).status == 0
    assert command("stats", folder).status == command("compact", folder).status == 0


def test_repair_in_words(command: Command, folder: Path) -> None:
    path = only(folder, "*.table")
    data = bytearray(path.read_bytes())
    data[20] ^= 4
    path.write_bytes(data)
    text = command("repair", folder).output              # standard input is no terminal: nobody is asked
    assert text.startswith(f"{path.name}: ")
    assert "entries kept" in text
    assert f"the damaged file is kept as lost/{path.name}" in text


def test_a_database_in_use_is_not_touched(command: Command, folder: Path) -> None:
    with phantomdb.open(folder, durability="none"):
        for verb in ("verify", "repair", "stats"):
            result = command(verb, folder)
            assert (result.status, result.output) == (1, "")
            assert result.errors.endswith("[locked]\n")


def test_wrong_usage(command: Command, tmp_path: Path) -> None:
    assert command("inspect", tmp_path / "nothing").status == 2
    assert command("inspect").status == 2


def test_how_things_are_written() -> None:
    assert [size(0), size(1023), size(1536), size(5 << 30), size(3 << 40)] \
        == ["0 B", "1023 B", "1.5 KiB", "5.0 GiB", "3.0 TiB"]
    assert text_of(b"a\x00'\xff") == r"a\x00'\xff"
    assert time_of(0) == "-"
    assert time_of((1_700_000_000_123 << 18) + 5) == "2023-11-14 22:13:20.123+5"
    assert time_of((1 << 64) - 1).endswith("+262143")
