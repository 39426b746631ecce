"""`phantomdb shell`: lines in, results out, on a terminal or in a pipe.

    terminal    prompt, completion, history, pager (terminal.py); goes on after an error
    pipe, -c    plain output; the first error ends it with exit status 1, and what was not committed is undone

A line that begins with a backslash is a command (commands.py). Anything else is SQL up to a semicolon. Each statement
runs in a thread of its own, so that Ctrl-C reaches the main thread, which interrupts the session.
"""
from __future__ import annotations

import contextlib
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import phantomdb
from phantomdb.cli import EXIT_FAILED
from phantomdb.cli.drawing import Rows, drawer
from phantomdb.cli.failures import described
from phantomdb.cli.statements import StatementScanner
from phantomdb.core.errors import InvalidArgument, PhantomError
from phantomdb.core.query.errors import UndefinedFunction

if TYPE_CHECKING:
    from phantomdb.cli.catalog import Names
    from phantomdb.cli.terminal import Terminal

T = TypeVar("T")
INTERRUPT_INTERVAL_S = 0.1               # Ctrl-C is looked for so often
INCLUDES_MAX = 50                        # of \i inside each other
# After these the names of tables may be others.
_DEFINING = ("CREATE", "ALTER", "DROP", "SET", "ROLLBACK", "IMPORT")


class Leave(Exception):
    """\\q"""


class CommandError(PhantomError):
    """A backslash command that cannot be done as it is written."""

    code = "shell_command"


class Shell:
    """The state of one shell. Results go to `output`, errors and notices to `errors`."""

    def __init__(self, db: phantomdb.Database, output: TextIO, errors: TextIO, *, format_name: str = "table",
                 terminal: Terminal | None = None) -> None:
        self.db, self.errors, self.terminal = db, errors, terminal
        self.sql = db.frontend("sql")
        self.standard_output = self.output = output
        self.format_name = format_name
        self.is_timed = self.is_expanded = False
        self.scanner = StatementScanner()
        self.last = ""                                       # statement, for \explain
        self.include_depth = 0

    # ---------------------------------------------------------------- input

    def feed(self, line: str) -> None:
        """A line, or some. PhantomError, KeyboardInterrupt, Leave."""
        if line.lstrip().startswith("\\") and not self.scanner.is_quoted:
            from phantomdb.cli.commands import run_command
            run_command(self, line.strip())
            return
        try:
            for text in self.scanner.feed(line):
                self.execute(text)
        except BaseException:
            self.scanner.clear()
            raise

    def finish(self) -> None:
        """The end of the input: the last statement needs no semicolon."""
        if not self.scanner.is_blank:
            self.execute(self.scanner.take())
        self.scanner.clear()

    def include(self, path: str) -> None:
        """The lines of a file."""
        if self.include_depth >= INCLUDES_MAX:
            raise CommandError(f"\\i: more than {INCLUDES_MAX} files inside each other")
        pending, self.scanner = self.scanner, StatementScanner()
        self.include_depth += 1
        try:
            with open(Path(path).expanduser(), encoding="utf-8") as file:
                for line in file:
                    self.feed(line)
            self.finish()
        except UnicodeDecodeError as error:
            raise CommandError(f"\\i: {path} is not UTF-8: {error.reason} at byte {error.start}") from None
        finally:
            self.include_depth -= 1
            self.scanner = pending

    # ---------------------------------------------------------------- statements

    def execute(self, text: str) -> None:
        """Runs a statement and shows what it gives. PhantomError, its description already shown."""
        self.last = text
        started = time.perf_counter()
        try:
            tag, result, count, notices = self.run(lambda: self._executed(text))
        except PhantomError as error:
            names = self.names() if isinstance(error, UndefinedFunction) else None
            self.complain(described(error, text, names.functions if names else ()))
            error.is_described = True                        # type: ignore[attr-defined]
            raise
        finally:
            elapsed_ms = (time.perf_counter() - started) * 1000
        for notice in notices:
            self.complain(f"NOTICE:  {notice}")
        if result is not None:
            self.show(result)
        elif self.format_name == "table" and tag:
            self.write(f"{tag} {count}" if count >= 0 else tag)
        if self.is_timed:
            self.write(f"Time: {elapsed_ms:,.3f} ms")
        if self.terminal is not None and text.lstrip()[:8].upper().startswith(_DEFINING):
            self.terminal.forget_names()

    def _executed(self, text: str) -> tuple[str, Rows | None, int, list[str]]:
        result = self.sql.execute(text)
        rows = Rows(result.names, result.types, result.fetchall()) if result.has_rows else None
        return result.tag, rows, result.row_count, list(self.sql.notices)

    def query(self, text: str, parameters: Sequence[Any] = ()) -> Rows:
        """Rows for the shell's own use. In a transaction that failed, those of another session."""
        sql = self.sql
        if sql.session.is_failed:
            from phantomdb.core.frontends import frontend
            sql = frontend("sql").session(self.db.session())
        result = self.run(lambda: sql.execute(text, parameters))
        return Rows(result.names, result.types, result.fetchall())

    def run(self, function: Callable[[], T]) -> T:
        """Calls it in a thread; Ctrl-C meanwhile interrupts the statement."""
        values: list[T] = []
        failures: list[BaseException] = []
        ended = threading.Event()

        def work() -> None:
            try:
                values.append(function())
            except BaseException as error:   # noqa: BLE001 - raised below
                failures.append(error)
            ended.set()

        with _interrupts() as pressed:
            threading.Thread(target=work, name="phantomdb-shell-statement", daemon=True).start()
            while not ended.wait(INTERRUPT_INTERVAL_S):
                if pressed.is_set():                         # again and again: it may not have begun
                    self.sql.session.interrupt()
        if failures:
            raise failures[0]
        return values[0]

    def names(self) -> Names | None:
        """Those of tables, columns and functions, for completion and hints; None: they cannot be read now."""
        from phantomdb.cli.catalog import names
        with contextlib.suppress(PhantomError):
            return names(self)
        return None

    # ---------------------------------------------------------------- output

    def show(self, result: Rows) -> None:
        draw = drawer(self.format_name, is_boxed=self.is_on_terminal, is_expanded=self.is_expanded)
        self.write(draw(result))

    @property
    def is_on_terminal(self) -> bool:
        return self.terminal is not None and self.output is self.standard_output

    def write(self, text: str) -> None:
        """Some lines, through the pager where they are too many for the terminal."""
        if self.is_on_terminal and _is_long(text):
            page(text, self.output)
        else:
            self.output.write(text + "\n")
            self.output.flush()

    def complain(self, text: str) -> None:
        self.output.flush()
        self.errors.write(text + "\n")
        self.errors.flush()

    def redirect(self, path: str) -> None:
        """\\o: results go to a file; "": to standard output again."""
        if self.output is not self.standard_output:
            self.output.close()
        self.output = self.standard_output
        if path:
            self.output = open(Path(path).expanduser(), "w", encoding="utf-8")  # noqa: SIM115 - closed by the next one

    @property
    def state(self) -> str:
        """For the prompt: "" outside of a transaction, "*" in one, "!" in one that failed."""
        session = self.sql.session
        return "!" if session.is_failed else "*" if session.in_transaction else ""


@contextlib.contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Ctrl-C sets the event and raises nothing."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():        # which alone gets signals
        yield pressed
        return
    before = signal.signal(signal.SIGINT, lambda _number, _frame: pressed.set())
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)


def _is_long(text: str) -> bool:
    size = shutil.get_terminal_size()
    return text.count("\n") + 3 > size.lines or max(map(len, text.split("\n"))) > size.columns


def page(text: str, output: TextIO) -> None:
    """Through $PAGER, or `less` without folded lines; straight out where there is none."""
    import os
    command = shlex.split(os.environ.get("PAGER", "")) or ["less", "-SRFX"]
    if shutil.which(command[0]) is None:
        output.write(text + "\n")
        return
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        subprocess.run(command, input=text + "\n", text=True, check=False, env=os.environ | {"LESSCHARSET": "utf-8"})


# -------------------------------------------------------------------- running it

def run_shell(directory: Path, *, commands: Sequence[str], format_name: str, read_only: bool) -> int:
    """The exit status."""
    with phantomdb.open(directory) as db:
        is_interactive = not commands and sys.stdin.isatty() and sys.stdout.isatty()
        if is_interactive:
            from phantomdb.cli.terminal import Terminal
            shell = Shell(db, sys.stdout, sys.stderr, format_name=format_name, terminal=Terminal())
        else:
            shell = Shell(db, sys.stdout, sys.stderr, format_name=format_name)
        if read_only:
            shell.sql.execute("SET default_transaction_read_only = on")
        try:
            if is_interactive:
                return converse(shell)
            return read_all(shell, [[text] for text in commands] or [sys.stdin])
        finally:
            shell.redirect("")
            shell.sql.session.close()


def read_all(shell: Shell, texts: Iterable[Iterable[str]]) -> int:
    """The lines of each text, up to the end or the first error."""
    try:
        for text in texts:
            for line in text:
                shell.feed(line)
            shell.finish()
    except Leave:
        return 0
    except (PhantomError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        complain_of(shell, error)
        return EXIT_FAILED
    except KeyboardInterrupt:
        shell.complain("interrupted")
        return EXIT_FAILED
    return 0


def converse(shell: Shell) -> int:
    """Prompt after prompt, whatever fails."""
    terminal = shell.terminal
    assert terminal is not None
    shell.write(f"PhantomDB {phantomdb.__version__}, {shell.db.path}. \\? lists the commands, \\q leaves.")
    while True:
        try:
            text = terminal.read(shell)
            if text is None:
                return 0
            for line in f"{text}\n".splitlines(keepends=True):
                shell.feed(line)
            shell.scanner.clear()
        except Leave:
            return 0
        except (PhantomError, OSError) as error:
            complain_of(shell, error)
        except KeyboardInterrupt:
            shell.scanner.clear()
        except Exception:                # noqa: BLE001 - a defect of ours must not end what the user is at
            traceback.print_exc(file=shell.errors)


def complain_of(shell: Shell, error: Exception) -> None:
    """Unless execute() has done so."""
    if not getattr(error, "is_described", False):
        code = f"  [{error.code}]" if isinstance(error, PhantomError) else ""
        shell.complain(f"ERROR:  {error}{code}")


def checked_format(name: str) -> str:
    from phantomdb.cli.drawing import FORMATS
    if name not in FORMATS:
        raise InvalidArgument(f"there is no format {name}: say one of {', '.join(FORMATS)}")
    return name
