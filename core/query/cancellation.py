"""Stopping a statement: because another thread asks for it, or because its time is over.

    session ---makes---> Cancellation <---checks--- row executor, scans: every so many rows
       |                      |
       interrupt()            callbacks ----------> DuckDB

The session makes one for each statement and hands it on in the statement's context.
"""
from __future__ import annotations

import threading
import time
from collections.abc import Callable

from phantomdb.core.query.errors import StatementCancelled, StatementTimeout


class Cancellation:
    """Of one statement. `timeout_s`: what it may take from now on; None is no limit."""

    __slots__ = ("_callbacks", "_lock", "deadline", "is_cancelled")

    def __init__(self, timeout_s: float | None = None) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self.deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self.is_cancelled = False

    def cancel(self) -> None:
        """From any thread: the statement ends with StatementCancelled."""
        with self._lock:
            self.is_cancelled = True
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()

    def reason(self) -> StatementCancelled | None:
        """Why the statement is to stop; None: it may go on."""
        if self.is_cancelled:
            return StatementCancelled()
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return StatementTimeout()
        return None

    def check(self) -> None:
        """StatementCancelled, StatementTimeout."""
        if (self.is_cancelled or self.deadline is not None) and (reason := self.reason()) is not None:
            raise reason

    def add(self, callback: Callable[[], None]) -> None:
        """`callback` is called once it is cancelled, by the thread that cancels; not when its time is over."""
        with self._lock:
            self._callbacks.append(callback)
            is_cancelled = self.is_cancelled
        if is_cancelled:
            callback()

    def remove(self, callback: Callable[[], None]) -> None:
        with self._lock:
            self._callbacks.remove(callback)
