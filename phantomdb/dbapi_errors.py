"""The exceptions of PEP 249, and which one each of our errors becomes.

    Error
      InterfaceError         this module was used wrongly: a closed cursor, no result to fetch
      DatabaseError
        DataError            SQLSTATE 22       a value that does not fit
        IntegrityError       23                a constraint
        InternalError        24, 25, 3B, XX    the transaction is in another state; a damaged file
        NotSupportedError    0A
        ProgrammingError     21, 26, 3D, 3F, 42, 44   the statement is wrong
        OperationalError     all others        conflicts, timeouts, memory, disk

Ours stays as `__cause__`; `sqlstate` is PostgreSQL's code of five characters.
"""
from __future__ import annotations

from phantomdb.core import errors as core
from phantomdb.core.query.errors import QueryError


class Warning(Exception):  # noqa: A001  (its name in PEP 249)
    """Never raised: Connection.notices has what a statement remarks."""


class Error(Exception):
    """Base of all errors. `sqlstate` is None where the database has not been asked."""

    sqlstate: str | None = None


class InterfaceError(Error):
    """This module was used wrongly."""


class DatabaseError(Error):
    """The database refused."""


class DataError(DatabaseError):
    """A value that does not fit."""


class OperationalError(DatabaseError):
    """Nothing is wrong with the statement; later, or elsewhere, it may succeed."""


class IntegrityError(DatabaseError):
    """A constraint does not hold."""


class InternalError(DatabaseError):
    """The state is not one in which this can be done."""


class ProgrammingError(DatabaseError):
    """The statement is wrong."""


class NotSupportedError(DatabaseError):
    """The database does not have this."""


_BY_STATE: dict[str, type[DatabaseError]] = {
    "0A": NotSupportedError, "21": ProgrammingError, "22": DataError, "23": IntegrityError, "24": InternalError,
    "25": InternalError, "26": ProgrammingError, "2B": ProgrammingError, "3B": InternalError, "3D": ProgrammingError,
    "3F": ProgrammingError, "42": ProgrammingError, "44": ProgrammingError, "XX": InternalError}

# Of errors of the storage, most special first.
_STATES: tuple[tuple[type[core.PhantomError], str], ...] = (
    (core.RetryableConflict, "40001"), (core.OutOfMemory, "53200"), (core.DiskFull, "53100"),
    (core.LimitExceeded, "54000"), (core.InvalidArgument, "22023"), (core.DatabaseClosed, "08003"),
    (core.DatabaseLocked, "55006"), (core.FileMissing, "58P01"), (core.FileAlreadyExists, "58P02"),
    (core.StorageError, "58030"), (core.CorruptionError, "XX001"), (core.TransactionClosed, "25P01"),
    (core.SnapshotTooOld, "72000"), (core.WritesStopped, "58030"), (core.ForkedProcess, "08006"),
    (core.NewerFormat, "0A000"))


def sqlstate_of(error: core.PhantomError) -> str:
    """PostgreSQL's code for an error of ours."""
    if isinstance(error, QueryError):
        return error.sqlstate
    return next((state for kind, state in _STATES if isinstance(error, kind)), "XX000")


def translated(error: BaseException) -> Error:
    """What PEP 249 wants raised for an error of ours, or for a value Python could not convert."""
    if isinstance(error, core.PhantomError):
        state = sqlstate_of(error)
        made: Error = _BY_STATE.get(state[:2], OperationalError)(str(error))
        made.sqlstate = state
        return made
    if isinstance(error, (UnicodeError, OverflowError)):
        made = DataError(str(error))
        made.sqlstate = "22021" if isinstance(error, UnicodeError) else "22003"
        return made
    return ProgrammingError(str(error))


# What a statement may raise that is to be translated.
TRANSLATED = (core.PhantomError, UnicodeError, OverflowError, TypeError, KeyError)
