"""What a statement may ask about its session: who, where, which version, settings, sequences."""
from __future__ import annotations

import datetime
import platform
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from phantomdb.core.query import coercion, context
from phantomdb.core.query.errors import FeatureNotSupported, UndefinedObject
from phantomdb.core.query.functions.numbers import scalar
from phantomdb.core.query.functions.registry import Like, Volatility
from phantomdb.core.values import BIGINT, BOOL, INT, TEXT, TIMESTAMPTZ, UUID_TYPE, Kind, Type, array

_STARTED = datetime.datetime.now(datetime.UTC)
POSTGRESQL_VERSION = "15.0"              # whose rules ours are; what clients test


def _session(name: str, result: Type, python: Callable[..., Any], summary: str, arguments: tuple[Any, ...] = (),
             **more: Any) -> None:
    scalar(name, arguments, result, python, None, summary, volatility=more.pop("volatility", Volatility.STABLE), **more)


def _version() -> str:
    from phantomdb import __version__
    return f"PostgreSQL {POSTGRESQL_VERSION} (PhantomDB {__version__}, Python {platform.python_version()})"


def _schemas(with_implicit: bool) -> list[str]:
    path = list(context.current().search_path)
    return ["pg_catalog", *path] if with_implicit and "pg_catalog" not in path else path


def _first_schema() -> str | None:
    path = context.current().search_path
    return path[0] if path else None


for _name in ("current_user", "user", "current_role"):
    _session(_name, TEXT, lambda: context.current().user, "the user whose rights count")
_session("session_user", TEXT, lambda: context.current().session_user or context.current().user, "the user logged in")
for _name in ("current_database", "current_catalog"):
    _session(_name, TEXT, lambda: context.current().database, "the database")
_session("current_schema", TEXT, _first_schema, "the schema of new objects")
_session("current_schemas", array(TEXT), _schemas, "the schemas searched", (BOOL,))
_session("version", TEXT, _version, "the version, as PostgreSQL's")
_session("pg_postmaster_start_time", TIMESTAMPTZ, lambda: _STARTED, "when this process began to run statements")
_session("pg_backend_pid", INT, lambda: context.current().process_id, "number of the session")


# -------------------------------------------------------------------- types

def _type_name(type_: Type) -> str:
    """Without declared precision or length."""
    if type_.kind is Kind.TEXT and type_.is_padded:
        return "character"
    if type_.kind is Kind.TEXT and type_.length is not None:
        return "character varying"
    return str(coercion.without_parameters(type_))


def _typeof(types: Sequence[Type], _value: Any) -> str:
    return _type_name(types[0])


scalar("pg_typeof", (Like.ANY,), TEXT, _typeof, lambda _arguments, types, _result: f"'{_type_name(types[0])}'",
       "name of the argument's type", is_strict=False, takes_types=True)


# -------------------------------------------------------------------- settings

def _configuration() -> context.Configuration:
    found = context.current().configuration
    if found is None:
        raise FeatureNotSupported("there are no settings outside of a session")
    return found


def _setting(name: str, is_missing_ok: bool = False) -> str | None:
    found = _configuration().show(name.lower())
    if found is None and not is_missing_ok:
        raise UndefinedObject(f'unrecognized configuration parameter "{name}"')
    return found


def _set_setting(name: str, value: str, is_local: bool) -> str:
    return _configuration().change(name.lower(), value, is_local)


_session("current_setting", TEXT, _setting, "value of a setting", (TEXT, BOOL), optional=1)
_session("set_config", TEXT, _set_setting, "sets a setting, for the transaction or the session", (TEXT, TEXT, BOOL),
         volatility=Volatility.VOLATILE)


# -------------------------------------------------------------------- sequences, identifiers

def _next_value(name: str) -> int:
    return context.current().sequences.next_value(name)


def _current_value(name: str) -> int:
    return context.current().sequences.current_value(name)


def _last_value() -> int:
    return context.current().sequences.last_value()


def _set_sequence(name: str, value: int, is_called: bool = True) -> int:
    return context.current().sequences.set_value(name, value, is_called)


_session("nextval", BIGINT, _next_value, "next number of a sequence", (TEXT,), volatility=Volatility.VOLATILE)
_session("currval", BIGINT, _current_value,
         "last number this session got of a sequence", (TEXT,), volatility=Volatility.VOLATILE)
_session("lastval", BIGINT, _last_value, "last number this session got of any",
         volatility=Volatility.VOLATILE)
_session("setval", BIGINT, _set_sequence, "sets a sequence", (TEXT, BIGINT, BOOL), optional=1,
         volatility=Volatility.VOLATILE)
scalar("gen_random_uuid", (), UUID_TYPE, uuid.uuid4, "uuid()", "a UUID by chance, version 4",
       volatility=Volatility.VOLATILE)
