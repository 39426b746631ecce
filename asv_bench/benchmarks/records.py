"""Rows: keys, records and documents one at a time, and a table as Arrow.

Each timed call of the first three does `OPERATIONS` operations; divide by that for the time of one. `Arrow` reads
`ROWS` rows with the columns of TPC-H's lineitem from a compacted database in the cache.
"""
from __future__ import annotations

import datetime
import random
import shutil
import tempfile
from decimal import Decimal
from typing import Any

import phantomdb
from phantomdb.core._ext import document
from phantomdb.core._ext.arrow_reader import FROM_KEY, FROM_RECORD, ArrowColumn, ArrowReader
from phantomdb.core._ext.key_tuple import KeyCodec
from phantomdb.core._ext.record import RecordCodec
from phantomdb.core.values import Kind

OPERATIONS = 10_000
ROWS = 200_000
ROW = (12345, 7, 3.25, "hello", "world")
DOCUMENT = {"name": "Ada", "tags": ["a", "b"], "address": {"city": "Paris", "zip": 75001}, "score": 1.5}


class Records:
    """Five fields: two ints, a float, two short texts."""

    def setup(self) -> None:
        self.codec = RecordCodec([Kind.INT, Kind.INT, Kind.FLOAT, Kind.TEXT, Kind.TEXT])
        self.data = self.codec.encode(ROW)

    def time_encode(self) -> None:
        encode = self.codec.encode
        for _ in range(OPERATIONS):
            encode(ROW)

    def time_decode(self) -> None:
        decode = self.codec.decode
        for _ in range(OPERATIONS):
            decode(self.data)

    def time_field(self) -> None:
        field = self.codec.field
        for _ in range(OPERATIONS):
            field(self.data, 1)

    def track_bytes(self) -> int:
        return len(self.data)


class Keys:
    """An int and a short text."""

    def setup(self) -> None:
        self.codec = KeyCodec([(Kind.INT, False, False), (Kind.TEXT, False, False)])
        self.data = self.codec.encode((12345, "hello"))

    def time_encode(self) -> None:
        encode = self.codec.encode
        for _ in range(OPERATIONS):
            encode((12345, "hello"))

    def time_decode(self) -> None:
        decode = self.codec.decode
        for _ in range(OPERATIONS):
            decode(self.data)


class Documents:
    def setup(self) -> None:
        self.data = document.encode(DOCUMENT)

    def time_encode(self) -> None:
        for _ in range(OPERATIONS):
            document.encode(DOCUMENT)

    def time_decode(self) -> None:
        for _ in range(OPERATIONS):
            document.decode(self.data)

    def time_get_path(self) -> None:
        for _ in range(OPERATIONS):
            document.get(self.data, ("address", "zip"))

    def time_json_text(self) -> None:
        for _ in range(OPERATIONS):
            document.to_json_text(self.data)


def lineitem(random_: random.Random) -> tuple[Any, ...]:
    day = datetime.date(1992, 1, 1) + datetime.timedelta(days=random_.randrange(2500))
    month = datetime.timedelta(days=30)
    return (random_.randrange(20_000), random_.randrange(1000), Decimal(random_.randrange(1, 51)),
            Decimal(random_.randrange(10**5, 10**7)).scaleb(-2), Decimal(random_.randrange(11)).scaleb(-2),
            Decimal(random_.randrange(9)).scaleb(-2), random_.choice("RAN"), random_.choice("OF"), day, day + month,
            day + month, random_.choice(["DELIVER IN PERSON", "COLLECT COD", "NONE"]),
            random_.choice(["AIR", "MAIL", "SHIP"]), "carefully final deposits")


class Arrow:
    """Sixteen columns: two of the key, fourteen of the record."""

    timeout = 300
    kinds = (*[Kind.INT] * 2, *[Kind.DECIMAL] * 4, *[Kind.TEXT] * 2, *[Kind.DATE] * 3, *[Kind.TEXT] * 3)

    def setup(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="phantomdb-asv-")
        self.db = phantomdb.open(self.folder, durability="none", block_cache_bytes=256 << 20)
        self.key = KeyCodec([(Kind.INT, False, False)] * 2)
        self.record = RecordCodec(self.kinds)
        random_ = random.Random(1)
        made = [self.record.encode(lineitem(random_)) for _ in range(5000)]
        for start in range(0, ROWS, 1000):
            self.db.kv.write([(self.key.encode((number // 4, number % 4)), made[number % len(made)])
                              for number in range(start, start + 1000)])
        self.db.compact()
        self.columns = [ArrowColumn(f"k{position}", FROM_KEY, position, Kind.INT) for position in range(2)]
        self.columns += [ArrowColumn(f"c{position}", FROM_RECORD, position, kind, precision=15, scale=2)
                         for position, kind in enumerate(self.kinds)]
        self.time_all_columns()                             # the blocks are in the cache from here on

    def teardown(self) -> None:
        self.db.close()
        shutil.rmtree(self.folder)

    def read(self, columns: list[ArrowColumn]) -> None:
        assert sum(map(len, ArrowReader(self.db.kv.scan(), 0, self.key, self.record, columns))) == ROWS

    def time_all_columns(self) -> None:
        self.read(self.columns)

    def time_two_columns(self) -> None:
        self.read(self.columns[4:6])
