"""The SQL frontend: texts and parameters in, results out.

    text -> statements (parse.py) -> utility        BEGIN, SET, COPY, EXPLAIN, ...       (utility.py)
                                  -> definition     CREATE, ALTER, DROP, ...             (definitions.py)
                                  -> plan           SELECT, INSERT, UPDATE, DELETE, ...  (queries.py, changes.py)

Plans are kept by text, types of the parameters, catalog and search path; a statement that comes again is neither
parsed nor bound.
"""
from __future__ import annotations

import datetime
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from phantomdb.core.query import plan
from phantomdb.core.query.builder import Builder, type_of_value
from phantomdb.core.query.errors import (
    CharacterNotInRepertoire, FeatureNotSupported, StatementTooComplex, SyntaxFailure, UndefinedParameter,
)
from phantomdb.core.query.fast import FastChange, FastStatement
from phantomdb.core.query.fast_plans import prepare
from phantomdb.core.query.result import Result, RowStream
from phantomdb.core.query.session import StalePlan
from phantomdb.core.values import BIGINT, INT, Interval, Type, array
from phantomdb.frontends.sql import parse
from phantomdb.frontends.sql.changes import ChangeBinder
from phantomdb.frontends.sql.names import Names
from phantomdb.frontends.sql.queries import QueryBinder
from phantomdb.frontends.sql.settings import SessionConfiguration

if TYPE_CHECKING:
    from phantomdb.core.query.session import Session
    from phantomdb.frontends.sql.utility import Prepared
    from phantomdb.core.tables.rows import RowTransaction

T = TypeVar("T")
CACHED_TEXTS = 1000
CACHED_PATHS = 100
_CHANGES = {"INSERT", "UPDATE", "DELETE", "MERGE"}
_QUERIES = {"SELECT", "VALUES", "TABLE", "WITH", ""}          # "" begins with a parenthesis
_DEFINITIONS = {"CREATE", "ALTER", "DROP", "COMMENT", "TRUNCATE"}

Parameters = Sequence[Any] | Mapping[str, Any]
# By text, those for parameters of any classes; others by (text, class of each parameter).
FastStatements = dict[Any, FastStatement]


@dataclass(frozen=True, slots=True)
class Bound:
    """A statement ready to run."""

    statement: plan.Statement
    keys: tuple[int | str, ...]          # which given parameter $1, $2, ... are
    tag: str
    used: tuple[int, ...]                # ids of the relations it names, views among them
    fast: FastStatement | None           # a shorter way, for some
    version: int                         # of the catalog it was bound with


class PlanCache:
    """Of one database; all sessions share it."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._texts: OrderedDict[str, list[parse.Statement]] = OrderedDict()
        self._plans: OrderedDict[Any, Bound] = OrderedDict()
        self._fast: OrderedDict[Any, FastStatements] = OrderedDict()

    def fast(self, session: Session) -> FastStatements:
        """The fast statements of sessions that look up names where this one does."""
        with self._mutex:
            found = self._fast.setdefault((session.name, session.search_path), {})
            while len(self._fast) > CACHED_PATHS:
                self._fast.popitem(last=False)
            return found

    def put_fast(self, statements: FastStatements, key: Any, statement: FastStatement) -> None:
        with self._mutex:
            statements[key] = statement
            while len(statements) > CACHED_TEXTS:
                del statements[next(iter(statements))]

    def statements(self, text: str) -> list[parse.Statement]:
        with self._mutex:
            if (found := self._texts.get(text)) is not None:
                self._texts.move_to_end(text)
                return found
        made = parse.split(text)
        with self._mutex:
            self._texts[text] = made
            while len(self._texts) > CACHED_TEXTS:
                self._texts.popitem(last=False)
        return made

    def get(self, key: Any) -> Bound | None:
        return self._plans.get(key)

    def put(self, key: Any, bound: Bound) -> None:
        with self._mutex:
            self._plans[key] = bound
            while len(self._plans) > CACHED_TEXTS:
                self._plans.popitem(last=False)


_caches: WeakKeyDictionary[Any, PlanCache] = WeakKeyDictionary()     # by database
_caches_mutex = threading.Lock()


class SqlFrontend:
    """What the entry point group phantomdb.frontends names."""

    name = "sql"

    def session(self, session: Session) -> SqlSession:
        return SqlSession(session)


class SqlSession:
    """SQL over one core session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        session.configuration = SessionConfiguration(session)
        self.prepared: dict[str, Prepared] = {}
        self.notices: list[str] = []                         # of the last execute()
        with _caches_mutex:
            self._plans = _caches.setdefault(session.engine, PlanCache())
        self._path: tuple[str, ...] | None = None            # search path for which _fast is
        self._fast: FastStatements = {}

    def execute(self, text: str, parameters: Parameters = ()) -> Result:
        """Runs the statements of a text; gives the result of the last. QueryError and its subclasses have the position
        in the text."""
        if self.notices:
            self.notices.clear()
        session = self.session
        if session.search_path is not self._path:
            self._fast, self._path = self._plans.fast(session), session.search_path
        fast = self._fast.get(text)
        if fast is not None and session.only_executor is None and (
                parameters.__class__ is tuple or parameters.__class__ is list) and (
                found := fast.run(session, parameters)) is not None:
            return found
        return self._execute(text, parameters)

    def _execute(self, text: str, parameters: Parameters) -> Result:
        """The usual way."""
        if not isinstance(text, str):
            raise TypeError(f"a statement is a str, not {type(text).__name__}")
        given: object = parameters                           # programs need not be typed
        if not isinstance(given, Sequence | Mapping) or isinstance(given, str | bytes):
            raise TypeError(f"parameters are a sequence or a mapping, not {type(given).__name__}")
        key = None if self.session.only_executor else _fast_key(text, parameters)
        if (fast := self._fast.get(key)) is not None and (
                found := fast.run(self.session, parameters)) is not None:              # type: ignore[arg-type]
            return found
        statements = self._plans.statements(text)
        if len(statements) == 1:
            return self.run(statements[0], parameters, key)
        if parameters:
            raise SyntaxFailure("parameters go with one statement at a time")
        result = Result()
        for statement in statements:
            result = self.run(statement, parameters)
        return result

    def execute_many(self, text: str, rows: Sequence[Parameters]) -> int:
        """Runs one statement that changes rows for each of `rows`, all or none; how many rows it changed. Where the
        values of each parameter have one type, or are None, it is bound once."""
        self.notices.clear()
        statements = self._plans.statements(text)
        if len(statements) != 1 or not statements[0].words or statements[0].words[0] not in _CHANGES:
            raise SyntaxFailure("INSERT, UPDATE, DELETE or MERGE is expected here, once")
        if not rows:
            return 0
        self._fast, self._path = self._plans.fast(self.session), self.session.search_path
        key = _fast_key(text, rows[0])
        fast = None if key is None else self._fast.get(text) or self._fast.get(key)
        if isinstance(fast, FastChange) and (
                changed := fast.run_many(self.session, rows)) is not None:                 # type: ignore[arg-type]
            return changed
        typical = _representative(rows)
        if typical is not None:
            def work(bound: Bound) -> int:
                assert not isinstance(bound.statement, plan.Query)
                self._learn(key, bound, typical)
                return self.session.execute_many(bound.statement, [_values(bound.keys, row) for row in rows],
                                                 bound.version)

            return self._bound(statements[0], typical, work)
        is_alone = not self.session.in_transaction
        if is_alone:
            self.session.begin()
        try:
            count = sum(max(0, self.run(statements[0], row).row_count) for row in rows)
            if is_alone:
                self.session.commit()
        except BaseException:
            if is_alone:
                self.session.rollback()
            raise
        return count

    def _learn(self, key: tuple[Any, ...] | None, bound: Bound, parameters: Parameters) -> None:
        """Takes the shorter way next time, if there is one."""
        fast = bound.fast
        if fast is None or key is None or bound.keys != tuple(range(len(bound.keys))) or not (
                fast.is_exact or (_PLAIN.issuperset(key[1:]) and not any(map(_is_wide, parameters)))):
            return
        known_by = key[0] if fast.is_exact else key
        if self._fast.get(known_by) is not fast:
            self._plans.put_fast(self._fast, known_by, fast)

    def run(self, statement: parse.Statement, parameters: Parameters = (), key: tuple[Any, ...] | None = None
            ) -> Result:
        """Runs one statement; `key`: its _fast_key, where it is a text of its own."""
        word = statement.words[0] if statement.words else ""
        try:
            if word in _QUERIES or word in _CHANGES:
                def work(bound: Bound) -> Result:
                    self._learn(key, bound, parameters)
                    return self.session.execute(bound.statement, _values(bound.keys, parameters), bound.tag, bound.used,
                                                bound.version)

                return self._bound(statement, parameters, work)
            if word in _DEFINITIONS:
                return self._define(statement)
            from phantomdb.frontends.sql import utility
            return utility.run(self, statement, parameters)
        except RecursionError:
            raise StatementTooComplex from None
        except UnicodeEncodeError as error:                  # a parameter's; the text has been looked at
            raise CharacterNotInRepertoire(f"half a surrogate pair is no character: {error.reason}") from None

    def stream(self, statement: str | parse.Statement, use: Callable[[RowStream], T], parameters: Parameters = ()) -> T:
        """Runs one statement and calls `use` with its rows, which may be more than memory holds.
        FeatureNotSupported: it gives none; errors of the statement, and of `use`."""
        if isinstance(statement, str):
            statements = self._plans.statements(statement)
            if len(statements) != 1:
                raise SyntaxFailure("one statement is expected here")
            statement = statements[0]
        if not statement.words or statement.words[0] in _QUERIES:
            def work(bound: Bound) -> T:
                values = _values(bound.keys, parameters)
                if isinstance(bound.statement, plan.Query):
                    return self.session.stream(bound.statement, values, use, bound.version)
                result = self.session.execute(bound.statement, values, bound.tag, bound.used, bound.version)
                return use(_with_rows(result))

            return self._bound(statement, parameters, work)
        return use(_with_rows(self.run(statement, parameters)))

    def _define(self, statement: parse.Statement) -> Result:
        """CREATE, ALTER, DROP, COMMENT, TRUNCATE: all steps in one transaction."""
        from phantomdb.frontends.sql import definitions_steps as steps
        from phantomdb.frontends.sql.definitions import DefinitionBinder

        def work(rows: RowTransaction) -> Result:
            names = Names(rows.catalog, self.session.name, self.session.search_path)
            definition = DefinitionBinder(QueryBinder(Builder(), names)).bind(statement)
            created, count = 0, -1
            for step in definition.steps:
                match step:
                    case steps.ChangeCatalog():
                        created = self.session.define(rows, step.apply).created
                    case steps.Fill():
                        insert = step.insert(rows.catalog, created)
                        count = self.session.executor.execute(insert, rows, (), "").row_count
                    case steps.Clear():
                        for table in step.tables:
                            rows.clear(rows.layout(table))
                    case steps.Restart():
                        sequence = rows.catalog.sequence(step.sequence)
                        rows.sequences.set(sequence, sequence.start if step.value is None else step.value, False)
            self.notices += definition.notices
            return Result(tag=definition.tag, row_count=count)

        return self.session.run(work)

    # ---------------------------------------------------------------- binding

    def names(self) -> Names:
        """Names as they stand for the next statement."""
        return Names(self.session.catalog, self.session.name, self.session.search_path)

    def _bound(self, statement: parse.Statement, parameters: Parameters, use: Callable[[Bound], T]) -> T:
        """Calls `use` with the plan; again with a new one when the catalog has changed before it could run."""
        while True:
            with self.session.failing():
                bound = self.bind(statement, parameters)
            try:
                return use(bound)
            except StalePlan:
                continue

    def bind(self, statement: parse.Statement, parameters: Parameters = ()) -> Bound:
        """The plan of a query or change, from the cache when it is there."""
        catalog = self.session.catalog
        given = parameters.values() if isinstance(parameters, Mapping) else parameters
        types = tuple([type_of_value(value) for value in given])
        names = tuple(parameters) if isinstance(parameters, Mapping) else ()
        key = (statement.text, types, names, catalog.version, self.session.name, self.session.search_path)
        if (found := self._plans.get(key)) is not None:
            return found
        tree = statement.tree()
        keys = tuple(statement.parameters)
        builder = Builder(_types(keys, types, names))
        queries = QueryBinder(builder, Names(catalog, self.session.name, self.session.search_path))
        queries.as_of = statement.as_of
        bound: plan.Statement
        if type(tree).__name__ in ("Insert", "Update", "Delete", "Merge"):
            bound = ChangeBinder(queries, statement.overriding).bind(tree)
            tag = type(tree).__name__.upper()
        else:
            bound, tag = queries.settled(queries.bind(tree, may_lock=True)), "SELECT"
        made = Bound(bound, keys, tag, tuple(sorted(queries.names.used)),
                     prepare(bound, self.session.engine, catalog, tag), catalog.version)
        self._plans.put(key, made)
        return made


def _with_rows(result: Result) -> Result:
    if not result.has_rows:
        raise FeatureNotSupported("a statement that gives no rows cannot be used here; add RETURNING")
    return result


def _types(keys: Sequence[int | str], types: Sequence[Type], names: Sequence[str]) -> list[Type]:
    """The type of $1, $2, ..."""
    result = []
    for key in keys:
        if isinstance(key, str):
            if key not in names:
                raise UndefinedParameter(f'no value was given for parameter ":{key}"')
            result.append(types[names.index(key)])
        elif key >= len(types) or names:
            raise UndefinedParameter(f"there is no parameter ${key + 1}: {len(types)} values were given")
        else:
            result.append(types[key])
    if not names and len(types) > (used := max([key + 1 for key in keys if isinstance(key, int)], default=0)):
        raise UndefinedParameter(f"{len(types)} values were given for {used} parameters")
    return result


def _representative(rows: Sequence[Parameters]) -> Parameters | None:
    """One row of values whose types are those of all rows; None: there is none."""
    first = rows[0]
    if isinstance(first, Mapping):
        if any(not isinstance(row, Mapping) or row.keys() != first.keys() for row in rows):
            return None
        named: list[Any] = list(rows)
        found = {name: _typical([row[name] for row in named]) for name in first}
        return None if any(value is _MIXED for value in found.values()) else found
    if any(isinstance(row, Mapping) or len(row) != len(first) for row in rows):
        return None
    values = [_typical(column) for column in zip(*rows, strict=True)]
    return None if any(value is _MIXED for value in values) else values


_MIXED = object()


def _typical(values: Sequence[Any]) -> Any:
    """One of the values, of the type that fits all; _MIXED: there is none."""
    classes = {value.__class__ for value in values} - {None.__class__}
    if not classes:
        return None
    if len(classes) > 1 or not classes <= _UNIFORM:
        return _MIXED
    there = [value for value in values if value is not None]
    if classes == {list}:
        # an empty list fits any type
        types = {type_of_value(value): value for value in [value for value in there if value] or there}
        if len(types) > 1 and not types.keys() <= {array(INT), array(BIGINT)}:
            return _MIXED
        return types[max(types, key=lambda type_: type_ == array(BIGINT))]
    if classes != {int}:
        return there[0]
    widest = max(there, key=lambda value: value if value >= 0 else ~value)
    return widest if not _is_wide(widest) or all(map(_is_wide, there)) else _MIXED


# Classes whose values have one type. Of whole numbers, one of 64 bits serves for smaller ones too; of lists, each has
# the type that its items give it.
_UNIFORM = {bool, int, float, str, bytes, Decimal, datetime.date, datetime.time, datetime.timedelta, Interval, UUID,
            dict, list}
# Those that say enough of a parameter's type for a fast statement that converts it.
_PLAIN = frozenset({None.__class__, bool, int, float, str, bytes, Decimal, datetime.date, datetime.time,
                    datetime.datetime, UUID, Interval})


def _fast_key(text: str, parameters: Parameters) -> tuple[Any, ...] | None:
    """The text and the classes of the parameters; None: they are named."""
    if parameters.__class__ is tuple or parameters.__class__ is list:
        return text, *map(type, parameters)
    return None


def _values(keys: Sequence[int | str], parameters: Parameters) -> list[Any]:
    given: Any = parameters
    return [_value(given[key]) for key in keys]


def _value(given: Any) -> Any:
    """A parameter as a value of the type that it was bound with (type_of_value)."""
    convert = _CONVERSIONS.get(given.__class__)
    return given if convert is None else convert(given)


def _is_wide(value: Any) -> bool:
    """Whether it is a whole number over 64 bits: it was bound as a numeric."""
    return type(value) is int and not -1 << 63 <= value < 1 << 63


_CONVERSIONS: dict[type, Callable[[Any], Any]] = {
    int: lambda value: Decimal(value) if _is_wide(value) else value,
    datetime.timedelta: lambda value: Interval(0, value.days, value.seconds * 1_000_000 + value.microseconds),
    bytearray: bytes, memoryview: bytes,
    list: lambda items: [_value(item) for item in items], tuple: lambda items: [_value(item) for item in items]}
