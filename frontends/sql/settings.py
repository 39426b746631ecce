"""SET, RESET and SHOW: the settings of a session, each declared once.

    name = Setting(default, check, effect)          check: what was written -> the value as SHOW gives it

A value is text, as PostgreSQL shows it. What is not declared is an error, except names with a dot (`app.user`), which
belong to the program and may be set freely. A setting that is declared here but cannot be other than it is accepts its
own value only, so that the statements clients send at their start go through.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from phantomdb.core.query.context import zone_named
from phantomdb.core.query.errors import (
    FeatureNotSupported, InvalidParameterValue, InvalidTransactionState, UndefinedObject,
)
from phantomdb.core.query.functions.system import POSTGRESQL_VERSION
from phantomdb.core.query.result import Result, result_of
from phantomdb.core.transactions import LOCK_TIMEOUT_S, Isolation
from phantomdb.core.values import TEXT
from phantomdb.frontends.sql.reader import Reader

if TYPE_CHECKING:
    from phantomdb.core.query.session import Session
    from phantomdb.frontends.sql.frontend import SqlSession

Check = Callable[[str], str]
Effect = Callable[["Session", str], None]

LEVELS: dict[str, Isolation] = {                         # a stronger level than the one asked for is right, too
    "serializable": "serializable", "repeatable read": "snapshot", "snapshot": "snapshot",
    "read committed": "serializable", "read uncommitted": "serializable"}
SHOWN_LEVELS: dict[Isolation, str] = {"serializable": "serializable", "snapshot": "repeatable read"}

_TRUE, _FALSE = {"on", "true", "yes", "1", "t", "y"}, {"off", "false", "no", "0", "f", "n"}
_MILLISECONDS = {"us": 0.001, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


# -------------------------------------------------------------------- checks

def is_true(text: str, name: str) -> bool:
    """As PostgreSQL reads a boolean setting. InvalidParameterValue."""
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise InvalidParameterValue(f'parameter "{name}" requires a Boolean value')


def _anything(text: str) -> str:
    return text


def _boolean(name: str, text: str) -> str:
    return "on" if is_true(text, name) else "off"


def _one_of(name: str, choices: Sequence[str], text: str) -> str:
    word = text.strip().lower()
    for choice in choices:
        if choice.lower() == word:
            return choice
    raise InvalidParameterValue(f'invalid value for parameter "{name}": "{text}"; allowed: {", ".join(choices)}')


def _whole(name: str, low: int, high: int, text: str) -> str:
    try:
        number = int(text)
    except ValueError:
        raise InvalidParameterValue(f'invalid value for parameter "{name}": "{text}"') from None
    if not low <= number <= high:
        raise InvalidParameterValue(f'{number} is outside the valid range for parameter "{name}" ({low} .. {high})')
    return str(number)


def milliseconds(text: str) -> int:
    """'250', '5s', '1min'. InvalidParameterValue."""
    text = text.strip()
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    factor = _MILLISECONDS.get(text[len(digits):].strip() or "ms")
    try:
        number = float(digits) * (factor or 0)
    except ValueError:
        number = -1.0
    if factor is None or not 0 <= number < 1 << 31:
        raise InvalidParameterValue(f'invalid value for a time: "{text}"; units are us, ms, s, min, h and d')
    return round(number)


def _time_shown(text: str) -> str:
    """As PostgreSQL: in the largest unit that leaves it whole."""
    number = milliseconds(text)
    if number == 0:
        return "0"
    unit = next(unit for unit in ("d", "h", "min", "s", "ms") if number % _MILLISECONDS[unit] == 0)
    return f"{number // int(_MILLISECONDS[unit])}{unit}"


def _zone(text: str) -> str:
    """A zone by its name, or whole hours ahead of UTC: 2, -5, '+02:00', as SET TIME ZONE takes them."""
    hours = re.fullmatch(r"\s*([+-]?)(\d{1,2})(?::00(?::00)?)?\s*", text)
    if hours is not None and int(hours[2]) <= 14:
        ahead = int(hours[1] + hours[2])
        return f"Etc/GMT{-ahead:+d}" if ahead else "UTC"         # whose signs count to the west
    if hours is not None or re.fullmatch(r"\s*[+-]?[\d.:]+\s*", text):
        raise FeatureNotSupported(f"time zone {text}: hours must be whole; give the zone's name")
    return zone_named(text).key


def _level(text: str) -> str:
    word = " ".join(text.lower().split())
    if word not in LEVELS:
        raise InvalidParameterValue(f'invalid value for parameter "transaction_isolation": "{text}"')
    return SHOWN_LEVELS[LEVELS[word]]


def _utf8(text: str) -> str:
    if text.strip().lower().replace("-", "") not in ("utf8", "unicode"):
        raise FeatureNotSupported(f'client_encoding "{text}": it is always UTF8')
    return "UTF8"


def _date_style(text: str) -> str:
    words = {word.strip().lower() for word in text.split(",")}
    if not words <= {"iso", "mdy", "us", "noneuro", "noneuropean"}:
        raise FeatureNotSupported(f'datestyle "{text}": it is always ISO, MDY')
    return "ISO, MDY"


# -------------------------------------------------------------------- effects

def _search_path(session: Session, value: str) -> None:
    session.search_path = tuple(name for name in split_names(value) if name)


def split_names(text: str) -> list[str]:
    """Names with commas between, folded; `$user` is no schema here."""
    names = []
    for part in re.findall(r'(?:"(?:[^"]|"")*"|[^,])+', text):
        name, quoted = part.strip().lower(), part.strip()
        if len(quoted) > 1 and quoted[0] == quoted[-1] == '"':
            name = quoted[1:-1].replace('""', '"')
        names.append("" if name == "$user" else name)
    return names


def _statement_timeout(session: Session, value: str) -> None:
    session.statement_timeout_s = milliseconds(value) / 1000 or None


def _lock_timeout(session: Session, value: str) -> None:
    session.lock_timeout_s = milliseconds(value) / 1000 or LOCK_TIMEOUT_S


def _executor(session: Session, value: str) -> None:
    session.only_executor = None if value == "auto" else "row" if value == "row" else "vector"


def _default_isolation(session: Session, value: str) -> None:
    session.default_isolation = LEVELS[value]


# -------------------------------------------------------------------- the table

@dataclass(frozen=True, slots=True)
class Setting:
    default: str
    check: Check
    meaning: str
    effect: Effect | None = None
    is_fixed: bool = False               # SET is an error, whatever the value


def _fixed(value: str, meaning: str) -> Setting:
    return Setting(value, _anything, meaning, is_fixed=True)


def _switch(name: str, default: str, meaning: str) -> Setting:
    return Setting(default, partial(_boolean, name), meaning)


def _only(name: str, value: str, meaning: str) -> Setting:
    return Setting(value, partial(_one_of, name, (value,)), meaning)


def _server_version() -> str:
    from phantomdb import __version__
    return f"{POSTGRESQL_VERSION} (PhantomDB {__version__})"


SETTINGS: dict[str, Setting] = {
    "application_name": Setting("", _anything, "name of the program"),
    "bytea_output": _only("bytea_output", "hex", "how bytea is shown"),
    "check_function_bodies": _switch("check_function_bodies", "on", "no effect: there are no functions to define"),
    "client_encoding": Setting("UTF8", _utf8, "encoding of text"),
    "client_min_messages": Setting("notice", partial(_one_of, "client_min_messages", (
        "debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error")), "no effect"),
    "datestyle": Setting("ISO, MDY", _date_style, "how dates are shown"),
    "default_table_access_method": _fixed("heap", "no effect: there is one kind of table"),
    "default_tablespace": _only("default_tablespace", "", "no effect: there are no tablespaces"),
    "default_transaction_deferrable": _switch("default_transaction_deferrable", "off", "no effect"),
    "default_transaction_isolation": Setting("serializable", _level, "isolation of transactions", _default_isolation),
    "default_transaction_read_only": _switch("default_transaction_read_only", "off", "whether transactions only read"),
    "extra_float_digits": Setting("1", partial(_whole, "extra_float_digits", -15, 3), "no effect: floats are exact"),
    "idle_in_transaction_session_timeout": Setting("0", _time_shown, "no effect"),
    "integer_datetimes": _fixed("on", "moments are whole microseconds"),
    "intervalstyle": _only("intervalstyle", "postgres", "how intervals are shown"),
    "is_superuser": _fixed("on", "whether the user may do everything"),
    "lc_messages": _only("lc_messages", "C", "language of messages"),
    "lock_timeout": Setting("0", _time_shown, "time FOR UPDATE and LOCK TABLE wait, in ms; 0 is ten seconds",
                            _lock_timeout),
    "max_identifier_length": _fixed("63", "bytes of a name"),
    "phantomdb.executor": Setting("auto", partial(_one_of, "phantomdb.executor", ("auto", "row", "vector")),
                                  "which executor runs queries; those that the row executor cannot run it refuses",
                                  _executor),
    "row_security": _switch("row_security", "on", "no effect"),
    "search_path": Setting("public", _anything, "schemas in which names are looked up", _search_path),
    "server_encoding": _fixed("UTF8", "encoding of stored text"),
    "server_version": _fixed(_server_version(), "version, as PostgreSQL's"),
    "server_version_num": _fixed("150000", "the same as a number"),
    "session_authorization": _fixed("phantomdb", "user"),
    "standard_conforming_strings": _only("standard_conforming_strings", "on", "backslashes are ordinary characters"),
    "statement_timeout": Setting("0", _time_shown, "time a query may take, in ms; 0 is no limit", _statement_timeout),
    "synchronous_commit": _switch("synchronous_commit", "on", "no effect: durability is an option of the database"),
    "timezone": Setting("UTC", _zone, "zone of moments without one"),
    "transaction_deferrable": _switch("transaction_deferrable", "off", "no effect"),
    "transaction_isolation": Setting("serializable", _level, "isolation of the open transaction"),
    "transaction_read_only": _switch("transaction_read_only", "off", "whether the open transaction only reads"),
    "work_mem": Setting("4MB", _anything, "no effect: query_memory_bytes is an option of the database"),
    "xmloption": _only("xmloption", "content", "there is no XML"),
}


def value_of(session: Session, name: str) -> str:
    """What SHOW gives. UndefinedObject."""
    if name == "transaction_isolation":
        return SHOWN_LEVELS[session.isolation]
    if name == "transaction_read_only":
        return "on" if session.is_read_only else "off"
    if name == "session_authorization":
        return session.user
    if name in session.settings:
        return session.settings[name]
    if name not in SETTINGS:
        raise UndefinedObject(f'unrecognized configuration parameter "{name}"')
    return SETTINGS[name].default


def set_value(session: Session, name: str, value: str | None, *, is_local: bool = False) -> None:
    """`value` None: the default. UndefinedObject, InvalidParameterValue, FeatureNotSupported."""
    setting = SETTINGS.get(name)
    if setting is None:
        if "." not in name:
            raise UndefinedObject(f'unrecognized configuration parameter "{name}"')
        setting = Setting("", _anything, "the program's own")
    if setting.is_fixed:
        raise InvalidParameterValue(f'parameter "{name}" cannot be changed')
    if name in ("transaction_isolation", "transaction_read_only"):
        _set_transaction(session, name, setting, value)
        return
    shown = setting.default if value is None else setting.check(value)

    def change() -> None:
        if value is None:
            session.settings.pop(name, None)
        else:
            session.settings[name] = shown
        if setting.effect is not None:
            setting.effect(session, shown)

    session.configure(change, is_local=is_local)


def _set_transaction(session: Session, name: str, setting: Setting, value: str | None) -> None:
    """Those of the open transaction; without one they mean nothing."""
    if not session.in_transaction:
        return
    if name == "transaction_isolation":
        session.set_isolation(session.default_isolation if value is None else LEVELS[setting.check(value)])
        return
    only_reads = setting.check(value or "off") == "on"
    if session.is_read_only and not only_reads:
        raise InvalidTransactionState("cannot set transaction read-write mode inside a read-only transaction")
    session.is_read_only = only_reads


class SessionConfiguration:
    """What current_setting() and set_config() ask of a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def show(self, name: str) -> str | None:
        try:
            return value_of(self._session, name)
        except UndefinedObject:
            return None

    def change(self, name: str, value: str, is_local: bool) -> str:
        set_value(self._session, name, value, is_local=is_local)
        return self.show(name) or value


# -------------------------------------------------------------------- the statements

def run_set(sql: SqlSession, reader: Reader) -> Result:
    """SET, except SET CONSTRAINTS and SET TRANSACTION."""
    session = sql.session
    is_local = reader.accept_any("LOCAL", "SESSION") == "LOCAL"
    if reader.accept("TIME", "ZONE"):
        name = "timezone"
    elif reader.accept("NAMES"):
        name = "client_encoding"
    elif reader.accept("SCHEMA"):
        name = "search_path"
    elif reader.word() in ("ROLE", "AUTHORIZATION"):
        raise reader.unsupported(f"SET {reader.word()}")
    else:
        name = ".".join(reader.dotted()).lower()
        if not reader.accept("TO"):
            reader.expect("=")
    value = _written_value(reader, name)
    if is_local and not session.in_transaction:
        sql.notices.append("SET LOCAL can only be used in transaction blocks")
    set_value(session, name, value, is_local=is_local)
    return Result(tag="SET")


def _written_value(reader: Reader, name: str) -> str | None:
    """One value or more with commas between; None for DEFAULT (and the zone LOCAL)."""
    if reader.accept("DEFAULT") or (name == "timezone" and reader.accept("LOCAL")):
        reader.end()
        return None
    if name == "timezone" and reader.accept("INTERVAL"):
        text = reader.string()
        if reader.accept("HOUR") and reader.accept("TO"):
            reader.expect("MINUTE")
        reader.end()
        return text
    values = [_one_value(reader, name)]
    while reader.accept(","):
        values.append(_one_value(reader, name))
    reader.end()
    return ", ".join(values)


def _one_value(reader: Reader, name: str) -> str:
    if reader.is_at_end() or reader.word() in (",", ";", "(", ")", "="):
        raise reader.failure()
    token = reader.tokens[reader.index]
    kind = token.token_type.name
    if kind == "IDENTIFIER" or (kind.endswith("STRING") and name == "search_path"):
        reader.index += 1
        if name == "search_path" and not (token.text.isidentifier() and token.text == token.text.lower()):
            return '"' + token.text.replace('"', '""') + '"'
        return str(token.text)
    if kind.endswith("STRING"):
        return reader.string()
    sign = "-" if reader.accept("-") else ""
    reader.accept("+")
    if reader.is_at_end():
        raise reader.failure()
    reader.index += 1
    return sign + str(reader.tokens[reader.index - 1].text)


def run_reset(sql: SqlSession, reader: Reader) -> Result:
    if reader.accept("ALL"):
        reader.end()
        reset_all(sql.session)
        return Result(tag="RESET")
    if reader.accept("TIME", "ZONE"):
        name = "timezone"
    else:
        name = ".".join(reader.dotted()).lower()
    reader.end()
    set_value(sql.session, name, None)
    return Result(tag="RESET")


def reset_all(session: Session) -> None:
    for name in list(session.settings):
        set_value(session, name, None)


def run_show(sql: SqlSession, reader: Reader) -> Result:
    session = sql.session
    if reader.accept("ALL"):
        reader.end()
        rows = [(name, value_of(session, name), setting.meaning) for name, setting in SETTINGS.items()]
        rows += [(name, value, "") for name, value in sorted(session.settings.items()) if name not in SETTINGS]
        return result_of(["name", "setting", "description"], [TEXT] * 3, rows, "SHOW")
    if reader.accept("TIME", "ZONE"):
        name = "timezone"
    elif reader.accept("TRANSACTION", "ISOLATION", "LEVEL"):
        name = "transaction_isolation"
    else:
        name = ".".join(reader.dotted()).lower()
    reader.end()
    shown = {"timezone": "TimeZone", "datestyle": "DateStyle", "intervalstyle": "IntervalStyle"}.get(name, name)
    return result_of([shown], [TEXT], [(value_of(session, name),)], "SHOW")
