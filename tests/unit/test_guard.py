"""The read guard: nothing is freed under a reader, everything is freed in the end."""
from __future__ import annotations

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from phantomdb.core._ext.guard import GuardProbe


def test_free_at_once_without_readers() -> None:
    guard = GuardProbe()
    guard.defer(100)
    assert guard.freed == 0
    assert (guard.deferred_count, guard.deferred_bytes) == (1, 100)
    guard.poll()
    assert guard.freed == 1
    assert (guard.deferred_count, guard.deferred_bytes) == (0, 0)


def test_reader_inside_holds_back_what_is_deferred_later() -> None:
    guard = GuardProbe()
    token = guard.enter()
    guard.defer()
    for _ in range(10):
        guard.poll()
        assert guard.freed == 0
    guard.leave(token)
    guard.poll()
    assert guard.freed == 1


def test_readers_that_keep_coming_do_not_stop_freeing() -> None:
    """There is always a reader inside, but none stays for long: the sides take turns."""
    guard = GuardProbe()
    sides = set()
    token = guard.enter()
    for _ in range(50):
        guard.defer()
        following = guard.enter()
        guard.leave(token)
        token = following
        guard.poll()
        sides.add(guard.parity)
    assert guard.freed > 30
    assert sides == {0, 1}
    guard.leave(token)


def test_both_sides_must_be_seen_empty() -> None:
    """A reader that took its side before a flip is waited for though newcomers use the other side."""
    guard = GuardProbe()
    first = guard.enter()
    guard.defer()
    guard.poll()                     # side 1 is empty: flip
    assert guard.parity == 1
    second = guard.enter()           # on side 1, came after the unlinking
    guard.poll()
    assert guard.freed == 0
    guard.leave(first)
    guard.poll()                     # side 0 seen empty, side 1 was seen before: no need to wait for `second`
    assert guard.freed == 1
    guard.defer()                    # but what is unlinked from now on waits for it
    guard.poll()
    assert guard.freed == 1
    guard.leave(second)
    guard.poll()
    assert guard.freed == 2


def test_defer_polls_by_itself() -> None:
    guard = GuardProbe()
    for _ in range(1000):
        guard.defer()
    assert guard.freed >= 900
    freed = guard.freed
    guard.defer(2 << 20)
    assert guard.freed > freed
    assert guard.deferred_bytes == 0


def test_dropped_guard_frees_the_rest() -> None:
    guard = GuardProbe()
    for _ in range(10):
        guard.defer()
    del guard


@given(st.lists(st.sampled_from(["enter", "leave oldest", "leave newest", "defer", "poll"]), max_size=200))
def test_against_model(steps: list[str]) -> None:
    """An item goes only when all who were inside at its unlinking have left."""
    guard = GuardProbe()
    inside: dict[int, int] = {}      # reader -> token
    items: list[set[int]] = []       # for each item, who might still see it
    for number, step in enumerate(steps):
        if step == "enter":
            inside[number] = guard.enter()
        elif step.startswith("leave") and inside:
            reader = min(inside) if step == "leave oldest" else max(inside)
            guard.leave(inside.pop(reader))
        elif step == "defer":
            items.append(set(inside))
            guard.defer()
        elif step == "poll":
            guard.poll()
        freeable = sum(not (seers & set(inside)) for seers in items)
        assert guard.freed <= freeable
    for token in inside.values():
        guard.leave(token)
    guard.synchronize()
    assert guard.freed == len(items)


def test_synchronize_waits_for_readers_inside_even_with_nothing_deferred() -> None:
    guard = GuardProbe()
    token = guard.enter()
    done = threading.Event()

    def wait() -> None:
        guard.synchronize()
        done.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not done.wait(0.05)
    later = guard.enter()            # came after the call: not waited for
    guard.leave(token)
    assert done.wait(5)
    thread.join()
    guard.leave(later)


def test_nothing_is_read_after_free() -> None:
    guard = GuardProbe()
    results: list[tuple[int, int]] = []
    readers = [threading.Thread(target=lambda: results.append(guard.hammer_read(400))) for _ in range(3)]
    for reader in readers:
        reader.start()
    end = time.monotonic() + 0.4
    written = 0
    while time.monotonic() < end:
        guard.hammer_write(1000)
        written += 1000
    for reader in readers:
        reader.join()
    assert written >= 1000
    assert all(reads > 100 for reads, _ in results)
    assert [damaged for _, damaged in results] == [0, 0, 0]
    guard.synchronize()
    assert guard.deferred_count == 0
