"""Every fixed bound of one node's database, each with what hangs on it.

What a user may choose stands in options.py; what stands here is part of the file formats or of the
promise to users, and each value has a test at its edge.
"""
from __future__ import annotations

from typing import Final

# ---- on disk: the version in the FORMAT file. A database of a higher version is refused.
FORMAT_VERSION: Final = 1

# ---- keys and values
# The keyspace prefix counts. Blocks store prefix sizes in 17 bits, and an entry must fit a memtable.
MAX_KEY_BYTES: Final = 65_536
# A value is read into one Python bytes object; its size is 32 bits wide in log and memtable.
MAX_VALUE_BYTES: Final = 1 << 30
# Entries above it get a block of their own; values above it never stand in a block.
MAX_INLINE_VALUE_BYTES: Final = 32_768

# ---- partitions
# Top 16 bits of the key's hash; a partition owns a range of slots. Part of the cluster's contract.
SLOT_COUNT: Final = 65_536
# Each partition has memtables of its own: more of them makes each too small to be useful.
MAX_PARTITIONS: Final = 256

# ---- memory
# One memtable: room for the longest key with the longest inline value, and then some.
MIN_MEMTABLE_BYTES: Final = 256 << 10
# Arena offsets are 32 bits of 8 bytes each.
MAX_MEMTABLE_BYTES: Final = 32 << 30
# Active and immutable memtables of one partition; beyond it writers wait for a flush.
MAX_MEMTABLES: Final = 4

# ---- transactions
# What one has read is kept until its commit, to be compared with what others wrote meanwhile.
MAX_READ_KEYS: Final = 1 << 20
MAX_READ_BYTES: Final = 256 << 20

# ---- the tree
MIN_BLOCK_BYTES: Final = 512
# Starts inside a block are 16 bits wide.
MAX_BLOCK_BYTES: Final = 32_768
MIN_LEVELS: Final = 2                    # level 0 and a bottom
MAX_LEVELS: Final = 16
# Bytes of input a single merge may read before its work is cut in two, in tables of the target size.
SUBCOMPACTION_TABLES: Final = 8
# How much of the level after the next a table may lie over, in tables of the target size: pushing
# one that lies over more would only make the merge after it expensive.
GRANDPARENT_TABLES: Final = 25

# ---- back-pressure
# What the last MiB before the stop costs. 2 MiB/s is slow enough to be overtaken by any disk.
MAX_DELAY_S_PER_MB: Final = 0.5
# Bytes awaiting compaction, as multiples of what level 0 brings at a time: first slowed, then stopped.
PENDING_SLOWDOWN_FACTOR: Final = 512
PENDING_STOP_FACTOR: Final = 2048

# ---- the manifest
# One record; a snapshot of about 150 thousand tables. Anything larger in a file is damage.
MAX_MANIFEST_RECORD_BYTES: Final = 64 << 20
# A manifest is replaced by a snapshot when it is over this, and over four times its first record.
MANIFEST_ROLL_BYTES: Final = 4 << 20
# Numbers (files, timestamps, sizes) are unsigned and 64 bits wide everywhere on disk.
MAX_U64: Final = (1 << 64) - 1
