"""Was it serializable? Histories of transactions that append to lists, and the search for a cycle in them.

A transaction reads lists and appends elements that nobody else ever appends, so a list read tells which
transactions came before: that is the idea of Elle (Kingsbury and Alvaro, "Elle: inferring isolation
anomalies from experimental observations", 2020). With the final lists as the order of versions:

    ww    the writer of an element          before the writer of the next one
    wr    the writer of the last one read   before the reader
    rw    the reader                        before the writer of the first element it did not see
    time  a transaction that had returned   before one that began later

The history is strictly serializable when the graph of these edges has no cycle. The edges of time would be
as many as pairs; a chain of "this one had returned" nodes stands for them.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Elements = tuple[int, ...]


@dataclass(frozen=True)
class Transaction:
    """One that committed. `reads`: what other transactions had left in each list it read."""

    name: int
    began: float
    returned: float
    timestamp: int = 0
    reads: dict[bytes, Elements] = field(default_factory=dict)
    appends: dict[bytes, Elements] = field(default_factory=dict)


def find_cycle(edges: dict[Any, set[Any]]) -> list[Any] | None:
    """Nodes of some cycle, in order; None when there is none."""
    finished: set[Any] = set()
    for root in edges:
        path: list[Any] = []
        on_path: set[Any] = set()
        todo: list[tuple[Any, bool]] = [(root, True)]
        while todo:
            node, entering = todo.pop()
            if not entering:
                finished.add(node)
                on_path.discard(path.pop())
                continue
            if node in on_path:
                return path[path.index(node):]
            if node in finished:
                continue
            path.append(node)
            on_path.add(node)
            todo.append((node, False))
            todo += [(follower, True) for follower in edges.get(node, ())]
    return None


def check_history(history: list[Transaction], final: dict[bytes, Elements]) -> None:
    """AssertionError with what is wrong, when the history cannot have happened one transaction after the other."""
    edges: dict[Any, set[Any]] = {transaction.name: set() for transaction in history}
    writers: dict[tuple[bytes, int], int] = {}
    for transaction in history:
        for key, elements in transaction.appends.items():
            written = final.get(key, ())
            for element in elements:
                writers[key, element] = transaction.name
                assert written.count(element) == 1, f"lost or doubled update: {element} in {key!r} = {written}"
            at = written.index(elements[0])
            assert written[at:at + len(elements)] == elements, f"torn: {elements} in {key!r} = {written}"
    for key, elements in final.items():
        for element in elements:
            assert (key, element) in writers, f"{element} in {key!r} comes from no committed transaction"
        for earlier, later in zip(elements, elements[1:], strict=False):
            one, other = writers[key, earlier], writers[key, later]
            if one != other:
                edges[one].add(other)                                           # ww
    for transaction in history:
        for key, seen in transaction.reads.items():
            written = final.get(key, ())
            assert written[:len(seen)] == seen, f"{seen} was never the list {key!r}, which ended as {written}"
            if seen:
                edges[writers[key, seen[-1]]].add(transaction.name)             # wr
            if len(seen) < len(written):
                following = writers[key, written[len(seen)]]
                if following != transaction.name:
                    edges[transaction.name].add(following)                      # rw
    for name, followers in edges.items():
        assert name not in followers, f"transaction {name} saw its own write as another's"
    # time: returned(1) -> returned(2) -> ..., each transaction -> its own, and the last one before it began -> it
    events = sorted([(transaction.returned, 0, transaction.name) for transaction in history]
                    + [(transaction.began, 1, transaction.name) for transaction in history])
    last: tuple[str, int] | None = None
    for _, is_start, name in events:
        if is_start:
            if last is not None:
                edges[last].add(name)
        else:
            node = ("returned", name)
            edges[name].add(node)
            edges[node] = set()
            if last is not None:
                edges[last].add(node)
            last = node
    cycle = find_cycle(edges)
    assert cycle is None, f"not serializable, cycle: {cycle}"


def check_timestamps(history: list[Transaction], final: dict[bytes, Elements]) -> None:
    """The promise is more than "some order": the order of commit timestamps is one, and agrees with real time."""
    position: dict[bytes, int] = {}
    # one that only read is serial just behind its snapshot, which is the timestamp of the one that wrote it
    for transaction in sorted(history, key=lambda transaction: (transaction.timestamp, not transaction.appends)):
        for key, seen in transaction.reads.items():
            assert seen == final.get(key, ())[:position.get(key, 0)], f"{transaction} did not see what was before it"
        for key, elements in transaction.appends.items():
            at = position.get(key, 0)
            assert final[key][at:at + len(elements)] == elements, f"{transaction} is not at its place"
            position[key] = at + len(elements)
    returned_ts = 0
    by_return = sorted(history, key=lambda transaction: transaction.returned)
    following = 0
    for transaction in sorted(history, key=lambda transaction: transaction.began):
        while by_return[following].returned < transaction.began:
            returned_ts = max(returned_ts, by_return[following].timestamp)
            following += 1
        if transaction.appends:
            assert transaction.timestamp > returned_ts, f"{transaction} has a timestamp of the past"
        else:
            assert transaction.timestamp >= returned_ts, f"{transaction} read the past"
