"""The pages tell the truth: their Python runs, the options are those of the code, named tests exist."""
from __future__ import annotations

import ast
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from phantomdb.core.options import Options

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
TEST_NAME = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def python_of(page: Path) -> str:
    """All Python of a page as one program with the page's own line numbers."""
    text = page.read_text("utf-8")
    lines = [""] * (text.count("\n") + 1)
    for found in PYTHON_BLOCK.finditer(text):
        first = text.count("\n", 0, found.start(1))
        block = found[1].splitlines()
        lines[first:first + len(block)] = block
    return "\n".join(lines)


def named_tests(page: Path) -> list[tuple[str, str]]:
    return TEST_NAME.findall(page.read_text("utf-8"))


@pytest.mark.parametrize("page", [page for page in PAGES if python_of(page).strip()], ids=lambda page: page.stem)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program = tmp_path / f"{page.stem}.py"
    program.write_text(python_of(page), "utf-8")
    runpy.run_path(str(program))


def test_options_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "options.md").read_text("utf-8")
    table = page[page.index("| option "):]
    assert table == Options.table(), "make it again: python docs/make_options.py"


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize("page", ["status.md", "proofs.md"])
def test_named_tests_exist(page: str) -> None:
    names = named_tests(ROOT / "docs" / page)
    wrong = [f"{file}::{name}" for file, name in names
             if not (ROOT / file).is_file() or (name and name not in functions(ROOT / file))]
    assert not wrong, wrong


def test_status_names_a_test_for_what_is_there() -> None:
    rows = [line for line in (ROOT / "docs" / "status.md").read_text("utf-8").splitlines() if "| there |" in line]
    assert rows and all(TEST_NAME.search(row) for row in rows)


@pytest.mark.long
@pytest.mark.sample
def test_the_demo_holds(tmp_path: Path) -> None:
    """Without a terminal; each line it prints with a tick is a check of its own."""
    plot = tmp_path / "plot.png"
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    done = subprocess.run([sys.executable, str(ROOT / "docs" / "examples" / "flights.py"), "--plot", str(plot)],
                          capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything held" in done.stdout and "FAILED" not in done.stdout and not done.stderr
    assert done.stdout.count("✓") > 40 and plot.stat().st_size > 10_000
