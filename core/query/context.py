"""What functions may know of the statement and the session they run in: now(), current_user, the time zone, sequences.

The executor sets it for the time a statement runs (`use`); functions ask `current()`. Immutable functions never do.
A thread of another library does not inherit it: vector_functions.py hands it on.
"""
from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from phantomdb.core.query.cancellation import Cancellation
from phantomdb.core.query.errors import InvalidParameterValue, UndefinedObject


class Sequences(Protocol):
    """Sequences by their names as written in the call, in the catalog and transaction of the statement."""

    def next_value(self, name: str) -> int: ...
    def current_value(self, name: str) -> int: ...
    def last_value(self) -> int: ...
    def set_value(self, name: str, value: int, is_called: bool) -> int: ...


class NoSequences:
    """Outside of a database there are none."""

    def next_value(self, name: str) -> int:
        raise UndefinedObject(f'relation "{name}" does not exist')

    def current_value(self, name: str) -> int:
        raise UndefinedObject(f'relation "{name}" does not exist')

    def last_value(self) -> int:
        raise UndefinedObject("lastval is not yet defined in this session")

    def set_value(self, name: str, value: int, is_called: bool) -> int:
        raise UndefinedObject(f'relation "{name}" does not exist')


class Configuration(Protocol):
    """The settings of a session as its frontend has them; `name` is in lower case."""

    def show(self, name: str) -> str | None:
        """None: there is no such setting."""

    def change(self, name: str, value: str, is_local: bool) -> str:
        """What it is from now on. UndefinedObject, InvalidParameterValue, FeatureNotSupported."""


def _utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True, slots=True)
class StatementContext:
    """One statement's view of its session. Moments are in UTC."""

    now: datetime.datetime = field(default_factory=_utc_now)                 # start of the transaction
    statement_started: datetime.datetime | None = None                       # None: as now
    timezone: str = "UTC"                                                    # a name of the IANA database
    user: str = "phantomdb"
    session_user: str | None = None                                          # None: as user
    database: str = "main"
    search_path: tuple[str, ...] = ("public",)
    process_id: int = 0                                                      # of the session, as clients see it
    configuration: Configuration | None = None
    sequences: Sequences = field(default_factory=NoSequences)
    catalog: object | None = None                                            # a Catalog, for functions/catalog.py
    cancellation: Cancellation | None = None

    def check(self) -> None:
        """What works for long calls it every so many rows. StatementCancelled, StatementTimeout."""
        if self.cancellation is not None:
            self.cancellation.check()

    @property
    def zone(self) -> ZoneInfo:
        return zone_named(self.timezone)


def zone_named(name: str) -> ZoneInfo:
    """InvalidParameterValue: there is no such zone."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        for known in (name.upper(), name.title()):
            try:
                return ZoneInfo(known)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                continue
        raise InvalidParameterValue(f'time zone "{name}" not recognized') from None


_current: ContextVar[StatementContext | None] = ContextVar("statement", default=None)


def current() -> StatementContext:
    """The statement that runs; outside of one, the defaults with the clock's time."""
    found = _current.get()
    return StatementContext() if found is None else found


@contextmanager
def use(context: StatementContext) -> Iterator[None]:
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)
