"""House rules that no linter knows, above all for Cython, which ruff cannot read."""
from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SUFFIXES = {".py", ".pyx", ".pxd", ".pyi", ".md"}
LINE_COLUMNS_MAX = 120
FILE_LINES_MAX = 700
SKIPPED_FOLDERS = {"build", "dist", "__pycache__", "node_modules"}

Problem = tuple[int, str]            # line, what is wrong
Rule = Callable[[Path, str], Iterator[Problem]]


def project_files() -> list[Path]:
    """Everything git tracks or would track, links left out; in an unpacked sdist, everything there is."""
    try:
        listing = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                                 capture_output=True, check=True, text=True).stdout
        names = [ROOT / name for name in listing.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = [path for path in ROOT.rglob("*")
                 if not any(part.startswith(".") or part in SKIPPED_FOLDERS for part in path.relative_to(ROOT).parts)]
    return sorted({path for path in names if path.suffix in SUFFIXES and path.is_file() and not path.is_symlink()})


def is_python(path: Path) -> bool:
    return path.suffix in {".py", ".pyi"}


def is_cython(path: Path) -> bool:
    return path.suffix in {".pyx", ".pxd"}


def layout(_path: Path, text: str) -> Iterator[Problem]:
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_COLUMNS_MAX and not line.lstrip().startswith(("|", "http")):    # a table's row is one line
            yield number, f"{len(line)} columns"
        if "\t" in line:
            yield number, "a tab"
        if line != line.rstrip():
            yield number, "blanks at the end"
    if len(lines) > FILE_LINES_MAX:
        yield len(lines), f"over {FILE_LINES_MAX} lines: split it"
    if text and not text.endswith("\n"):
        yield len(lines), "no newline at the end"


def header(path: Path, text: str) -> Iterator[Problem]:
    """Each module says what it is: a docstring, or in Cython a comment."""
    if path.suffix == ".py" and text.strip() and ast.get_docstring(ast.parse(text)) is None:
        yield 1, "no module docstring"
    if is_cython(path) and not text.lstrip().startswith(('"""', "#")):
        yield 1, "no docstring or comment at the top"


def statements(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines of Cython code: comments and docstrings dropped, lines joined while brackets are open."""
    quoted, open_brackets, start, gathered = False, 0, 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.count('"""') % 2:
            quoted = not quoted
            continue
        if quoted:
            continue
        code = re.sub(r"""b?"(\\.|[^"\\])*"|b?'(\\.|[^'\\])*'""", '""', line).split("#")[0].rstrip()
        gathered, start = (gathered + " " + code.strip(), start) if gathered else (code, number)
        open_brackets += code.count("(") - code.count(")") + code.count("[") - code.count("]")
        if open_brackets <= 0:
            if gathered.strip():
                yield start, gathered
            open_brackets, gathered = 0, ""


FUNCTION = re.compile(r"^\s*(?:cdef|cpdef|ctypedef)\s+(?!extern\b|class\b|struct\b|packed\b)[^=]*?\(.*\)")


def exception_clauses(path: Path, text: str) -> Iterator[Problem]:
    """A call that may raise re-takes the GIL to look: each C function says whether it does."""
    if not is_cython(path):
        return
    for number, code in statements(text):
        if not FUNCTION.match(code):
            continue
        after = code[code.rindex(")"):]
        clause = re.search(r"\b(noexcept|except)\b", after)
        if re.search(r"\bnogil\b", after) and not clause:
            yield number, "nogil without noexcept or except"
        elif re.match(r"^\s*(?:cdef|cpdef)\s+(?:inline\s+)?void\s+\w", code) and not clause:
            yield number, "void without noexcept or except"


NO_EXEC = "no eval, no exec"
BANNED = {
    r"^\s*(?:from|c?import|from\s+\S+\s+c?import)\s+(?:core|frontends|cluster)\b": "import it as phantomdb.<name>",
    r"^\s*(?:import|from)\s+(?:c?pickle|marshal|shelve)\b": "nothing read from disk or wire is ever executed",
    r"(?<![\w.])(?:eval|exec)\(": NO_EXEC,
    r"(?<![\w.])goto\b\s+\w": "no goto",
}


def banned(path: Path, text: str) -> Iterator[Problem]:
    if not (is_python(path) or is_cython(path)):
        return
    for number, code in statements(text):
        for pattern, reason in BANNED.items():
            # a test may run what the documentation shows
            if re.search(pattern, code) and not (reason == NO_EXEC and path.is_relative_to(ROOT / "tests")):
                yield number, reason


MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|home|root|Users)/\w")


def portable(_path: Path, text: str) -> Iterator[Problem]:
    for number, line in enumerate(text.splitlines(), 1):
        if MACHINE_PATH.search(line):
            yield number, "a path of one machine"


def layers(path: Path, text: str) -> Iterator[Problem]:
    """import-linter sees no .pyx: an extension imports its neighbours in _ext and the standard library only."""
    if not is_cython(path):
        return
    for number, code in statements(text):
        if re.match(r"^\s*(?:from|import|cimport)\s+(?:phantomdb(?!\.core\._ext\b)|\.\.)", code):
            yield number, "an extension imports only from .module"


def unused_imports(path: Path, text: str) -> Iterator[Problem]:
    """What Cython code imports it uses; a .pyx also has what its .pxd imports."""
    if not is_cython(path):
        return
    imported, used = [], set()
    for number, code in statements(text):
        if match := re.match(r"\s*from\s+\S+\s+c?import\s+(.*)", code):
            imported += [(number, name.split(" as ")[-1].strip(" ()")) for name in match.group(1).split(",")]
        else:
            used.update(re.findall(r"\w+", code))
    for number, name in imported:
        if name and name not in used:
            yield number, f"{name} is imported and not used"


def links(path: Path, text: str) -> Iterator[Problem]:
    """What a page links to inside the project is there."""
    if path.suffix != ".md":
        return
    for number, line in enumerate(text.splitlines(), 1):
        for target in re.findall(r"\]\(([^)\s]+)\)", line):
            local = target.split("#")[0]
            outside = "://" in target or target.startswith("mailto:")
            if local and not outside and not (path.parent / local).exists():
                yield number, f"links to {target}, which is not there"


RULES: list[Rule] = [layout, header, exception_clauses, banned, portable, layers, unused_imports, links]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_house_rule(rule: Rule) -> None:
    problems = [f"{path.relative_to(ROOT)}:{line}: {what}"
                for path in project_files() for line, what in rule(path, path.read_text("utf-8"))]
    assert not problems, "\n" + "\n".join(problems)


# Each rule is shown something it must object to: a rule that finds nothing anywhere proves nothing.
@pytest.mark.parametrize(("rule", "name", "text"), [
    (layout, "a.py", "x = 1 \n"),
    (layout, "a.py", "x = 1\n\ty = 2\n"),
    (layout, "a.py", "#" * (LINE_COLUMNS_MAX + 1) + "\n"),
    (layout, "a.py", "x\n" * (FILE_LINES_MAX + 1)),
    (header, "a.py", "x = 1\n"),
    (header, "a.pyx", "cdef int x = 1\n"),
    (exception_clauses, "a.pyx", "cdef int f(int a,\n            int b) nogil:\n    return 0\n"),
    (exception_clauses, "a.pxd", "cdef inline void f(int a):\n    pass\n"),
    (exception_clauses, "a.pxd", "ctypedef int (*callback)(void *context) nogil\n"),
    (banned, "a.py", "from " + "core.errors import PhantomError\n"),
    (banned, "a.pyx", "from " + "core._ext.files cimport File\n"),
    (banned, "a.py", "import " + "pickle\n"),
    (banned, "a.py", "y = eval(" + "'1')\n"),
    (portable, "a.md", "see /" + "home/someone/notes\n"),
    (layers, "a.pyx", "from phantomdb.core.errors import PhantomError\n"),
    (layers, "a.pyx", "from ..errors import PhantomError\n"),
    (unused_imports, "a.pyx", "from .status cimport (fail,\n                      raise_status)\nfail()\n"),
    (links, "a.md", "see [this](no-such-page.md)\n"),
])
def test_rule_can_fail(rule: Rule, name: str, text: str) -> None:
    assert list(rule(ROOT / name, text))


@pytest.mark.parametrize("code", [
    "cdef int f(int a,\n            int b) noexcept nogil:\n    return 0\n",
    "cdef int f(int a) except -1 nogil\n",
    "cdef extern from 'x.h' nogil:\n    void g()\n",
    "cdef uint32_t a = f(1)\n",
    "cdef object f(int a):\n    return a\n",
    "cdef void (*callback)(int) noexcept nogil\n",
])
def test_exception_clauses_accepts(code: str) -> None:
    assert not list(exception_clauses(Path("a.pyx"), code))
