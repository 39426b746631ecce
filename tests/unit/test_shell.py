"""`phantomdb shell`: in a pipe, with commands, and under prompt_toolkit's simulated keyboard."""
from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

import phantomdb
from phantomdb import cli
from phantomdb.cli import shell as shell_module
from phantomdb.cli.drawing import BOXED, Rows, table
from phantomdb.cli.failures import described, placed
from phantomdb.cli.shell import Leave, Shell, converse, read_all
from phantomdb.cli.statements import StatementScanner
from phantomdb.cli.terminal import SqlCompleter, Terminal, is_complete
from phantomdb.core.errors import PhantomError
from phantomdb.core.query.errors import SyntaxFailure
from phantomdb.core.values import INT, TEXT

SETUP = """
CREATE TABLE item (id int PRIMARY KEY, name varchar(20) NOT NULL DEFAULT 'x', price numeric(8,2) CHECK (price > 0),
    twice int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE sale (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item int REFERENCES item ON DELETE CASCADE);
CREATE INDEX sale_item ON sale (item) WHERE item > 3;
CREATE VIEW cheap AS SELECT id FROM item WHERE price < 1;
CREATE SEQUENCE numbers START 5;
INSERT INTO item VALUES (1, 'apple', 0.5), (2, 'pear', NULL);
"""


@pytest.fixture
def db(tmp_path: Path) -> Iterator[phantomdb.Database]:
    with phantomdb.open(tmp_path / "db", durability="none") as made:
        made.sql(SETUP)
        yield made


class Talk:
    """A shell in a pipe: text in, output and errors out."""

    def __init__(self, db: phantomdb.Database) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.shell = Shell(db, self.out, self.err)

    def __call__(self, text: str, status: int = 0) -> str:
        for file in (self.out, self.err):
            file.seek(0)
            file.truncate()
        assert read_all(self.shell, [text.splitlines(keepends=True)]) == status, self.err.getvalue()
        return self.out.getvalue()

    @property
    def errors(self) -> str:
        return self.err.getvalue()


@pytest.fixture
def talk(db: phantomdb.Database) -> Talk:
    return Talk(db)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[phantomdb.Database]:
    with phantomdb.open(tmp_path_factory.mktemp("shared") / "db", durability="none") as made:
        made.sql(SETUP)
        yield made


@pytest.fixture
def looking(shared: phantomdb.Database) -> Talk:
    """For tests that change nothing."""
    return Talk(shared)


# ---------------------------------------------------------------- where statements end

@pytest.mark.parametrize(("text", "statements", "rest"), [
    ("select ';' -- one;\nfrom t; select 2;\n", ["select ';' -- one;\nfrom t;", "select 2;"], "\n"),
    ("'a''b;'';\n';", ["'a''b;'';\n';"], ""), ("E'a\\';b';x", ["E'a\\';b';"], "x"),
    ("e'\\\\'; x", ["e'\\\\';"], " x"), ("E'a''\\';b';", ["E'a''\\';b';"], ""), ("name'x\\';", ["name'x\\';"], ""),
    ("$$ a; $$;", ["$$ a; $$;"], ""), ("$a$ ; $$ $a$;", ["$a$ ; $$ $a$;"], ""), ("a$b$c;", ["a$b$c;"], ""),
    ("/* ; /* ; */ ; */ x;", ["/* ; /* ; */ ; */ x;"], ""), ('"a;""b";', ['"a;""b";'], ""), ("-- x;\n", [], "-- x;\n"),
    ("", [], ""), (";;", [";", ";"], ""),
])
def test_where_statements_end(text: str, statements: list[str], rest: str) -> None:
    whole, by_line = StatementScanner(), StatementScanner()
    assert (whole.feed(text), whole.pending) == (statements, rest)
    assert [found for line in text.splitlines(keepends=True) for found in by_line.feed(line)] == statements
    assert by_line.pending == rest


@given(st.lists(st.sampled_from(["'", '"', "$$", "--", "/*", "*/", "\\", "E'", ";", "a", " ", "\n"])))
def test_nothing_is_lost(parts: list[str]) -> None:
    """And lines give the same as the whole text."""
    text = "".join(parts)
    whole, by_line = StatementScanner(), StatementScanner()
    found = whole.feed(text)
    assert "".join("".join(found).split()) + "".join(whole.pending.split()) == "".join(text.split())
    assert [one for line in text.splitlines(keepends=True) for one in by_line.feed(line)] == found


# ---------------------------------------------------------------- results

def test_tables(talk: Talk) -> None:
    assert talk("select id, name, price from item order by id") == (
        " id | name  | price\n----+-------+-------\n  1 | apple |  0.50\n  2 | pear  |  NULL\n(2 rows)\n")
    assert talk("insert into item values (3); delete from item where id = 3; begin; commit;") == (
        "INSERT 1\nDELETE 1\nBEGIN\nCOMMIT\n")
    assert talk("\\x\nselect id, name from item where id = 1;\n\\x off") == (
        "Expanded display is on.\n-[ row 1 ]----------\nid   | 1\nname | apple\n(1 row)\nExpanded display is off.\n")


def test_wide_and_hostile_text() -> None:
    result = Rows(("n", "täxt"), (INT, TEXT), [(1, "日本\n\x1b[31mred\t|"), (None, "")])
    assert table(result) == (
        " n    | täxt\n------+------------------\n"
        "    1 | 日本\n      | \\x1b[31mred    |\n NULL |\n(2 rows)")
    drawn = table(result, BOXED).splitlines()
    assert drawn[0] == "┌──────┬" + "─" * 18 + "┐" and drawn[3] == "│    1 │ 日本" + " " * 13 + "│"


@pytest.mark.parametrize(("name", "expected"), [
    ("csv", 'id,name\n1,"a|b\n"\n2,\n'), ("jsonl", '{"id":1,"name":"a|b\\n"}\n{"id":2,"name":null}\n'),
    ("markdown", "| id | name |\n|---:|---|\n| 1 | a\\|b<br> |\n| 2 | NULL |\n")])
def test_formats(talk: Talk, name: str, expected: str) -> None:
    text = "values (1, E'a|b\\n'), (2, null)"
    assert talk(f"\\format {name}\ncreate table t (id int, name text); insert into t {text}; table t;") == expected
    assert "there is no format" not in talk.errors
    talk("\\format nope", 1)
    assert "say one of table, csv, jsonl, markdown" in talk.errors


def test_the_last_statement_needs_no_semicolon(looking: Talk) -> None:
    talk = looking
    assert talk("select 1 as a;\n\nselect\n2 as b -- end").count("(1 row)") == 2
    assert talk("-- nothing\n") == "" and talk("") == ""


# ---------------------------------------------------------------- errors

def test_an_error_shows_its_place(looking: Talk) -> None:
    talk = looking
    talk("select 1;\nselect id,\n       nam from item;\nselect 3;\n", 1)
    assert talk.out.getvalue().count("(1 row)") == 1                 # nothing after the error
    lines = talk.errors.splitlines()
    assert lines[0].startswith('ERROR:  column "nam" does not exist') and lines[0].endswith("[undefined_column, 42703]")
    assert lines[1] == "LINE 2:        nam from item;" and lines[2] == " " * 15 + "^"


def test_hints(looking: Talk) -> None:
    talk = looking
    for text, hint in (
            ("selct 1", "did you mean SELECT?"), ("select * fro item", "did you mean FROM?"),
            ("select * from zzzz", "\\d lists what is there"), ("select zz9 from item", "\\d NAME shows the columns"),
            ("select uper('a')", "did you mean upper?"), ("select zzzz('a')", "\\df NAME* lists functions")):
        talk(text, 1)
        assert f"HINT:  {hint}" in talk.errors, (text, talk.errors)
    talk("insert into item (id, price) values (9, -1)", 1)
    assert "DETAIL:  Failing row contains (9, x, -1.00, 18)." in talk.errors


def test_a_position_in_a_long_line() -> None:
    text = f"select {'a, ' * 100}wrong{', b' * 100}"
    line, caret = placed(text, text.index("wrong") + 1)
    assert len(line) < 120 and line[caret.index("^"):].startswith("wrong")
    assert placed("x", 10) == ["LINE 1: x", " " * 9 + "^"]
    assert placed("日本 x", 4)[1] == " " * 13 + "^"


def test_control_characters_of_an_error_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in described(SyntaxFailure("at \x1b[2J", position=2), "a\x1b[2J")


def test_an_error_undoes_the_open_transaction(talk: Talk, db: phantomdb.Database) -> None:
    talk("begin; delete from item; select wrong;", 1)
    assert talk.shell.state == "!"
    assert "item" in talk("\\dt")                                    # still looks at the catalog
    talk("select 1", 1)
    assert "transaction_aborted" in talk.errors
    talk("rollback")
    assert talk.shell.state == "" and db.sql("select count(*) from item").scalar() == 2


# ---------------------------------------------------------------- commands

def test_describe_a_table(looking: Talk) -> None:
    talk = looking
    shown = talk("\\d item")
    for line in ("Table public.item", " name   | character varying(20) | not null | 'x'",
                 "    item_pkey: primary key (id)", "Check constraints:", "Referenced by:"):
        assert line in shown.splitlines(), shown
    assert "generated always as (id" in shown and "ON DELETE CASCADE" in shown
    shown = talk("\\d sale;")
    assert "    sale_item: (item) WHERE (item > 3)" in shown and "generated always as identity" in shown
    assert "Foreign keys:" in shown
    assert "Query:" in talk("\\d cheap") and "Sequence public.numbers" in talk("\\d numbers")
    assert "CREATE INDEX sale_item" in talk("\\d sale_item")
    talk("\\d nope", 1)
    assert 'there is no table, view, index or sequence "nope"' in talk.errors


@pytest.mark.parametrize(("command", "there", "absent"), [
    ("\\d", ["item", "cheap", "numbers", "sale"], ["sale_item"]), ("\\dt", ["item", "sale"], ["cheap", "numbers"]),
    ("\\dt s*", ["sale"], ["item"]), ("\\dt it?m", ["item"], ["sale"]), ("\\dt public.i*", ["item"], ["sale"]),
    ("\\dv", ["cheap"], ["item"]), ("\\ds num*", ["numbers"], ["sale_id_seq"]),
    ("\\di", ["sale_item", "item_pkey", "primary key"], ["cheap"]), ("\\dn", ["public"], ["pg_catalog"]),
    ("\\l", ["main"], []), ("\\df lower", ["lower", "text"], ["upper"]), ("\\?", ["\\timing", "\\copy"], []),
    ("\\h", ["CREATE TABLE"], []), ("\\h create in", ["CREATE [UNIQUE] INDEX"], ["SEQUENCE"]),
])
def test_listings(looking: Talk, command: str, there: list[str], absent: list[str]) -> None:
    words = looking(command)
    assert all(word in words for word in there) and not any(word in words for word in absent), words


@pytest.mark.parametrize(("command", "message"), [
    ("\\nope", "there is no command \\nope"), ("\\q now", "takes no argument"), ("\\i", "takes the path"),
    ("\\i /nope/nope", "No such file"), ("\\copy x", "\\copy: write"), ("\\copy (select 1", "not closed"),
    ("\\explain", "there was no statement yet"), ("\\h nope", "no help on NOPE"), ("\\timing perhaps", "say on or off"),
])
def test_commands_that_cannot_be_done(looking: Talk, command: str, message: str) -> None:
    looking(command, 1)
    assert message in looking.errors


def test_timing_and_explain(looking: Talk) -> None:
    talk = looking
    assert "Time: " in talk("\\timing\nselect 1;\n\\timing off\n")
    assert "item_pkey" in talk("select * from item where id = 1;\n\\explain")
    assert "Execution Time" in talk("\\explain analyze")                 # of the same statement
    assert "Scan on sale" in talk("\\explain select * from sale;")
    assert "Scan on sale" in talk("select *\nfrom sale\n\\explain\n")     # of what is not ended


def test_files(talk: Talk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, out = tmp_path / "x.sql", tmp_path / "out.txt"
    script.write_text("create table t (a int);\ninsert into t values (1),\n(2);\nselect sum(a) from t")
    assert "CREATE TABLE\nINSERT 2\n sum\n" in talk(f"\\i {script}\n")
    assert talk(f"\\o {out}\nselect 7;\n\\o\nselect 8;\n").count("row") == 1
    assert "7" in out.read_text()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert talk("\\copy t to ~/t.csv (format csv, header)") == "COPY 2\n"
    assert (tmp_path / "t.csv").read_text() == "a\n1\n2\n"
    assert talk("\\copy t (a) from '~/t.csv' csv header") == "COPY 2\n"
    assert talk("\\copy (select count(*) from t) to ~/n.csv csv") == "COPY 1\n"
    assert (tmp_path / "n.csv").read_text() == "4\n"
    script.write_text(f"\\i {script}\n")
    talk(f"\\i {script}", 1)
    assert "more than 50 files" in talk.errors and talk.shell.include_depth == 0


# ---------------------------------------------------------------- as a program

def run(folder: Path, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command_line(folder, *arguments), input=text, capture_output=True, text=True, check=False,
                          env=environment())


def command_line(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "phantomdb.cli", "shell", str(folder), *arguments]


def environment() -> dict[str, str]:
    root = str(Path(phantomdb.__file__).parents[1])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), root]))}


def test_in_a_pipe(tmp_path: Path) -> None:
    done = run(tmp_path / "db", text="create table t (a int); insert into t values (1);\nselect a from t")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "CREATE TABLE\nINSERT 1\n a\n---\n 1\n(1 row)\n"
    done = run(tmp_path / "db", "--format", "csv", text="table t; begin; insert into t values (3); table nope; commit;")
    assert (done.returncode, done.stdout) == (1, "a\n1\n") and "LINE 1: table nope;" in done.stderr
    with phantomdb.open(tmp_path / "db") as db:
        assert db.sql("table t").fetchall() == [(1,)]


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["phantomdb", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_commands_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "db"
    assert main(monkeypatch, "shell", folder, "-c", "create table t (a int)", "-c", "\\dt", "-c", "\\q", "-c", "x") == 0
    assert "public | t" in capsys.readouterr().out
    assert main(monkeypatch, "shell", folder, "--read-only", "-c", "insert into t values (1)") == 1
    assert "read_only_transaction" in capsys.readouterr().err
    assert main(monkeypatch, "shell", folder, "--format", "xml") == 1
    assert "say one of" in capsys.readouterr().err


def test_interrupt_ends_the_statement(tmp_path: Path) -> None:
    """In a pipe, so the shell ends with status 1. The statement would take hours."""
    slow = "select count(*) from generate_series(1, 3000000) a(x), generate_series(1, 3000000) b(y) where x * y % 7 = 1"
    child = subprocess.Popen(command_line(tmp_path / "db"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             stderr=subprocess.PIPE, env=environment())
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(f"select 'ready';\n{slow};\nselect 'not reached';\n")
    child.stdin.close()
    assert any("ready" in line for line in child.stdout)
    child.send_signal(signal.SIGINT)
    assert child.wait() == 1
    assert child.stderr is not None
    text = child.stderr.read()
    assert "statement_cancelled" in text or "interrupted" in text
    assert "not reached" not in child.stdout.read()
    child.stdout.close()
    child.stderr.close()


def test_interrupt_reaches_the_session(looking: Talk) -> None:
    """Ctrl-C while the thread of a statement runs."""
    talk = looking
    begun, asked = threading.Event(), threading.Event()
    shell = talk.shell
    shell.sql.session.interrupt = asked.set

    def work() -> str:
        begun.set()
        assert asked.wait(20)
        return "ended"

    def press() -> None:
        begun.wait(20)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    assert shell.run(work) == "ended"
    presser.join()


# ---------------------------------------------------------------- on a terminal

class Keyboard:
    """Types into a shell. Keys may stand with the text that the line is to have before more are typed."""

    def __init__(self, db: phantomdb.Database, monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(state))
        monkeypatch.setattr(shell_module, "_is_long", lambda text: False)
        self.db, self.out, self.err = db, io.StringIO(), io.StringIO()

    def __call__(self, *typed: str | tuple[str, str]) -> str:
        with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
            terminal = Terminal(input=keys, output=DummyOutput())

            def type_all() -> None:
                for item in typed:
                    text, expected = (item, None) if isinstance(item, str) else item
                    keys.send_text(text)
                    for _ in range(2000):
                        if expected is None or terminal.session.default_buffer.text == expected:
                            break
                        time.sleep(0.01)
                    else:
                        keys.send_text("\x03\x04")

            typist = threading.Thread(target=type_all)
            typist.start()
            assert converse(Shell(self.db, self.out, self.err, terminal=terminal)) == 0
            typist.join()
        return self.out.getvalue()

    @property
    def errors(self) -> str:
        return self.err.getvalue()


@pytest.fixture
def keyboard(db: phantomdb.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keyboard:
    return Keyboard(db, monkeypatch, tmp_path / "state")


def test_typing(keyboard: Keyboard, tmp_path: Path) -> None:
    out = keyboard("select id\rfrom item\r  order by id;\rselect wrong;\r\\dt\rselect 5 as five; select 6;\r\\q\r")
    assert "┌────┐\n│ id │\n├────┤\n│  1 │\n│  2 │\n└────┘\n(2 rows)\n" in out
    assert 'column "wrong" does not exist' in keyboard.errors
    assert "│ public │ item │ table │" in out and "│    5 │" in out and "│        6 │" in out       # after the error
    history = (tmp_path / "state" / "phantomdb" / "history").read_text()
    assert "+select id\n+from item\n+  order by id;" in history and "\\dt" in history


def test_the_keyboard_ends_and_interrupts(keyboard: Keyboard) -> None:
    out = keyboard("select 1 from\x03select 2 as two;\r\x04")         # Ctrl-C drops the line, Ctrl-D leaves
    assert "two" in out and keyboard.errors == ""


def test_completion_by_the_keyboard(keyboard: Keyboard) -> None:
    """The tab key, with one way to go on."""
    out = keyboard(("select nam\t", "select name"), (" from ite\t", "select name from item"), " where id = 1;\r\x04")
    assert "apple" in out and keyboard.errors == ""


def test_completion_knows_new_tables(keyboard: Keyboard) -> None:
    out = keyboard("create table fresh (newcolumn int);\r", ("select newc\t", "select newcolumn"),
                   (" from fre\t", "select newcolumn from fresh"), ";\r\x04")
    assert "newcolumn" in out and keyboard.errors == ""


@pytest.mark.parametrize(("text", "there", "absent"), [
    ("sel", ["select"], ["SELECT"]), ("SEL", ["SELECT"], ["select"]), ("select * from ", ["item", "sale", "cheap"], []),
    ("select * from i", ["item"], ["sale", "id"]), ("insert into s", ["sale"], ["item"]),
    ("select i.| from item i", ["id", "name", "price", "twice"], ["item"]),
    ("select item.n", ["name"], ["id"]), ("select p| from item", ["price"], []),
    ("select i| from sale", ["id", "item"], []), ("select price from item where tw", ["twice"], []),
    ("select regexp_r", ["regexp_replace"], []), ("\\d", ["\\d", "\\dt", "\\df"], ["\\x"]),
    ("\\d sa", ["sale"], ["item"]), ("\\df low", ["lower"], []), ("\\h cre", ["CREATE TABLE"], ["SELECT"]),
    ("\\explain select * from it", ["item"], []),
    ("select s.| from item as i, sale as s", ["id", "item"], ["name"]), ("select nope.", [], ["id"]),
])
def test_completion(looking: Talk, text: str, there: list[str], absent: list[str]) -> None:
    completer = SqlCompleter()
    completer.load(looking.shell)
    before, _, after = text.partition("|")
    found = [item.text for item in completer.get_completions(Document(before + after, len(before)), CompleteEvent())]
    assert not set(there) - set(found) and not set(absent) & set(found), found


def test_return_ends_whole_statements() -> None:
    for text, expected in (("select 1;", True), ("select 1", False), ("select ';", False), ("", True), ("\\d x", True),
                           ("select 1; -- done", True), ("select 1; select", False), ("/* ; */", False)):
        assert is_complete(text) == expected, text


def test_the_pager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    paged = tmp_path / "paged"
    monkeypatch.setenv("PAGER", f"tee {paged}")
    out: Any = io.StringIO()
    monkeypatch.setattr(subprocess, "run", lambda *args, **given: paged.write_text(given["input"]))
    shell_module.page("a\nb", out)
    assert paged.read_text() == "a\nb\n" and out.getvalue() == ""
    monkeypatch.setenv("PAGER", "no-such-pager")
    shell_module.page("a", out)
    assert out.getvalue() == "a\n"


def test_a_defect_does_not_end_the_talk(keyboard: Keyboard, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Shell.execute

    def execute(self: Shell, text: str) -> None:
        if "boom" in text:
            raise ZeroDivisionError(text)
        real(self, text)

    monkeypatch.setattr(Shell, "execute", execute)
    out = keyboard("boom;\rselect 3 as three;\r\x04")
    assert "ZeroDivisionError" in keyboard.errors and "three" in out


def test_leaving_is_no_error() -> None:
    assert not issubclass(Leave, PhantomError)
