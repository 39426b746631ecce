"""The wheel and the source distribution: what is in them, and that both install and work elsewhere."""
from __future__ import annotations

import subprocess
import sys
import tarfile
import venv
import zipfile
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Loaded on first use only: an embedded put and get must start fast.
HEAVY = ["asyncio", "datafusion", "graphql", "http.client", "importlib.metadata", "pyarrow", "rich", "sqlglot",
         "sqlite3", "typer", "unittest", "zmq"]

PUT_AND_GET = """
import sys
import phantomdb
db = phantomdb.open(sys.argv[1])
db.kv.put(b"key", b"value")
db.close()
db = phantomdb.open(sys.argv[1])
assert db.kv.get(b"key") == b"value"
db.close()
print(phantomdb.__file__)
"""


def run(*command: str | Path, cwd: Path) -> str:
    result = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}"
    return result.stdout


def loaded_by(program: str, cwd: Path) -> set[str]:
    return set(run(sys.executable, "-c", program + "\nprint(*sys.modules)", cwd=cwd).split())


def test_import_is_light(tmp_path: Path) -> None:
    loaded = loaded_by("import phantomdb, sys", tmp_path)
    assert "phantomdb" in loaded
    assert loaded - loaded_by("import __future__, sys", tmp_path) <= {"phantomdb"}


def test_put_and_get_load_nothing_heavy(tmp_path: Path) -> None:
    program = PUT_AND_GET.replace("sys.argv[1]", repr(str(tmp_path / "data"))).replace("print", "str")
    loaded = loaded_by(program, tmp_path)
    assert "phantomdb.core._ext.engine" in loaded
    assert not loaded & set(HEAVY)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    program = "import sys; from setuptools.build_meta import build_sdist; print(build_sdist(sys.argv[1]))"
    run(sys.executable, "-c", program, folder, cwd=ROOT)
    (archive,) = folder.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist, so that the sdist is seen to hold all it takes."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation")
    run(sys.executable, *build, "-w", folder, sdist, cwd=folder)
    (archive,) = folder.glob("*.whl")
    return archive


def modules() -> set[str]:
    """Names of all modules of the package, as paths without suffix."""
    suffixes = {".py", ".pyx"}
    return {path.relative_to(ROOT).with_suffix("").as_posix()
            for folder in ("", "core", "frontends", "cluster")
            for path in (ROOT / "phantomdb" / folder).rglob("*") if path.suffix in suffixes}


@pytest.mark.long
@pytest.mark.sample
def test_wheel_holds_each_module_once(wheel: Path) -> None:
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert {name.split("/")[0] for name in names} <= {"__future__", "phantomdb"}
    held = Counter(name.split(".")[0] for name in names if name.endswith((".py", ".so")))
    assert set(held) == modules()
    assert set(held.values()) == {1}
    suffixes = {Path(name).suffix for name in names}
    assert suffixes == {".py", ".so", ".pyi", ".pxd", ".h", ".typed"}


@pytest.mark.long
@pytest.mark.sample
def test_sdist_holds_sources_once(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    names = [member.name.partition("/")[2] for member in members]
    assert not [member.name for member in members if member.issym() or member.islnk()]
    assert not [name for name in names if name.endswith((".c", ".cpp", ".so", ".pyc"))]
    assert not [name for name in names if name.startswith(("core/", "frontends/", "cluster/", "build/"))]
    for needed in ("LICENSE", "README.md", "Makefile", "setup.py", "pyproject.toml", "tests/test_packaging.py",
                   "phantomdb/py.typed", "phantomdb/core/_ext/platform.h", "phantomdb/core/_ext/status.pyx",
                   "phantomdb/core/_ext/status.pxd", "phantomdb/core/_ext/status.pyi"):
        assert names.count(needed) == 1, needed


@pytest.mark.long
@pytest.mark.sample
def test_wheel_installs_and_works_elsewhere(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "environment"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel, cwd=tmp_path)
    where = run(python, "-c", PUT_AND_GET, tmp_path / "data", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(home)
    assert (Path(where).parent / "py.typed").exists()
    assert "phantomdb" in run(home / "bin" / "phantomdb", "version", cwd=tmp_path)
    assert "level" in run(home / "bin" / "phantomdb", "inspect", tmp_path / "data", cwd=tmp_path).lower()
