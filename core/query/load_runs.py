"""Pairs of bytes in, in any order; out in the order of their keys, with bounded memory.

Up to a limit they stay in memory; beyond it sorted runs go to a temporary file, which are merged at the end. Runs that
follow one another, as of a file that is in order already, are read one after the other.
"""
from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import IO

import msgspec

Pair = tuple[bytes, bytes]
PAIR_BYTES = 160                         # what Python needs for a pair besides its bytes
CHUNK_PAIRS = 4096


class SortedRuns:
    """Used in a `with` statement; read once."""

    def __init__(self, limit_bytes: int, folder: str | None = None) -> None:
        self._limit_bytes, self._folder = limit_bytes, folder
        self._pairs: list[Pair] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None
        self._runs: list[list[tuple[int, int]]] = []             # (place, length) of the chunks of each
        self._edges: list[tuple[bytes, bytes]] = []              # first and last key of each
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(list[tuple[bytes, bytes]])

    def add(self, pairs: Sequence[Pair]) -> None:
        if not pairs:
            return
        self._pairs += pairs
        # of a sample: pairs of one table are much alike
        sample = pairs[::max(1, len(pairs) // 64)]
        size = sum(len(key) + len(value) for key, value in sample) // len(sample)
        self._bytes += len(pairs) * (size + PAIR_BYTES)
        if self._bytes > self._limit_bytes:
            self._write_run()

    def _write_run(self) -> None:
        pairs, self._pairs, self._bytes = self._pairs, [], 0
        pairs.sort()
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, prefix="phantomdb-")  # noqa: SIM115  (close() does)
        chunks = []
        for start in range(0, len(pairs), CHUNK_PAIRS):
            data = self._encoder.encode(pairs[start:start + CHUNK_PAIRS])
            chunks.append((self._file.tell(), len(data)))
            self._file.write(data)
        self._runs.append(chunks)
        self._edges.append((pairs[0][0], pairs[-1][0]))

    def __iter__(self) -> Iterator[Pair]:
        """Equal keys come one after the other."""
        if not self._runs:
            self._pairs.sort()
            return iter(self._pairs)
        if self._pairs:
            self._write_run()
        readers = [self._read(chunks) for chunks in self._runs]
        if all(before[1] < after[0] for before, after in zip(self._edges, self._edges[1:], strict=False)):
            return (pair for reader in readers for pair in reader)
        return heapq.merge(*readers)

    def _read(self, chunks: Sequence[tuple[int, int]]) -> Iterator[Pair]:
        assert self._file is not None
        for place, length in chunks:
            self._file.seek(place)
            yield from self._decoder.decode(self._file.read(length))

    def close(self) -> None:
        self._pairs.clear()
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> SortedRuns:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()
