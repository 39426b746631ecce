"""watch(): the change feed as a program reads it."""
from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from phantomdb.core._ext.feed import FeedCursor

if TYPE_CHECKING:
    from phantomdb.core.store import LocalStore

WAIT_MS = 200                        # how long a wait without the GIL lasts at most, so that Ctrl-C is heard


class Change(NamedTuple):
    """One write of a batch. `value` None: deleted. `stop` not None: all keys in [key, stop) were deleted."""

    key: bytes
    value: bytes | None
    stop: bytes | None


class Batch(NamedTuple):
    """What one transaction wrote, in the order of its writes. `timestamp` is the token to resume from."""

    timestamp: int
    changes: tuple[Change, ...]


def watch(store: LocalStore, prefix: int, from_ts: int | None, timeout_s: float | None) -> Iterator[Batch]:
    """Batches after `from_ts` (None: after now) in commit order; see Database.watch. The feed is complete from the
    moment of this call, not of the first next()."""
    return batches_of(open_feed(store, prefix, from_ts), timeout_s)


def open_feed(store: LocalStore, prefix: int, from_ts: int | None) -> FeedCursor:
    """A cursor before the first batch after `from_ts`; watch() says which."""
    store.check_usable()
    while True:
        complete_from_ts = store.log_complete_from_ts
        cursor = FeedCursor(store.engine, prefix, from_ts, complete_from_ts)
        if store.log_complete_from_ts == complete_from_ts:       # else segments it needs may have gone meanwhile
            return cursor
        cursor.close()


def batches_of(cursor: FeedCursor, timeout_s: float | None) -> Iterator[Batch]:
    """What the cursor finds, waiting for more; closes it at the end."""
    try:
        last = time.monotonic()
        while True:
            found = cursor.next_batch()
            if found is not None:
                timestamp, changes = found
                yield Batch(timestamp, tuple(Change(*change) for change in changes))
                last = time.monotonic()
                continue
            left_ms = WAIT_MS
            if timeout_s is not None:
                left_ms = min(left_ms, round((last + timeout_s - time.monotonic()) * 1000))
                if left_ms <= 0:
                    return
            cursor.wait(left_ms)
    finally:
        cursor.close()
