"""The shell's backslash commands: a table of them, and what each does."""
from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from phantomdb.cli import catalog
from phantomdb.cli.drawing import BOXED, FORMATS, PLAIN, Rows, table
from phantomdb.cli.shell import CommandError, Leave, Shell
from phantomdb.cli.words import HELP

if TYPE_CHECKING:
    from phantomdb.cli.catalog import Description

_COPY = re.compile(r"(?P<what>.*?)\s+(?P<direction>from|to)\s+(?P<path>'(?:[^']|'')*'|[^\s']\S*)(?P<rest>.*)",
                   re.IGNORECASE | re.DOTALL)


class Command(NamedTuple):
    """`run` gets what stands behind the name."""

    argument: str
    help: str
    run: Callable[[Shell, str], None]


def run_command(shell: Shell, line: str) -> None:
    """Errors of the command; CommandError: there is none of this name."""
    name, _, rest = line.partition(" ")
    found = COMMANDS.get(name)
    if found is None:
        raise CommandError(f"there is no command {name}; \\? lists them")
    argument = rest.strip()
    if name != "\\explain":                                  # a semicolon at the end is a habit
        argument = argument.removesuffix(";").rstrip()
    if argument and not found.argument:
        raise CommandError(f"{name} takes no argument")
    found.run(shell, argument)


# -------------------------------------------------------------------- the catalog

def _describe(shell: Shell, pattern: str) -> None:
    if not pattern:
        shell.show(catalog.relations(shell, "rvS", ""))
        return
    for description in catalog.describe(shell, pattern):
        _show(shell, description)


def _show(shell: Shell, description: Description) -> None:
    if shell.format_name != "table":
        shell.show(description.columns)
        return
    drawn = table(description.columns, BOXED if shell.is_on_terminal else PLAIN, is_counted=False)
    parts = ["\n    ".join([f"{heading}:", *lines]) for heading, lines in description.parts]
    shell.write("\n".join([description.title, drawn, *parts]))


def _listing(rows: Callable[[Shell, str], Rows]) -> Callable[[Shell, str], None]:
    return lambda shell, pattern: shell.show(rows(shell, pattern))


# -------------------------------------------------------------------- switches

def _switch(name: str, label: str) -> Callable[[Shell, str], None]:
    def run(shell: Shell, argument: str) -> None:
        if argument.lower() not in ("", "on", "off"):
            raise CommandError(f"{label}: say on or off, or nothing to change it")
        value = not getattr(shell, name) if not argument else argument.lower() == "on"
        setattr(shell, name, value)
        shell.write(f"{label} is {'on' if value else 'off'}.")
    return run


def _format(shell: Shell, argument: str) -> None:
    if argument and argument not in FORMATS:
        raise CommandError(f"there is no format {argument}: say one of {', '.join(FORMATS)}")
    shell.format_name = argument or shell.format_name
    if not argument:
        shell.write(f"The format is {shell.format_name}.")


# -------------------------------------------------------------------- statements and files

def _explain(shell: Shell, argument: str) -> None:
    """Of what is written behind it, or before it and not ended, or of the last statement."""
    word, _, rest = argument.partition(" ")
    is_measured = word.lower() == "analyze"
    text = rest.strip() if is_measured else argument
    if not text:
        text = shell.last if shell.scanner.is_blank else shell.scanner.take()
        shell.scanner.clear()
    if not text:
        raise CommandError("\\explain: there was no statement yet")
    last = text
    shell.execute(f"EXPLAIN {'ANALYZE ' if is_measured else ''}{text}")
    shell.last = last


def _include(shell: Shell, argument: str) -> None:
    if not argument:
        raise CommandError("\\i takes the path of a file")
    shell.include(_unquoted(argument))


def _output(shell: Shell, argument: str) -> None:
    shell.redirect(_unquoted(argument))


def _unquoted(path: str) -> str:
    return path[1:-1].replace("''", "'") if len(path) > 1 and path[0] == path[-1] == "'" else path


def _copy(shell: Shell, argument: str) -> None:
    """COPY, with ~ in the path, which needs no quotes."""
    from pathlib import Path
    start = _end_of_query(argument) if argument.startswith("(") else 0
    found = _COPY.fullmatch(argument, start)
    if found is None:
        raise CommandError("\\copy: write \\copy TABLE from FILE (FORMAT csv, HEADER), or \\copy (QUERY) to FILE")
    path = str(Path(_unquoted(found["path"])).expanduser()).replace("'", "''")
    shell.execute(f"COPY {argument[:start]}{found['what']} {found['direction'].upper()} '{path}'{found['rest']}")


def _end_of_query(text: str) -> int:
    """Behind the parenthesis that closes the first one."""
    from phantomdb.frontends.sql.parse import split
    depth = 0
    for token in split(text)[0].tokens:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0:
            return int(token.end) + 1
    raise CommandError("\\copy: a parenthesis is not closed")


# -------------------------------------------------------------------- help

def _help(shell: Shell, _argument: str) -> None:
    width = max(len(f"{name} {command.argument}") for name, command in COMMANDS.items())
    shell.write("\n".join(["SQL ends with a semicolon. Commands:", *(
        f"  {f'{name} {command.argument}':{width}}  {command.help}" for name, command in COMMANDS.items())]))


def _statement_help(shell: Shell, argument: str) -> None:
    wanted = " ".join(argument.upper().split())
    found = [text for name, text in HELP.items() if wanted and name.startswith(wanted)]
    if found:
        shell.write("\n\n".join(found))
    elif wanted:
        raise CommandError(f"there is no help on {wanted}; \\h lists what there is")
    else:
        shell.write("\\h NAME shows how to write one of these:\n  " + "\n  ".join(HELP))


def _leave(_shell: Shell, _argument: str) -> NoReturn:
    raise Leave


COMMANDS = {
    "\\d": Command("[NAME]", "tables, views and sequences; or one with columns, indexes, constraints", _describe),
    "\\dt": Command("[PATTERN]", "tables (* stands for any characters, ? for one)",
                    _listing(lambda shell, pattern: catalog.relations(shell, "r", pattern))),
    "\\di": Command("[PATTERN]", "indexes", _listing(catalog.indexes)),
    "\\dv": Command("[PATTERN]", "views", _listing(lambda shell, pattern: catalog.relations(shell, "v", pattern))),
    "\\ds": Command("[PATTERN]", "sequences", _listing(catalog.sequences)),
    "\\df": Command("[PATTERN]", "functions", _listing(catalog.functions)),
    "\\dn": Command("[PATTERN]", "schemas", _listing(catalog.schemas)),
    "\\l": Command("[PATTERN]", "databases in this folder", _listing(catalog.databases)),
    "\\explain": Command("[analyze] [STATEMENT]", "how a statement, or the last one, is run", _explain),
    "\\timing": Command("[on|off]", "show how long each statement takes", _switch("is_timed", "Timing")),
    "\\x": Command("[on|off]", "one column below the other", _switch("is_expanded", "Expanded display")),
    "\\format": Command(f"[{'|'.join(FORMATS)}]", "how results are written", _format),
    "\\i": Command("FILE", "run the lines of a file", _include),
    "\\o": Command("[FILE]", "write results to a file; without one, here again", _output),
    "\\copy": Command("TABLE from FILE | (QUERY) to FILE", "COPY, with ~ in the path and options as of COPY", _copy),
    "\\h": Command("[NAME]", "how to write a statement", _statement_help),
    "\\?": Command("", "this list", _help),
    "\\q": Command("", "leave (so does Ctrl-D)", _leave),
}
