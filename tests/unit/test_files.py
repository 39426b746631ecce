"""The file seam: POSIX and bridged file systems do the same and fail alike."""
from __future__ import annotations

import errno
import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomdb.core import errors
from phantomdb.core._ext.files import CREATE, READ, WRITE, BridgedFileSystem, File, FileSystem, PosixFileSystem
from phantomdb.core.filesystems import MemoryFileSystem

Place = tuple[FileSystem, str]       # a file system and an empty folder in it


@pytest.fixture(params=["posix", "bridged"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "posix":
        return PosixFileSystem(), str(tmp_path)
    return BridgedFileSystem(MemoryFileSystem()), "/"


def test_write_and_read(place: Place) -> None:
    fs, folder = place
    with fs.open(f"{folder}/a", CREATE) as file:
        file.pwrite(b"hello", 0)
        file.pwrite(memoryview(bytearray(b"world")), 7)
        file.sync()
        assert file.size() == 12
        assert file.pread(100, 0) == b"hello\0\0world"
        assert file.pread(3, 7) == b"wor"
        assert file.pread(5, 12) == b""
    assert fs.read_file(f"{folder}/a") == b"hello\0\0world"
    assert fs.size(f"{folder}/a") == 12


def test_open_modes(place: Place) -> None:
    fs, folder = place
    path = f"{folder}/a"
    for mode in (READ, WRITE):
        with pytest.raises(errors.FileMissing) as caught:
            fs.open(path, mode)
        assert caught.value.path == path
        assert caught.value.errno == errno.ENOENT
    with fs.open(path, CREATE) as file:
        file.pwrite(b"123", 0)
    with fs.open(path, WRITE) as file:
        file.pwrite(b"x", 1)
    with fs.open(path, READ) as file:
        assert file.pread(9, 0) == b"1x3"
        with pytest.raises(errors.StorageError):
            file.pwrite(b"no", 0)
    with fs.open(path, CREATE) as file:
        assert file.size() == 0
    with pytest.raises((errors.InvalidArgument, errors.StorageError)):
        fs.open(path, 99)


def test_closed_file_refuses(place: Place) -> None:
    fs, folder = place
    file = fs.open(f"{folder}/a", CREATE)
    file.close()
    file.close()
    calls: list[Callable[[], object]] = [
        file.size, file.sync, lambda: file.pread(1, 0), lambda: file.pwrite(b"", 0),
        lambda: file.truncate(0), lambda: file.allocate(1), lambda: file.map(1)]
    for call in calls:
        with pytest.raises(errors.DatabaseClosed):
            call()
    with pytest.raises(TypeError):
        File()


def test_names(place: Place) -> None:
    fs, folder = place
    fs.write_file_atomically(f"{folder}/b", b"B")
    fs.write_file_atomically(f"{folder}/a", b"A")
    assert fs.list_dir(folder) == ["a", "b"]
    fs.link(f"{folder}/a", f"{folder}/c")
    with pytest.raises(errors.FileAlreadyExists):
        fs.link(f"{folder}/a", f"{folder}/c")
    fs.rename(f"{folder}/a", f"{folder}/b")
    assert fs.read_file(f"{folder}/b") == fs.read_file(f"{folder}/c") == b"A"
    fs.unlink(f"{folder}/b")
    assert not fs.exists(f"{folder}/b")
    assert fs.exists(f"{folder}/c")
    fs.make_dir(f"{folder}/d")
    fs.make_dir(f"{folder}/d")
    assert fs.list_dir(folder) == ["c", "d"]
    assert fs.list_dir(f"{folder}/d") == []
    fs.sync_dir(folder)


def test_missing_names(place: Place) -> None:
    fs, folder = place
    missing = f"{folder}/missing"
    calls: list[Callable[[], object]] = [
        lambda: fs.rename(missing, f"{folder}/x"), lambda: fs.link(missing, f"{folder}/x"),
        lambda: fs.unlink(missing), lambda: fs.sync_dir(missing), lambda: fs.list_dir(missing),
        lambda: fs.make_dir(f"{missing}/x"), lambda: fs.open(f"{missing}/x", CREATE),
        lambda: fs.read_file(missing)]
    for call in calls:
        with pytest.raises(errors.FileMissing) as caught:
            call()
        assert "missing" in str(caught.value)


def test_make_dir_over_a_file_fails(place: Place) -> None:
    fs, folder = place
    fs.write_file_atomically(f"{folder}/a", b"")
    with pytest.raises(errors.FileAlreadyExists):
        fs.make_dir(f"{folder}/a")


def test_path_with_zero_byte_is_refused(place: Place) -> None:
    with pytest.raises(errors.InvalidArgument):
        place[0].open("a\0b", CREATE)


@pytest.mark.parametrize("zeros", [False, True])
def test_allocate_grows_and_never_shrinks(place: Place, zeros: bool) -> None:
    fs, folder = place
    size = (2 << 20) + 5             # more than one chunk of zeros
    with fs.open(f"{folder}/a", CREATE) as file:
        file.pwrite(b"kept", 0)
        file.allocate(size, zeros)
        assert file.size() == size
        assert file.pread(size, 0) == b"kept" + bytes(size - 4)
        file.allocate(10, zeros)
        file.allocate(0, zeros)
        assert file.size() == size


def test_allocate_reserves_space(tmp_path: Path) -> None:
    with PosixFileSystem().open(tmp_path / "a", CREATE) as file:
        file.allocate(1 << 20)
    assert os.stat(tmp_path / "a").st_blocks * 512 >= 1 << 20


def test_truncate(place: Place) -> None:
    fs, folder = place
    with fs.open(f"{folder}/a", CREATE) as file:
        file.pwrite(b"123456", 0)
        file.truncate(2)
        file.truncate(4)
        assert file.pread(9, 0) == b"12\0\0"


def test_mapped_file_is_written_through_the_mapping(place: Place) -> None:
    fs, folder = place
    with fs.open(f"{folder}/a", CREATE) as file:
        file.allocate(8192)
        file.map(8192)
        file.pwrite(b"start", 0)
        file.pwrite(b"end", 8189)
        file.pwrite(b"across", 8189)             # leaves the mapping
        file.pwrite(b"beyond", 9000)
        file.sync()
        assert file.pread(5, 0) == b"start"
        assert file.pread(6, 8189) == b"across"
        assert file.size() == 9006
        file.truncate(10)                        # must not leave a mapping beyond the end
        file.pwrite(b"x", 5000)
        file.map(4096)
        file.map(0)
        assert file.size() == 5001


@given(data=st.data())
def test_posix_and_memory_agree(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One random program runs on both; what it can see must be the same all along."""
    places: list[Place] = [(PosixFileSystem(), str(tmp_path_factory.mktemp("agree"))),
                           (BridgedFileSystem(MemoryFileSystem()), "/base")]
    places[1][0].make_dir("/base")
    names = st.sampled_from(["a", "b", "folder", "folder/a", "folder/inner"])
    steps = data.draw(st.lists(st.tuples(
        st.sampled_from(["write", "create", "truncate", "allocate", "rename", "link", "unlink", "make_dir"]),
        names, names, st.integers(0, 1500), st.binary(max_size=20)), max_size=25))
    for action, name, other, number, content in steps:
        seen = [_run_step(fs, folder, action, name, other, number, content) for fs, folder in places]
        assert seen[0] == seen[1], (action, name, other)


def _run_step(fs: FileSystem, folder: str, action: str, name: str, other: str, number: int, content: bytes) -> Any:
    path = f"{folder}/{name}"
    outcome = "done"
    try:
        if action in ("rename", "link", "unlink", "make_dir"):
            arguments = (path, f"{folder}/{other}") if action in ("rename", "link") else (path,)
            getattr(fs, action)(*arguments)
        else:
            with fs.open(path, CREATE if action == "create" else WRITE) as file:
                if action == "write":
                    file.pwrite(content, number)
                elif action != "create":
                    getattr(file, action)(number)
    except errors.StorageError:
        outcome = "failed"           # which errno may differ; whether, may not
    return outcome, _tree(fs, folder)


def _tree(fs: FileSystem, folder: str) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name in fs.list_dir(folder):
        try:
            tree[name] = _tree(fs, f"{folder}/{name}")
        except errors.StorageError:
            tree[name] = fs.read_file(f"{folder}/{name}")
    return tree


# ---- locks

def test_lock_refuses_a_second_holder(place: Place) -> None:
    fs, folder = place
    lock = fs.lock(f"{folder}/LOCK")
    with pytest.raises(errors.DatabaseLocked, match=str(os.getpid())):
        fs.lock(f"{folder}/LOCK")
    fs.lock(f"{folder}/OTHER").release()
    lock.release()
    lock.release()
    fs.lock(f"{folder}/LOCK").release()
    assert fs.exists(f"{folder}/LOCK")


def test_lock_of_another_process_is_named_and_dies_with_it(tmp_path: Path) -> None:
    program = ("import sys\nfrom phantomdb.core._ext.files import PosixFileSystem\n"
               "lock = PosixFileSystem().lock(sys.argv[1])\nprint('held', flush=True)\nsys.stdin.read()\n")
    fs = PosixFileSystem()
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "LOCK")], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(errors.DatabaseLocked, match=f"another process .pid {process.pid}"):
            fs.lock(tmp_path / "LOCK")
        process.send_signal(signal.SIGKILL)
    fs.lock(tmp_path / "LOCK").release()


def test_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    """The holder forks and is killed; its child lives on without the lock."""
    program = ("import os, sys, signal\nfrom phantomdb.core._ext.files import PosixFileSystem\n"
               "lock = PosixFileSystem().lock(sys.argv[1])\n"
               "if os.fork() == 0:\n    os.write(1, b'child\\n')\n    sys.stdin.read()\n    os._exit(0)\n"
               "sys.stdin.read()\n")
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "LOCK")], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"child\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
        PosixFileSystem().lock(tmp_path / "LOCK").release()


def test_lost_lock_object_frees_the_lock(tmp_path: Path) -> None:
    fs = PosixFileSystem()
    lock = fs.lock(tmp_path / "LOCK")
    del lock
    gc.collect()
    fs.lock(tmp_path / "LOCK").release()


# ---- the bridge

class Broken:
    """A file system all of whose calls raise one thing."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: object) -> None:
            raise self.error
        return call


@pytest.mark.parametrize(("raised", "expected"), [
    (OSError(errno.EIO, "bad"), errors.StorageError),
    (OSError(errno.ENOSPC, "full"), errors.DiskFull),
    (OSError(errno.EDQUOT, "full"), errors.DiskFull),
    (OSError(errno.ENOENT, "gone"), errors.FileMissing),
    (OSError(errno.EEXIST, "there"), errors.FileAlreadyExists),
    (OSError("no number"), errors.StorageError),
    (errors.CorruptionError("damaged"), errors.CorruptionError),
    (errors.DiskFull("full"), errors.DiskFull),
    (errors.DatabaseLocked("held"), errors.DatabaseLocked),
    (errors.StorageError("odd", errno=errno.EIO), errors.StorageError),
    (errors.RetryableConflict("misplaced"), errors.StorageError),
    (ValueError("a bug: \udcff"), errors.StorageError),
    (MemoryError(), errors.OutOfMemory),
])
def test_exceptions_cross_the_bridge_as_statuses(raised: BaseException, expected: type[Exception]) -> None:
    fs = BridgedFileSystem(Broken(raised))
    calls: list[Callable[[], object]] = [
        lambda: fs.open("p", READ), lambda: fs.rename("p", "q"), lambda: fs.link("p", "q"), lambda: fs.unlink("p"),
        lambda: fs.sync_dir("p"), lambda: fs.list_dir("p"), lambda: fs.make_dir("p"), lambda: fs.exists("p"),
        lambda: fs.lock("p")]
    for call in calls:
        with pytest.raises(expected) as caught:
            call()
        assert type(caught.value) is expected
        assert caught.value.path == "p"              # type: ignore[attr-defined]


def test_exceptions_of_bridged_files() -> None:
    class Opens(Broken):
        def open(self, path: str, mode: int) -> Broken:
            return Broken(OSError(errno.EIO, "bad"))

    file = BridgedFileSystem(Opens(ValueError())).open("p", WRITE)
    calls: list[Callable[[], object]] = [
        lambda: file.pread(1, 0), lambda: file.pwrite(b"x", 0), file.sync, lambda: file.allocate(1),
        lambda: file.truncate(1), file.size]
    for call in calls:
        with pytest.raises(errors.StorageError) as caught:
            call()
        assert (caught.value.errno, caught.value.path) == (errno.EIO, "p")
    file.close()                                     # what close() raises is dropped


@pytest.mark.parametrize("answer", [b"longer than asked for", "text", None])
def test_wrong_answer_of_a_bridged_pread_is_an_error(answer: object) -> None:
    class Liar:
        def open(self, path: str, mode: int) -> Liar:
            return self

        def pread(self, size: int, offset: int) -> object:
            return answer

        def close(self) -> None:
            pass

    with BridgedFileSystem(Liar()).open("p", READ) as file, pytest.raises(errors.StorageError, match="pread"):
        file.pread(3, 0)


def test_bridged_objects_are_released() -> None:
    disk = MemoryFileSystem()
    fs = BridgedFileSystem(disk)
    assert fs.target is disk
    file = fs.open("/a", CREATE)
    gone = weakref.ref(disk)
    del disk, fs
    file.pwrite(b"x", 0)             # the file keeps what it needs
    file.close()
    del file
    gc.collect()
    assert gone() is None


def test_long_paths_and_messages_are_cut_not_overrun() -> None:
    long = "x" * 2000
    with pytest.raises(errors.StorageError) as caught:
        BridgedFileSystem(Broken(ValueError(long))).open(long, READ)
    assert len(str(caught.value)) < 1000


def test_parallel_writers(place: Place) -> None:
    fs, folder = place
    with fs.open(f"{folder}/a", CREATE) as file:
        def work(number: int) -> None:
            for turn in range(50):
                file.pwrite(bytes([number]) * 100, (turn * 4 + number) * 100)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert file.pread(20000, 0) == b"".join(bytes([number]) * 100 for number in range(4)) * 50
