"""A map that never changes: a changed copy shares all but a small part with the one it was made of.

    256 small dicts, by hash of the key        with_items: one of them is copied, and the tuple that lists them

So a change of a catalog with ten thousand tables costs microseconds, and what differs between two maps is found by
looking only into the dicts they do not share.
"""
from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TypeVar, overload

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
D = TypeVar("D")

BUCKET_COUNT = 256                   # a power of two


class PersistentMap(Mapping[K, V]):
    """Read as any mapping; the order is arbitrary."""

    __slots__ = ("_buckets",)

    def __init__(self, items: Iterable[tuple[K, V]] = ()) -> None:
        buckets: list[dict[K, V]] = [{} for _ in range(BUCKET_COUNT)]
        for key, value in items:
            buckets[hash(key) % BUCKET_COUNT][key] = value
        self._buckets = buckets

    def __getitem__(self, key: K) -> V:
        return self._buckets[hash(key) % BUCKET_COUNT][key]

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, default: D, /) -> V | D: ...

    def get(self, key: K, default: D | None = None, /) -> V | D | None:
        return self._buckets[hash(key) % BUCKET_COUNT].get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._buckets[hash(key) % BUCKET_COUNT]

    def __iter__(self) -> Iterator[K]:
        for bucket in self._buckets:
            yield from bucket

    def __len__(self) -> int:
        return sum(map(len, self._buckets))

    def changed(self, removed: Iterable[K], added: Iterable[tuple[K, V]]) -> PersistentMap[K, V]:
        """A copy without the keys of `removed` (they must be there) and then with the pairs of `added`."""
        after: PersistentMap[K, V] = PersistentMap.__new__(PersistentMap)
        after._buckets = buckets = list(self._buckets)
        for key in removed:
            place = hash(key) % BUCKET_COUNT
            if buckets[place] is self._buckets[place]:
                buckets[place] = dict(buckets[place])
            del buckets[place][key]
        for key, value in added:
            place = hash(key) % BUCKET_COUNT
            if buckets[place] is self._buckets[place]:
                buckets[place] = dict(buckets[place])
            buckets[place][key] = value
        return after

    def differences(self, before: PersistentMap[K, V]) -> Iterator[K]:
        """The keys under which the two have not the same object."""
        for ours, theirs in zip(self._buckets, before._buckets, strict=True):
            if ours is not theirs:
                for key in ours.keys() | theirs.keys():
                    if ours.get(key) is not theirs.get(key):
                        yield key
