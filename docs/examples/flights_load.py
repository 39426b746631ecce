"""Loads the tables, one transaction a batch, and says so after each commit: the process that the demo kills.

    python flights_load.py FOLDER

Each line of output is a number of batches whose commits have returned. Once it is out, the promise holds: these rows
survive whatever happens to this process (and, with durability "commit", to the machine).
"""
from __future__ import annotations

import os
import sys

from flights_tables import batches

import phantomdb

BATCH_ROWS = 500
RETENTION_S = 3600.0                     # how far back as_of may look


def open_database(folder: str) -> phantomdb.Database:
    return phantomdb.open(folder, durability="commit", memtable_bytes=32 << 20, block_cache_bytes=64 << 20,
                          retention_s=RETENTION_S)


def load_batch(db: phantomdb.Database, batch: list[tuple[bytes, bytes]]) -> None:
    with db.transaction() as txn:
        for key, value in batch:
            txn.kv.put(key, value)


def main(folder: str) -> None:
    db = open_database(folder)
    os.write(1, b"0\n")
    for number, batch in enumerate(batches(BATCH_ROWS), 1):
        load_batch(db, batch)
        os.write(1, b"%d\n" % number)
    db.close()


if __name__ == "__main__":
    main(sys.argv[1])
