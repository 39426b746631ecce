"""Each extension has a hand-written stub, and stub and module say the same.

Cython cannot write stubs, so nothing but this test keeps them true: public names, the members of classes, and the
names and order of parameters, each compared in both directions.
"""
from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import phantomdb.core._ext as package

FOLDER = Path(package.__path__[0])
SOURCES = Path(__file__).resolve().parent.parent / "phantomdb" / "core" / "_ext"
EXTENSIONS = sorted(path.stem for path in SOURCES.glob("*.pyx"))
Definition = ast.FunctionDef | ast.AsyncFunctionDef


def is_public(name: str) -> bool:
    return not name.startswith("_")


def stub_names(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """What the stub declares, imports and private names left out."""
    names: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, Definition | ast.ClassDef):
            names[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names[node.target.id] = node
        elif isinstance(node, ast.Assign):
            names.update({target.id: node for target in node.targets if isinstance(target, ast.Name)})
    return {name: node for name, node in names.items() if is_public(name)}


def is_type_alias(node: ast.stmt) -> bool:
    """Spelled for the type checker alone: an alias, or a class that only a checker sees."""
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias"
    return isinstance(node, ast.ClassDef) and any(
        isinstance(base, ast.Name) and base.id in {"Protocol", "TypedDict"} for base in node.bases)


def module_names(module: ModuleType) -> set[str]:
    """Public names the module defines; what it imported for its own use is not its face."""
    names = set()
    for name, value in vars(module).items():
        home = getattr(value, "__module__", None)
        if is_public(name) and not isinstance(value, ModuleType) and home in (None, module.__name__):
            names.add(name)
    return names


def class_members(cls: type) -> set[str]:
    return {name for name in vars(cls) if is_public(name)}


def split_parameters(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for position, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            parts.append(text[start:position])
            start = position + 1
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def runtime_parameters(function: object) -> list[str] | None:
    """Parameter names from the signature, or from the one Cython embeds as the docstring's first line."""
    try:
        names = list(inspect.signature(function).parameters)        # type: ignore[arg-type]
    except (TypeError, ValueError):
        first = (getattr(function, "__doc__", None) or "").split("\n", 1)[0]
        match = re.search(r"\w\((.*)\)", first)
        if match is None:
            return None
        names = []
        for part in split_parameters(match.group(1)):
            # "type name=default" as Cython writes it, or "name: type = default"
            named = re.match(r"(\w+)\s*:(?!:)", part) or re.search(r"(\w+)(?:\s+not None)?\s*(?:=.*)?$", part)
            if named is not None:
                names.append(named.group(1))
    return [name for name in names if name not in {"self", "cls"}]


def stub_parameters(node: Definition) -> list[str]:
    arguments = node.args
    found = [*arguments.posonlyargs, *arguments.args]
    if arguments.vararg:
        found.append(arguments.vararg)
    found += arguments.kwonlyargs
    if arguments.kwarg:
        found.append(arguments.kwarg)
    # two underscores in front are the old spelling of positional-only
    return [argument.arg.removeprefix("__") for argument in found if argument.arg not in {"self", "cls"}]


def compare_functions(where: str, node: ast.stmt, value: object) -> list[str]:
    if not isinstance(node, Definition) or not callable(value):
        return []
    actual, declared = runtime_parameters(value), stub_parameters(node)
    if actual is None or actual == declared:
        return []
    return [f"{where}: stub has ({', '.join(declared)}), the module ({', '.join(actual)})"]


def compare_names(where: str, declared: set[str], actual: set[str]) -> list[str]:
    return ([f"{where}.{name}: in the stub only" for name in sorted(declared - actual)]
            + [f"{where}.{name}: not in the stub" for name in sorted(actual - declared)])


def compare(module: ModuleType, stub: str) -> list[str]:
    """Everything stub and module disagree on."""
    declared = {name: node for name, node in stub_names(ast.parse(stub).body).items() if not is_type_alias(node)}
    actual = module_names(module)
    short = module.__name__.rpartition(".")[2]
    problems = compare_names(short, set(declared), actual)
    for name in sorted(set(declared) & actual):
        node, value = declared[name], getattr(module, name)
        problems += compare_functions(f"{short}.{name}", node, value)
        if isinstance(node, ast.ClassDef) != isinstance(value, type):
            problems.append(f"{short}.{name}: a class in one of the two only")
        elif isinstance(node, ast.ClassDef):
            members = stub_names(node.body)
            problems += compare_names(f"{short}.{name}", set(members), class_members(value))
            for member in sorted(set(members) & class_members(value)):
                problems += compare_functions(f"{short}.{name}.{member}", members[member], getattr(value, member))
    return problems


def test_there_are_extensions() -> None:
    assert EXTENSIONS, "no .pyx found: this test would pass on nothing"


@pytest.mark.parametrize("name", EXTENSIONS)
def test_stub_and_module_agree(name: str) -> None:
    stub = FOLDER / f"{name}.pyi"
    assert stub.exists(), f"write {name}.pyi beside {name}.pyx"
    module = importlib.import_module(f"phantomdb.core._ext.{name}")
    problems = compare(module, stub.read_text("utf-8"))
    assert not problems, "\n" + "\n".join(problems)


def test_no_stub_without_extension() -> None:
    assert {path.stem for path in FOLDER.glob("*.pyi")} <= set(EXTENSIONS)


@pytest.mark.parametrize(("stub", "complaint"), [
    ("def f(a: int, b: int) -> int: ...\nclass C:\n    def m(self, x: int) -> int: ...\nX: int\n", None),
    ("def f(a: int) -> int: ...\nclass C:\n    def m(self, x: int) -> int: ...\nX: int\n", "stub has (a)"),
    ("def f(a: int, b: int) -> int: ...\nclass C: ...\nX: int\n", "C.m: not in the stub"),
    ("def f(a: int, b: int) -> int: ...\nclass C:\n    def m(self, y: int) -> int: ...\nX: int\n", "stub has (y)"),
    ("class C:\n    def m(self, x: int) -> int: ...\nX: int\n", "f: not in the stub"),
    ("def f(a: int, b: int) -> int: ...\nclass C:\n    def m(self, x: int) -> int: ...\nX: int\nY: int\n", "Y: in the"),
])
def test_the_comparison_itself(stub: str, complaint: str | None) -> None:
    module = ModuleType("sample")

    def f(a: int, b: int) -> int:
        return a + b

    class C:
        def m(self, x: int) -> int:
            return x

    f.__module__ = C.__module__ = "sample"
    vars(module).update(f=f, C=C, X=1)
    problems = compare(module, stub)
    assert (problems == []) if complaint is None else any(complaint in problem for problem in problems)


def test_parameters_from_an_embedded_signature() -> None:
    class Builtin:
        """f(self, const uint8_t[::1] data not None, uint32_t crc=0, *, char *path=None, **more)"""

        __signature__ = None

    assert runtime_parameters(Builtin.__new__(Builtin)) == ["data", "crc", "path", "more"]
