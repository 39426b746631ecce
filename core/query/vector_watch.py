"""What makes DuckDB stop: a statement that is cancelled, or whose time is over.

    Cancellation --callback--> Watchdog: one thread, which interrupts the session
    deadline ----------------^           of a Watch until its statement has ended

An interrupt that comes before DuckDB has begun is lost, so it is repeated.
"""
from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from phantomdb.core.query.cancellation import Cancellation

if TYPE_CHECKING:
    import pyarrow as pa

    from phantomdb.core.query.vector_functions import StatementFunctions
    from phantomdb.core.query.vector_sessions import Session

INTERRUPT_INTERVAL_S = 0.05


class Watch:
    """A running statement, and what is to be closed when it ends."""

    def __init__(self, session: Session, cancellation: Cancellation) -> None:
        self.session, self.cancellation = session, cancellation
        self.is_running = True
        self.reader: pa.RecordBatchReader | None = None
        self.functions: StatementFunctions | None = None
        self._lock = threading.Lock()                        # interrupt() only while the statement is running
        self._on_cancel: Callable[[], None] | None = None

    def on_cancel(self, callback: Callable[[], None]) -> None:
        self._on_cancel = callback
        self.cancellation.add(callback)

    def interrupt(self) -> None:
        with self._lock:
            if self.is_running:
                self.session.cursor.interrupt()

    def end(self) -> None:
        with self._lock:
            self.is_running = False
        if self._on_cancel is not None:
            self.cancellation.remove(self._on_cancel)
            self._on_cancel = None
        if self.reader is not None:
            self.reader.close()
            self.reader = None
        if self.functions is not None:
            self.functions.close()


class Watchdog:
    """Its thread is started by the first statement that has a limit or is cancelled."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._queue: list[tuple[float, int, Watch]] = []     # when to look, a number to tell equals apart, whom
        self._numbers = 0
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def add(self, watch: Watch) -> None:
        watch.on_cancel(lambda: self._wake(watch, time.monotonic()))
        if watch.cancellation.deadline is not None:
            self._wake(watch, watch.cancellation.deadline)

    def remove(self, watch: Watch) -> None:
        """An ended statement stays in the queue until its time; so that it is short, old ones go now and then."""
        if len(self._queue) > 1000:
            with self._condition:
                self._queue = [entry for entry in self._queue if entry[2].is_running]
                heapq.heapify(self._queue)

    def _wake(self, watch: Watch, at: float) -> None:
        with self._condition:
            if self._is_closed:
                return
            self._numbers += 1
            heapq.heappush(self._queue, (at, self._numbers, watch))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="phantomdb-statement-watchdog", daemon=True)
                self._thread.start()
            elif self._queue[0][2] is watch:
                self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._is_closed and (not self._queue or self._queue[0][0] > time.monotonic()):
                    self._condition.wait(self._queue[0][0] - time.monotonic() if self._queue else None)
                if self._is_closed:
                    return
                _, _, watch = heapq.heappop(self._queue)
            if watch.is_running:
                watch.interrupt()
                self._wake(watch, time.monotonic() + INTERRUPT_INTERVAL_S)

    def close(self) -> None:
        with self._condition:
            self._is_closed = True
            self._queue.clear()
            self._condition.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
