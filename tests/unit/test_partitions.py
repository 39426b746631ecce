"""What holds across the partitions of one database."""
from __future__ import annotations

from typing import Any

import phantomdb
from phantomdb.core import picker
from phantomdb.core._ext import background as doors
from phantomdb.core._ext.hashing import slot_of
from phantomdb.core.database import Database
from phantomdb.core.filesystems import MemoryFileSystem

OPTIONS: dict[str, Any] = {
    "memtable_bytes": 256 << 10, "retention_s": 0, "durability": "none", "level0_compaction_count": 100,
    "level0_slowdown_count": 200, "level0_stop_count": 300,
}


def compact_one(db: Database, partition: int) -> None:
    """Merges everything in one partition, as the background does when only that one is due."""
    store = db.store
    with store.mutex:
        job = picker.pick_full(partition, store.tree.partitions[partition], store.options,
                               before=store.tree.next_file_number, until_ts=doors.visible_ts(store.engine), busy=set())
    assert job is not None
    store.background._run(job)


def test_a_range_delete_hides_only_what_is_older_in_every_partition() -> None:
    """Each partition has the range delete. One that merges it away must not make its newer pairs look older than the
    others' copies of it, whether these are in tables or still in memory."""
    for flushed in (True, False):
        with phantomdb.open("/db", file_system=MemoryFileSystem(), partitions=4, **OPTIONS) as db:
            keys = [b"%04d" % number for number in range(100)]
            for key in keys:
                db.kv.put(key, b"old")
            db.kv.delete_range(b"0020", b"0080")
            for key in keys[40:60]:
                db.kv.put(key, b"new")
            expected = {key: b"new" if key in keys[40:60] else b"old" for key in keys[:20] + keys[40:60] + keys[80:]}
            if flushed:
                db.flush()
            else:
                doors.rotate(db.store.engine, 2)
                db.store.background.flush_all()
            compact_one(db, 2)
            assert any(slot_of(key) * 4 >> 16 == 2 for key in keys[40:60])
            assert dict(db.kv.scan()) == expected
            assert {key: value for key in keys if (value := db.kv.get(key)) is not None} == expected
            db.compact()
            assert dict(db.kv.scan()) == expected
