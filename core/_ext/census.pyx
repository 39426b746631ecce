"""How many objects of each kind are alive, for the invariants build.

C memory has no garbage collector to complain. A kind whose count is not back at zero when the last
database is gone is a leak, or, below zero, memory given back twice.
"""
from libc.stdint cimport int64_t, uint64_t

from .platform cimport add_u64, load_u64

cdef uint64_t _counts[KIND_COUNT]

_NAMES = ("view", "memtable", "memtable_cursor", "table", "table_reader", "table_cursor", "table_writer", "frame",
          "merge_cursor", "read_cursor", "own_rows", "read_set", "write_set", "log", "log_cursor", "value_log",
          "open_file")
assert len(_NAMES) == KIND_COUNT


cdef void census_change(Kind kind, uint64_t change) noexcept nogil:
    add_u64(&_counts[<int> kind], change)


def counts():
    """Live objects by kind; None in a build that does not count."""
    cdef int kind
    if not CENSUS_IS_TAKEN:
        return None
    return {_NAMES[kind]: <int64_t> load_u64(&_counts[kind]) for kind in range(KIND_COUNT)}
