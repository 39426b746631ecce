"""The SQLAlchemy 2 dialect: PostgreSQL's, over phantomdb.dbapi.

    engine = create_engine("phantomdb:///data")              a folder, relative
    engine = create_engine("phantomdb:////var/lib/data?durability=none&memtable_bytes=33554432")
    engine = create_engine("phantomdb://", connect_args={"database": db})       one that phantomdb.open() gave

The query of the URL has the options of phantomdb.open(), and `name` and `isolation` of phantomdb.dbapi.connect().
The database is closed with the last connection: engine.dispose().

The SQL is PostgreSQL's, and pg_catalog tells about tables as it does there, so SQLAlchemy's own PostgreSQL dialect does
most of the work. What is here is what differs: the values of the driver, which are Python's own already, transactions,
and what the database does not have. Constructs of sqlalchemy.dialects.postgresql may be used, with options that begin
with `postgresql_`.
"""
from __future__ import annotations

import datetime
import functools
import json
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc, sql, types, util
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, JSON, JSONB
from sqlalchemy.dialects.postgresql.base import PGDDLCompiler, PGDialect

from phantomdb.core.values import JSON_NULL, Interval

if TYPE_CHECKING:
    from types import ModuleType

    from sqlalchemy.engine import URL

    from phantomdb import dbapi

__all__ = ["PhantomDialect"]

_DAYS_PER_MONTH = 30                     # as the order of intervals has it, and psycopg
_CONNECTION_STATES = ("08003", "08006")  # SQLSTATE: closed; this process is a fork
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False, "on": True, "off": False}


# -------------------------------------------------------------------- types

def _json(value: Any) -> Any:
    """A stored value as json.loads() would give it, so that json.dumps() takes it back: fractions are floats."""
    match value:
        case Decimal():
            return float(value)
        case list():
            return [_json(item) for item in value]
        case dict():
            return {name: _json(item) for name, item in value.items()}
    return None if value is JSON_NULL else value


def _json_processor(dialect: Any) -> Callable[[Any], Any]:
    """The driver gives Python objects. A deserializer of the user's is given their text, as json.dumps() has it."""
    deserialize = dialect._json_deserializer
    if deserialize is None:
        return _json
    return lambda value: None if value is None else deserialize(json.dumps(_json(value)))


class _Json(JSON[Any]):
    def result_processor(self, dialect: Any, _coltype: object) -> Callable[[Any], Any]:
        return _json_processor(dialect)


class _Jsonb(JSONB[Any]):
    def result_processor(self, dialect: Any, _coltype: object) -> Callable[[Any], Any]:
        return _json_processor(dialect)


def _timedelta(value: Interval | None) -> datetime.timedelta | None:
    if value is None:
        return None
    return datetime.timedelta(value.months * _DAYS_PER_MONTH + value.days, microseconds=value.microseconds)


def _interval(value: datetime.timedelta | None) -> Interval | None:
    if value is None:
        return None
    return Interval(0, value.days, value.seconds * 1_000_000 + value.microseconds)


class _Interval(INTERVAL):
    """As timedelta: a month counts 30 days."""

    def bind_processor(self, _dialect: Any) -> Callable[[Any], Any]:
        return _interval

    def result_processor(self, _dialect: Any, _coltype: object) -> Callable[[Any], Any]:
        return _timedelta

    @classmethod
    def adapt_emulated_to_native(cls, interval: Any, **_options: Any) -> Any:  # type: ignore[override]
        return cls(precision=interval.second_precision)


def _array_text(value: Any) -> str:
    """As PostgreSQL writes it: {"a","b",NULL}."""
    match value:
        case None:
            return "NULL"
        case list() | tuple():
            return "{" + ",".join(map(_array_text, value)) + "}"
        case bytes():
            value = "\\x" + value.hex()
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


class _Array(ARRAY[Any]):
    """Sent as text with a cast: an empty list, and one with None, do not tell their type."""

    render_bind_cast = True

    def bind_processor(self, dialect: Any) -> Callable[[Any], Any]:
        convert = super().bind_processor(dialect)

        def process(value: Any) -> str | None:
            if value is None:
                return None
            return _array_text(convert(value) if convert is not None else value)

        return process


# -------------------------------------------------------------------- dialect

class _DefinitionCompiler(PGDDLCompiler):
    def visit_computed_column(self, generated: Any, **_options: Any) -> str:
        """CompileError: `persisted=False`; what a generated column has is stored."""
        if generated.persisted is False:
            raise exc.CompileError("computed columns are stored: `persisted` is None or True")
        text = self.sql_compiler.process(generated.sqltext, include_table=False, literal_binds=True)
        return f"GENERATED ALWAYS AS ({text}) STORED"


class PhantomDialect(PGDialect):
    """What the entry point group sqlalchemy.dialects names."""

    name = "phantomdb"
    driver = "phantomdb"
    default_paramstyle = "qmark"
    supports_statement_cache = True
    supports_native_decimal = True
    supports_native_enum = False         # an Enum is text, with a CHECK where `create_constraint` asks for one
    supports_constraint_comments = False
    ddl_compiler = _DefinitionCompiler
    construct_arguments = []             # options are those of PostgreSQL: postgresql_where and so on
    colspecs = util.update_copy(
        {kind: type_ for kind, type_ in PGDialect.colspecs.items() if kind is not types.Enum},
        {types.JSON: _Json, JSONB: _Jsonb, types.Interval: _Interval, INTERVAL: _Interval, types.ARRAY: _Array})

    def __init__(self, json_serializer: Callable[[Any], str] | None = None,
                 json_deserializer: Callable[[str], Any] | None = None, **options: Any) -> None:
        super().__init__(json_serializer=json_serializer, json_deserializer=json_deserializer,
                         **options)              # type: ignore[no-untyped-call]

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        from phantomdb import dbapi
        return dbapi

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        """ArgumentError: an option that is not there or has a value it cannot have, or a URL with a host or a user."""
        if url.host or url.port or url.username or url.password:
            raise exc.ArgumentError("the database is a folder: phantomdb:///relative or phantomdb:////absolute")
        options = {name: _option(name, value) for name, value in url.query.items()}
        if url.database:
            options["database"] = url.database
        return [], options

    # ---- transactions

    def get_isolation_level_values(self, _connection: Any) -> Any:
        """READ COMMITTED and READ UNCOMMITTED are not: they would be SERIALIZABLE."""
        return ("SERIALIZABLE", "REPEATABLE READ", "AUTOCOMMIT")

    def set_isolation_level(self, connection: Any, level: Any) -> None:
        connection.autocommit = level == "AUTOCOMMIT"
        if level != "AUTOCOMMIT":
            _set_characteristics(connection, f"ISOLATION LEVEL {level}")

    def get_isolation_level(self, connection: Any) -> Any:
        if connection.autocommit:
            return "AUTOCOMMIT"
        return str(_show(connection, "transaction_isolation")).upper()

    def detect_autocommit_setting(self, connection: Any) -> bool:
        return bool(connection.autocommit)

    def set_readonly(self, connection: Any, value: bool) -> None:
        _set_characteristics(connection, "READ ONLY" if value else "READ WRITE")

    def get_readonly(self, connection: Any) -> bool:
        return bool(_show(connection, "default_transaction_read_only") == "on")

    def do_begin_twophase(self, _connection: Any, _xid: Any) -> None:
        raise NotImplementedError("there is no two-phase commit")

    # ---- reflection

    def initialize(self, connection: Any) -> None:
        super().initialize(connection)           # type: ignore[no-untyped-call]
        self._supports_jsonb_subscripting = False            # x -> 'a' instead of x['a']

    def get_multi_pk_constraint(self, *place: Any, **options: Any) -> Any:
        return _uncommented(super().get_multi_pk_constraint(*place, **options))     # type: ignore[no-untyped-call]

    def get_multi_foreign_keys(self, *place: Any, **options: Any) -> Any:
        return _uncommented(super().get_multi_foreign_keys(*place, **options))     # type: ignore[no-untyped-call]

    def get_multi_unique_constraints(self, *place: Any, **options: Any) -> Any:
        return _uncommented(super().get_multi_unique_constraints(*place, **options))     # type: ignore[no-untyped-call]

    def get_multi_check_constraints(self, *place: Any, **options: Any) -> Any:
        return _uncommented(super().get_multi_check_constraints(*place, **options))     # type: ignore[no-untyped-call]

    @functools.cached_property
    def _index_query(self) -> Any:
        """PostgreSQL counts the columns of an index from 0, as int2vector has it; an array counts from 1."""
        def replaced(element: Any, **_options: Any) -> Any:
            is_next = isinstance(element, sql.elements.BinaryExpression) and element.operator is operator.add
            return element.left if is_next and getattr(element.left, "name", "") == "ord" else None

        return sql.visitors.replacement_traverse(super()._index_query, {}, replaced)

    # ---- connections

    def do_ping(self, connection: Any) -> bool:
        connection.execute("SELECT 1")
        connection.rollback()
        return True

    def is_disconnect(self, error: Exception, _connection: Any, _cursor: Any) -> bool:
        return (getattr(error, "sqlstate", None) in _CONNECTION_STATES
                or "the connection is closed" in str(error))


def _uncommented(tables: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """Reflected constraints without the key of their comment: there are none."""
    for table, constraints in tables:
        for constraint in [constraints] if isinstance(constraints, dict) else constraints:
            constraint.pop("comment", None)
        yield table, constraints


def _option(name: str, value: str | Sequence[str]) -> Any:
    """An option of a URL as what dbapi.connect() takes."""
    import dataclasses

    from phantomdb.core.options import Options
    kinds = {field.name: str(field.type) for field in dataclasses.fields(Options)}
    kinds |= {"name": "str", "isolation": "Isolation"}
    if name not in kinds:
        raise exc.ArgumentError(f"there is no option {name!r}")
    if not isinstance(value, str):
        raise exc.ArgumentError(f"the option {name!r} is given more than once")
    kind = kinds[name].partition(" |")[0]
    try:
        match kind:
            case "bool":
                return _BOOLEANS[value.lower()]
            case "int":
                return int(value)
            case "float":
                return float(value)
    except (KeyError, ValueError):
        raise exc.ArgumentError(f"the option {name!r} is of type {kind}, not {value!r}") from None
    return value


def _set_characteristics(connection: dbapi.Connection, modes: str) -> None:
    connection.execute(f"SET SESSION CHARACTERISTICS AS TRANSACTION {modes}")
    connection.commit()


def _show(connection: dbapi.Connection, setting: str) -> Any:
    """Of a connection that is not in a transaction it begins none."""
    was_in_transaction = connection.in_transaction
    row = connection.execute(f"SHOW {setting}").fetchone()
    if not was_in_transaction:
        connection.rollback()
    assert row is not None
    return row[0]
