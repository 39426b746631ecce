# LZ4 blocks, through the C functions inside the `lz4` package (or liblz4 where that is missing).
# Both return the size of the output, or a value <= 0 when it does not fit / is not valid LZ4.
cdef int lz4_compress(const char *source, int size, char *target, int capacity) noexcept nogil
cdef int lz4_decompress(const char *source, int size, char *target, int capacity) noexcept nogil
# Space that lz4_compress may need for `size` bytes in the worst case.
cdef inline int lz4_bound(int size) noexcept nogil:
    return size + size // 255 + 16
