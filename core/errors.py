"""Every error a PhantomDB database raises, in one catalogue.

`code` is the contract: stable across releases, safe to test and to log. The class is for `except`,
the message for people and says what to do next. `retry` tells whether the same call may succeed
when simply made again.
"""
from __future__ import annotations

from typing import ClassVar

from phantomdb.core._ext import status as _status


class PhantomError(Exception):
    """Base of all errors. `path`, `offset` (bytes) and `errno` are set where a file is involved."""

    code: ClassVar[str] = "internal"
    retry: ClassVar[bool] = False
    advice: ClassVar[str] = "internal error"

    def __init__(self, message: str | None = None, *, path: str | None = None,
                 offset: int | None = None, errno: int | None = None) -> None:
        parts = [message or self.advice]
        if path:
            parts.append(f"file {path}" + (f", offset {offset}" if offset is not None else ""))
        if errno:
            parts.append(f"errno {errno}")
        super().__init__("; ".join(parts))
        self.path, self.offset, self.errno = path, offset, errno     # after OSError.__init__, which resets errno


class OutOfMemory(PhantomError, MemoryError):
    code, advice = "out_of_memory", "not enough memory"


class StorageError(PhantomError, OSError):
    code, advice = "io_error", "the operating system refused to read or write"


class DiskFull(StorageError):
    code, retry = "disk_full", True
    advice = "the disk is full; reads go on, and writing resumes when there is space"


class CorruptionError(PhantomError):
    code = "corruption"
    advice = "a file is damaged; run `phantomdb verify` and, on a copy, `phantomdb repair`"


class DatabaseClosed(PhantomError):
    code, advice = "closed", "the database is closed"


class SnapshotClosed(PhantomError):
    code, advice = "snapshot_closed", "the snapshot is closed"


class ForkedProcess(PhantomError):
    code = "forked"
    advice = "this database was opened by the parent process; open it anew in the child, after the parent closed it"


class TransactionClosed(PhantomError):
    code, advice = "transaction_closed", "the transaction has ended"


class RetryableConflict(PhantomError):
    code, retry = "conflict", True
    advice = "another transaction changed what this one read; run it again (db.run does)"


class LimitExceeded(PhantomError, ValueError):
    code, advice = "limit_exceeded", "over a limit"


class WritesStopped(PhantomError):
    code = "writes_stopped"
    advice = "writing stopped because a sync failed and what reached the disk is unknown; close and open again"


class InvalidArgument(PhantomError, ValueError):
    code, advice = "invalid_argument", "an argument makes no sense"


class NewerFormat(PhantomError):
    code, advice = "newer_format", "written by a newer version; upgrade PhantomDB to open it"


class DatabaseLocked(PhantomError):
    code, advice = "locked", "another process has the database open"


class SnapshotTooOld(PhantomError):
    code = "snapshot_too_old"
    advice = "older than the retention window; open with a larger retention_s= to read further back"


class FeedLost(PhantomError):
    code = "feed_lost"
    advice = "the change feed no longer reaches back that far; read a snapshot and watch from its timestamp"


class FileMissing(StorageError):
    code, advice = "file_missing", "a file that belongs to the database is not there"


class FileAlreadyExists(StorageError):
    code, advice = "file_exists", "the file exists already"


CLOSED = -5

# The numbers of core/_ext/status.pxd.
for _number, _class in {
    -1: OutOfMemory, -2: StorageError, -3: DiskFull, -4: CorruptionError, CLOSED: DatabaseClosed,
    -6: SnapshotClosed, -7: ForkedProcess, -8: RetryableConflict, -9: LimitExceeded,
    -10: FileMissing, -11: WritesStopped, -12: InvalidArgument, -13: NewerFormat,
    -14: DatabaseLocked, -15: FileAlreadyExists, -16: SnapshotTooOld, -17: FeedLost,
}.items():
    _status.register_exception(_number, _class)
