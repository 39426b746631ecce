"""Statements that are neither queries, nor changes of rows, nor definitions: transactions, settings, prepared
statements, upkeep. COPY, EXPLAIN and SET have modules of their own.

They are read word by word (reader.py); sqlglot gives most of them as one token, which `completed` takes apart. What
PostgreSQL has and we do not is refused by its name; anything else is a syntax error.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phantomdb.core.catalog.objects import ForeignKey, Index, Table
from phantomdb.core.query.builder import type_of_value
from phantomdb.core.query.casts import caster
from phantomdb.core.query.errors import (
    DuplicateObject, FeatureNotSupported, InvalidTransactionState, NoActiveTransaction, SyntaxFailure,
    TransactionAborted, UndefinedColumn, UndefinedObject, WrongObjectType,
)
from phantomdb.core.query.locking import lock_table
from phantomdb.core.query.result import Result
from phantomdb.core.transactions import Isolation
from phantomdb.core.values import Type
from phantomdb.frontends.sql import settings
from phantomdb.frontends.sql.names import Names
from phantomdb.frontends.sql.parse import Statement
from phantomdb.frontends.sql.reader import Part, Reader

if TYPE_CHECKING:
    from phantomdb.core.tables.rows import RowTransaction
    from phantomdb.frontends.sql.frontend import Parameters, SqlSession

_UNSUPPORTED = {"LISTEN", "NOTIFY", "UNLISTEN", "GRANT", "REVOKE", "CALL", "DO", "DECLARE", "FETCH", "MOVE", "CLOSE",
                "CLUSTER", "REINDEX", "REFRESH", "LOAD", "SECURITY", "IMPORT", "REASSIGN"}
# LOCK TABLE: modes that other transactions may have at the same time; they lock nothing here.
_WEAK_MODES = ("ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE")
_STRONG_MODES = ("SHARE UPDATE EXCLUSIVE", "SHARE ROW EXCLUSIVE", "SHARE", "ACCESS EXCLUSIVE", "EXCLUSIVE")
# What a transaction that failed still takes.
_ENDINGS = {"COMMIT", "END", "ROLLBACK", "ABORT"}
_PREPARABLE = {"SELECT", "VALUES", "TABLE", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE", ""}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement of PREPARE. `types`: as declared, maybe none."""

    statement: Statement
    types: tuple[Type, ...]


def run(sql: SqlSession, statement: Statement, parameters: Parameters) -> Result:
    """Errors of the statement; FeatureNotSupported by name; SyntaxFailure: there is no such statement."""
    word = statement.words[0] if statement.words else ""
    handler = _HANDLERS.get(word)
    position = statement.start + 1
    if handler is None:
        if word in _UNSUPPORTED:
            raise FeatureNotSupported(f"{word} is not supported", position=position)
        raise SyntaxFailure(f'syntax error at or near "{statement.tokens[0].text}"', position=position)
    if sql.session.is_failed and word not in _ENDINGS:
        raise TransactionAborted
    reader = Reader(completed(statement))
    reader.index = 1
    return handler(sql, reader, parameters)


def completed(statement: Statement) -> Statement:
    """The statement with all its tokens, where sqlglot has made one of all that follows the first word."""
    from sqlglot.dialects.postgres import Postgres
    tokens = statement.tokens
    first = tokens[0]
    if len(tokens) != 2 or first.token_type.name not in ("COMMAND", "SHOW", "EXECUTE", "FETCH", "RENAME", "LOCK"):
        return statement
    length = first.end + 1 - statement.start
    # blanks in front, so that positions stay what they are in the whole text
    rest = Postgres().tokenize(" " * (statement.start + length) + statement.text[length:])
    return Statement(statement.text, statement.words, [first, *rest], statement.start)


def inner(part: Part) -> Statement:
    """A statement inside another one."""
    words: list[str] = []
    for token in part.tokens[:4]:
        if not token.text.replace("_", "").isalpha():
            break
        words.append(token.text.upper())
    return Statement(part.text, tuple(words), list(part.tokens), part.tokens[0].start)


# -------------------------------------------------------------------- transactions

def _modes(reader: Reader) -> tuple[Isolation | None, bool | None]:
    """(isolation, whether it only reads); None for what is not said."""
    isolation: Isolation | None = None
    read_only: bool | None = None
    while not reader.is_at_end():
        if reader.accept("ISOLATION", "LEVEL"):
            level = next((level for level in settings.LEVELS if reader.accept(*level.upper().split())), None)
            if level is None:
                raise reader.failure()
            isolation = settings.LEVELS[level]
        elif reader.accept("READ", "ONLY"):
            read_only = True
        elif reader.accept("READ", "WRITE"):
            read_only = False
        elif not (reader.accept("NOT", "DEFERRABLE") or reader.accept("DEFERRABLE")):
            raise reader.failure()
        if reader.accept(",") and reader.is_at_end():
            raise reader.failure()
    return isolation, read_only


def _begin(sql: SqlSession, reader: Reader, _parameters: Parameters) -> Result:
    if reader.tokens[0].text.upper() == "START":
        reader.expect("TRANSACTION")
    else:
        reader.accept_any("WORK", "TRANSACTION")
    isolation, read_only = _modes(reader)
    if sql.session.in_transaction:
        sql.notices.append("there is already a transaction in progress")
    else:
        sql.session.begin(isolation, read_only=read_only)
    return Result(tag="BEGIN")


def _end_of_block(reader: Reader) -> None:
    """[WORK | TRANSACTION] [AND [NO] CHAIN]"""
    reader.refuse("PREPARED")
    reader.accept_any("WORK", "TRANSACTION")
    if not reader.accept("AND", "NO", "CHAIN"):
        reader.refuse("AND CHAIN")


def _commit(sql: SqlSession, reader: Reader, _parameters: Parameters) -> Result:
    _end_of_block(reader)
    reader.end()
    session = sql.session
    if not session.in_transaction:
        sql.notices.append("there is no transaction in progress")
        return Result(tag="COMMIT")
    tag = "ROLLBACK" if session.is_failed else "COMMIT"
    session.commit()
    return Result(tag=tag)


def _rollback(sql: SqlSession, reader: Reader, _parameters: Parameters) -> Result:
    _end_of_block(reader)
    if reader.accept("TO"):
        reader.accept("SAVEPOINT")
        name = reader.name()
        reader.end()
        sql.session.rollback_to(name)
        return Result(tag="ROLLBACK")
    reader.end()
    if not sql.session.in_transaction:
        sql.notices.append("there is no transaction in progress")
    sql.session.rollback()
    return Result(tag="ROLLBACK")


def _savepoint(sql: SqlSession, reader: Reader, _parameters: Parameters) -> Result:
    name = reader.name()
    reader.end()
    sql.session.savepoint(name)
    return Result(tag="SAVEPOINT")


def _release(sql: SqlSession, reader: Reader, _parameters: Parameters) -> Result:
    reader.accept("SAVEPOINT")
    name = reader.name()
    reader.end()
    sql.session.release(name)
    return Result(tag="RELEASE")


def _set(sql: SqlSession, reader: Reader, _parameters: Parameters) -> Result:
    session = sql.session
    if reader.accept("CONSTRAINTS"):
        return _set_constraints(sql, reader)
    if reader.accept("TRANSACTION"):
        reader.refuse("SNAPSHOT")
        isolation, read_only = _modes(reader)
        if not session.in_transaction:
            sql.notices.append("SET TRANSACTION can only be used in transaction blocks")
        if isolation is not None:
            settings.set_value(session, "transaction_isolation", settings.SHOWN_LEVELS[isolation])
        if read_only is not None:
            settings.set_value(session, "transaction_read_only", "on" if read_only else "off")
        return Result(tag="SET")
    if reader.accept("SESSION", "CHARACTERISTICS", "AS", "TRANSACTION"):
        isolation, read_only = _modes(reader)
        if isolation is not None:
            settings.set_value(session, "default_transaction_isolation", settings.SHOWN_LEVELS[isolation])
        if read_only is not None:
            settings.set_value(session, "default_transaction_read_only", "on" if read_only else "off")
        return Result(tag="SET")
    return settings.run_set(sql, reader)


def _set_constraints(sql: SqlSession, reader: Reader) -> Result:
    names: list[tuple[str, str, int]] | None = None
    if not reader.accept("ALL"):
        names = []
        while not names or reader.accept(","):
            found = reader.qualified()
            names.append((found.schema, found.name, found.position))
    word = reader.accept_any("DEFERRED", "IMMEDIATE")
    if not word:
        raise reader.failure()
    reader.end()
    if not sql.session.in_transaction:
        sql.notices.append("SET CONSTRAINTS can only be used in transaction blocks")
        return Result(tag="SET CONSTRAINTS")
    which = None if names is None else {item for given in names for item in _constraints(sql, *given)}
    sql.session.run(lambda rows: rows.pending.set_mode(which, word == "DEFERRED"), writes=False)
    return Result(tag="SET CONSTRAINTS")


def _constraints(sql: SqlSession, schema: str, name: str, position: int) -> list[tuple[int, str]]:
    """(table, name) of the constraints with a name. UndefinedObject; WrongObjectType: one cannot be deferred."""
    names = sql.names()
    found = []
    for number in names.path(schema, position):
        for table in names.catalog.relations(number):
            if not isinstance(table, Table):
                continue
            constraints: list[ForeignKey | Index] = [*table.foreign_keys]
            constraints += [index for index in table.indexes if index.is_constraint]
            for item in constraints:
                if item.name == name:
                    if not item.is_deferrable:
                        raise WrongObjectType(f'constraint "{name}" is not deferrable', position=position,
                                              constraint=name)
                    found.append((table.id, name))
    if not found:
        raise UndefinedObject(f'constraint "{name}" does not exist', position=position)
    return found


def _lock(sql: SqlSession, reader: Reader, _parameters: Parameters) -> Result:
    """LOCK [TABLE] [ONLY] name, ... [IN mode MODE] [NOWAIT]. The modes that lock are all one: they wait for each other,
    and the commit is refused when another has written to the table meanwhile."""
    reader.accept("TABLE")
    names = sql.names()
    tables: list[Table] = []
    while not tables or reader.accept(","):
        reader.accept("ONLY")
        found = reader.qualified()
        reader.accept("*")
        tables.append(names.table(found.name, found.schema, found.position))
    mode = "ACCESS EXCLUSIVE"
    if reader.accept("IN"):
        mode = next((mode for mode in (*_WEAK_MODES, *_STRONG_MODES) if reader.accept(*mode.split())), "")
        if not mode:
            raise reader.failure()
        reader.expect("MODE")
    waits = not reader.accept("NOWAIT")
    reader.end()
    if not sql.session.in_transaction:
        raise NoActiveTransaction("LOCK TABLE can only be used in transaction blocks")

    def work(rows: RowTransaction) -> None:
        for table in tables:
            if mode in _WEAK_MODES:
                rows.fence(table.id)
            else:
                lock_table(sql.session, rows, table.id, waits=waits)

    sql.session.run(work, writes=False)
    return Result(tag="LOCK TABLE")


# -------------------------------------------------------------------- prepared statements

def _prepare(sql: SqlSession, reader: Reader, _parameters: Parameters) -> Result:
    position, name = reader.position, reader.name()
    types: list[Type] = []
    if reader.accept("("):
        while not types or reader.accept(","):
            types.append(reader.until({",", ")"}).type()[0])
        reader.expect(")")
    reader.expect("AS")
    made = inner(reader.rest())
    if (made.words[0] if made.words else "") not in _PREPARABLE:
        raise SyntaxFailure(f'syntax error at or near "{made.tokens[0].text}"', position=made.start + 1)
    if name in sql.prepared:
        raise DuplicateObject(f'prepared statement "{name}" already exists', position=position)
    made.tree()                                              # its syntax is checked now
    sql.prepared[name] = Prepared(made, tuple(types))
    return Result(tag="PREPARE")


def prepared_call(sql: SqlSession, reader: Reader, parameters: Parameters) -> tuple[Statement, list[Any]]:
    """The statement EXECUTE means, and its values."""
    position, name = reader.position, reader.name()
    found = sql.prepared.get(name)
    if found is None:
        raise UndefinedObject(f'prepared statement "{name}" does not exist', position=position)
    values: list[Any] = []
    if not reader.is_at_end():
        part = reader.parenthesized()
        reader.end()
        select = part._token(part.tokens[0].token_type.__class__.SELECT, "SELECT")
        query = Statement(part.text, ("SELECT",), [select, *part.tokens], part.tokens[0].start)
        values = list(sql.run(query, parameters if query_has_parameters(query) else ()).fetchall()[0])
    if found.types:
        if len(values) != len(found.types):
            raise SyntaxFailure(f'wrong number of parameters for prepared statement "{name}": expected '
                                f"{len(found.types)} parameters but got {len(values)}", position=position)
        values = [caster(type_of_value(value), type_, False)(value)
                  for value, type_ in zip(values, found.types, strict=True)]
    return found.statement, values


def query_has_parameters(query: Statement) -> bool:
    query.tree()
    return bool(query.parameters)


def _execute(sql: SqlSession, reader: Reader, parameters: Parameters) -> Result:
    statement, values = prepared_call(sql, reader, parameters)
    return sql.run(statement, values)


def _deallocate(sql: SqlSession, reader: Reader, _parameters: Parameters) -> Result:
    reader.accept("PREPARE")
    if reader.accept("ALL"):
        reader.end()
        sql.prepared.clear()
        return Result(tag="DEALLOCATE ALL")
    position, name = reader.position, reader.name()
    reader.end()
    if sql.prepared.pop(name, None) is None:
        raise UndefinedObject(f'prepared statement "{name}" does not exist', position=position)
    return Result(tag="DEALLOCATE")


def _discard(sql: SqlSession, reader: Reader, _parameters: Parameters) -> Result:
    what = reader.accept_any("ALL", "PLANS", "SEQUENCES", "TEMP", "TEMPORARY")
    if not what:
        raise reader.failure()
    reader.end()
    if what == "ALL":
        _require_alone(sql, "DISCARD ALL")
        settings.reset_all(sql.session)
        sql.prepared.clear()
    if what in ("ALL", "SEQUENCES"):
        sql.session.sequence_values.clear()
    return Result(tag=f"DISCARD {what}")


# -------------------------------------------------------------------- upkeep

def _require_alone(sql: SqlSession, what: str) -> None:
    if sql.session.in_transaction:
        raise InvalidTransactionState(f"{what} cannot run inside a transaction block")


def _analyze(sql: SqlSession, reader: Reader, _parameters: Parameters) -> Result:
    if reader.accept("("):
        reader.index -= 1
        _options(reader, {"VERBOSE", "SKIP_LOCKED", "BUFFER_USAGE_LIMIT"})
    reader.accept("VERBOSE")
    _analyze_tables(sql, reader)
    return Result(tag="ANALYZE")


def _options(reader: Reader, known: set[str]) -> dict[str, str]:
    """(NAME [value], ...)"""
    found: dict[str, str] = {}
    reader.expect("(")
    while not found or reader.accept(","):
        name = reader.accept_any(*known)
        if not name:
            raise reader.failure()
        found[name] = "ON"
        if not reader.is_at_end() and reader.word() not in (",", ")"):
            token = reader.tokens[reader.index]
            found[name] = token.text.upper()
            reader.index += 1
    reader.expect(")")
    return found


def _analyze_tables(sql: SqlSession, reader: Reader) -> None:
    """The tables named, or else all of the database."""
    from phantomdb.core.query.statistics import analyze
    names = sql.names()
    for table in _named_tables(names, reader) or [
            item for schema in names.catalog.schemas(names.database.id) for item in names.catalog.tables(schema.id)]:
        analyze(sql.session, table.id)


def _named_tables(names: Names, reader: Reader) -> list[Table]:
    """[table [(columns)], ...] up to the end. All columns are looked at together, whichever are named."""
    tables: list[Table] = []
    while not reader.is_at_end() and (not tables or reader.accept(",")):
        found = reader.qualified()
        tables.append(names.table(found.name, found.schema, found.position))
        for name in reader.names() if reader.word() == "(" else ():
            if tables[-1].column(name) is None:
                raise UndefinedColumn(f'column "{name}" of relation "{found}" does not exist', column=name)
    reader.end()
    return tables


def _vacuum(sql: SqlSession, reader: Reader, _parameters: Parameters) -> Result:
    _require_alone(sql, "VACUUM")
    words: set[str] = set()
    if reader.word() == "(":
        options = _options(reader, {"ANALYZE", "FULL", "FREEZE", "VERBOSE", "DISABLE_PAGE_SKIPPING", "SKIP_LOCKED",
                                    "INDEX_CLEANUP", "PROCESS_TOAST", "TRUNCATE", "PARALLEL"})
        words = {name for name, value in options.items() if value not in ("OFF", "FALSE", "0")}
    while word := reader.accept_any("FULL", "FREEZE", "VERBOSE", "ANALYZE"):
        words.add(word)
    sql.notices.append("VACUUM has nothing to do: old versions go when tables are compacted in the background")
    if "ANALYZE" in words:
        _analyze_tables(sql, reader)
        return Result(tag="VACUUM")
    _named_tables(sql.names(), reader)
    return Result(tag="VACUUM")


def _checkpoint(sql: SqlSession, reader: Reader, _parameters: Parameters) -> Result:
    reader.end()
    sql.session.engine.store.flush()
    return Result(tag="CHECKPOINT")


def _copy(sql: SqlSession, reader: Reader, parameters: Parameters) -> Result:
    from phantomdb.frontends.sql import copy
    return copy.run(sql, reader, parameters)


def _explain(sql: SqlSession, reader: Reader, parameters: Parameters) -> Result:
    from phantomdb.frontends.sql import explain
    return explain.run(sql, reader, parameters)


_Handler = Callable[["SqlSession", Reader, "Parameters"], Result]
_HANDLERS: Mapping[str, _Handler] = {
    "BEGIN": _begin, "START": _begin, "COMMIT": _commit, "END": _commit, "ROLLBACK": _rollback, "ABORT": _rollback,
    "SAVEPOINT": _savepoint, "RELEASE": _release, "SET": _set,
    "RESET": lambda sql, reader, _: settings.run_reset(sql, reader),
    "SHOW": lambda sql, reader, _: settings.run_show(sql, reader),
    "LOCK": _lock, "PREPARE": _prepare, "EXECUTE": _execute, "DEALLOCATE": _deallocate, "DISCARD": _discard,
    "ANALYZE": _analyze, "ANALYSE": _analyze, "VACUUM": _vacuum, "CHECKPOINT": _checkpoint,
    "COPY": _copy, "EXPLAIN": _explain}
