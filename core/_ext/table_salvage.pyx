"""Pieces of a table's file taken out one by one, when the file as a whole cannot be opened; for repair.

Where the list of block lengths is lost, a piece is found by its checksum: a piece ends where the CRC of all
bytes since its start stands behind them. One wrong match in 2^32 places is ruled out by what follows: the piece
must also unpack, and hold a block.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t
from libc.stddef cimport size_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from .block cimport block_decode, block_entries
from .compression cimport lz4_decompress
from .hashing cimport crc32c
from .platform cimport get_u32
from .table_format cimport MAX_STORED_RAW_BYTES, STORED_LZ4, STORED_PLAIN, STORED_TRAILER_BYTES

cdef enum:
    # What is searched for the end of a piece, and for the next one after damage: the product of both is work.
    # Only a block with a single entry of more than that is not found.
    SEARCHED_BYTES = 65536


cdef bytes _unpack(const char *stored, size_t size):
    cdef const char *trailer = stored + size - STORED_TRAILER_BYTES
    cdef uint32_t raw_size
    cdef bytes raw
    if size < STORED_TRAILER_BYTES or crc32c(0, stored, size - 4) != get_u32(trailer + 5):
        return None
    raw_size = get_u32(trailer)
    if trailer[4] == STORED_PLAIN:
        return stored[:raw_size] if raw_size == size - STORED_TRAILER_BYTES else None
    if trailer[4] != STORED_LZ4 or raw_size > MAX_STORED_RAW_BYTES:
        return None
    raw = PyBytes_FromStringAndSize(NULL, raw_size)
    if lz4_decompress(stored, <int> (size - STORED_TRAILER_BYTES), PyBytes_AS_STRING(raw), <int> raw_size) \
            != <int> raw_size:
        return None
    return raw


def unpack_piece(bytes stored not None):
    """The bytes that were stored, or None when they are damaged."""
    return _unpack(PyBytes_AS_STRING(stored), PyBytes_GET_SIZE(stored))


def unpack_block(bytes stored not None):
    """The (key, ts, kind, value) entries of a stored block, or None when it is damaged."""
    cdef bytes raw = _unpack(PyBytes_AS_STRING(stored), PyBytes_GET_SIZE(stored))
    cdef char *block
    if raw is None:
        return None
    block = <char *> malloc(len(raw) + 1)            # aligned, and decoding changes it
    if block == NULL:
        raise MemoryError
    try:
        memcpy(block, PyBytes_AS_STRING(raw), len(raw))
        return block_entries(block) if block_decode(block, len(raw)) >= 0 else None
    finally:
        free(block)


# The size of the piece that begins at `p`, of at most `size` bytes; 0 when none does.
cdef size_t _piece_size(const char *p, size_t size) noexcept nogil:
    cdef uint32_t crc
    cdef size_t i
    if size <= STORED_TRAILER_BYTES:
        return 0
    if size > SEARCHED_BYTES:
        size = SEARCHED_BYTES
    crc = crc32c(0, p, STORED_TRAILER_BYTES - 4)
    for i in range(STORED_TRAILER_BYTES - 4, size - 3):
        if p[i - 1] <= STORED_LZ4 and p[i - 1] >= 0 and crc == get_u32(p + i):
            return i + 4
        crc = crc32c(crc, p + i, 1)
    return 0


def find_block(bytes data not None, size_t start):
    """(offset, size) of the first block that begins at `start` or not far behind it in a table's bytes, found by
    checksums; None for none."""
    cdef const char *p = data
    cdef size_t size = len(data), last = start + SEARCHED_BYTES, found
    while start < size and start <= last:
        with nogil:
            found = _piece_size(p + start, size - start)
            while found == 0 and start + 1 < size and start < last:
                start += 1
                found = _piece_size(p + start, size - start)
        if found == 0:
            return None
        if unpack_block(data[start:start + found]) is not None:
            return start, found
        start += 1
    return None
