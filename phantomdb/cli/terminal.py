"""The keyboard side of the shell: prompt, editing over several lines, completion, history (prompt_toolkit).

Return ends the input when it is a command or its last statement has its semicolon; else it begins a new line. What was
typed is kept in `$XDG_STATE_HOME/phantomdb/history`.
"""
from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phantomdb.cli.words import HELP, KEYWORDS

try:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
    from prompt_toolkit.document import Document
    from prompt_toolkit.filters import has_completions, completion_is_selected
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.lexers import PygmentsLexer
    from pygments.lexers.sql import PostgresLexer
except ModuleNotFoundError as error:
    raise SystemExit("phantomdb: the shell needs prompt_toolkit on a terminal: pip install 'phantomdb[cli]' "
                     f"({error})") from None

if TYPE_CHECKING:
    from phantomdb.cli.catalog import Names
    from phantomdb.cli.shell import Shell

_WORD = re.compile(r"\w*$")
_QUALIFIED = re.compile(r"(\w+)\.(\w*)$")
# What stands before the name of a table.
_BEFORE_TABLE = re.compile(r"\b(from|join|into|update|table|truncate|analyze|references|copy|index\s(\w+\s+)?on)"
                           r"\s+\w*$", re.IGNORECASE)
_ALIASED = re.compile(r"\b(?:from|join|update|into)\s+(\w+)(?:\s+(?:as\s+)?(\w+))?|,\s*(\w+)(?:\s+(?:as\s+)?(\w+))?",
                      re.IGNORECASE)
_RELATION_COMMANDS = ("\\d", "\\dt", "\\di", "\\dv", "\\ds", "\\copy")
_PATH_COMMANDS = ("\\i", "\\o")


def history_path() -> Path:
    """The file, in a folder that is made for this user alone."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "phantomdb"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / "history"


class Terminal:
    """Reads what the user types. `input` and `output` are prompt_toolkit's, for tests."""

    def __init__(self, **given: Any) -> None:
        self.completer = SqlCompleter()
        self.session: PromptSession[str] = PromptSession(
            history=FileHistory(str(history_path())), completer=self.completer,
            lexer=PygmentsLexer(PostgresLexer), multiline=True, complete_while_typing=False,
            key_bindings=_bindings(), prompt_continuation=_continuation, enable_open_in_editor=True, **given)

    def read(self, shell: Shell) -> str | None:
        """The next input; None at its end (Ctrl-D). KeyboardInterrupt."""
        if self.completer.names is None:
            self.completer.load(shell)
        try:
            return self.session.prompt(f"{shell.sql.session.name}{shell.state}> ")
        except EOFError:
            return None

    def forget_names(self) -> None:
        """They are read again before the next prompt."""
        self.completer.names = None


def _continuation(width: int, _line: int, _wrapped: int) -> str:
    return "> ".rjust(width, ".")


def is_complete(text: str) -> bool:
    """Whether Return ends it."""
    from phantomdb.cli.statements import StatementScanner
    if not text.strip() or text.lstrip().startswith("\\"):
        return True
    scanner = StatementScanner()
    scanner.feed(text + "\n")
    return scanner.is_blank


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter", filter=~(has_completions & completion_is_selected))
    def _enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_complete(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.newline()

    @bindings.add("enter", filter=has_completions & completion_is_selected)
    def _take(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None           # the completion stands there already

    return bindings


class SqlCompleter(Completer):
    """Commands, keywords, tables, columns, functions, by what stands before the cursor."""

    def __init__(self) -> None:
        self.names: Names | None = None
        self._paths = PathCompleter(expanduser=True)

    def load(self, shell: Shell) -> None:
        """Reads the names. Without them keywords are still completed."""
        self.names = shell.names()

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        text = document.text_before_cursor
        if text.lstrip().startswith("\\"):
            yield from self._of_command(text.lstrip(), complete_event)
            return
        found = _QUALIFIED.search(text)
        if found is not None:
            yield from _those(found[2], self._columns_of(found[1], document.text), "column")
            return
        word = _WORD.search(text)
        prefix = word[0] if word else ""
        if _BEFORE_TABLE.search(text):
            yield from _those(prefix, self._tables(), "table")
            return
        if not prefix:
            return
        yield from _those(prefix, self._columns_in(document.text), "column")
        yield from _those(prefix, _cased(KEYWORDS, prefix), "")
        yield from _those(prefix, self.names.functions if self.names else (), "function")

    def _of_command(self, text: str, event: CompleteEvent) -> Iterator[Completion]:
        from phantomdb.cli.commands import COMMANDS
        name, blank, argument = text.partition(" ")
        if not blank:
            yield from (Completion(command, -len(text), display_meta=found.help) for command, found in COMMANDS.items()
                        if command.startswith(text))
        elif name in _PATH_COMMANDS:
            yield from self._paths.get_completions(Document(argument, len(argument)), event)
        elif name == "\\h":
            yield from _those(argument, HELP, "", is_whole=True)
        elif name == "\\df":
            yield from _those(argument, self.names.functions if self.names else (), "function", is_whole=True)
        elif name in _RELATION_COMMANDS:
            indexes = self.names.indexes if self.names and name in ("\\d", "\\di", "\\ds") else []
            yield from _those(argument, [*self._tables(), *indexes], "table", is_whole=True)
        elif name == "\\explain":
            yield from self.get_completions(Document(argument, len(argument)), event)

    def _tables(self) -> list[str]:
        return list(self.names.columns) if self.names else []

    def _columns_of(self, name: str, text: str) -> list[str]:
        """Of a table, or of what an alias in the text stands for."""
        if self.names is None:
            return []
        known = self.names.columns
        return known.get(name.lower()) or known.get(_aliases(text).get(name.lower(), ""), [])

    def _columns_in(self, text: str) -> list[str]:
        """Of the tables that the statement names; of all, where it names none yet."""
        if self.names is None:
            return []
        known = self.names.columns
        used = [table for table in known if re.search(rf"\b{re.escape(table)}\b", text, re.IGNORECASE)]
        return list(dict.fromkeys(name for table in used or known for name in known[table]))


def _aliases(text: str) -> dict[str, str]:
    """FROM flights AS f -> {"f": "flights"}"""
    found = {}
    for table, alias, other, other_alias in _ALIASED.findall(text):
        if alias or other_alias:
            found[(alias or other_alias).lower()] = (table or other).lower()
    return found


def _cased(words: Iterable[str], prefix: str) -> Iterable[str]:
    """Keywords as the user types them."""
    return words if prefix[:1].isupper() else (word.lower() for word in words)


def _those(prefix: str, words: Iterable[str], what: str, *, is_whole: bool = False) -> Iterator[Completion]:
    """Words that begin so."""
    wanted = prefix.lower()
    for word in words:
        if word.lower().startswith(wanted) and (is_whole or word != prefix):
            yield Completion(word, -len(prefix), display_meta=what)
