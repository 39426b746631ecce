"""LZ4 without Python in between.

The `lz4` package carries the LZ4 library inside its extension module and exports its C functions.
We take the two we need from there by name, so that blocks are compressed without the GIL and no
development headers are needed; a system `liblz4` is the second choice.
"""
import importlib.util
import os
import sysconfig

cdef extern from "dlfcn.h" nogil:
    void *dlopen(const char *path, int flags) noexcept
    void *dlsym(void *handle, const char *name) noexcept
    int RTLD_NOW, RTLD_LOCAL

ctypedef int (*_compress_type)(const char *, char *, int, int) noexcept nogil
ctypedef int (*_decompress_type)(const char *, char *, int, int) noexcept nogil

cdef _compress_type _compress = NULL
cdef _decompress_type _decompress = NULL


def _libraries():
    """Paths that may hold LZ4, best first; the package is located without being imported."""
    spec = importlib.util.find_spec("lz4")
    if spec is not None and spec.submodule_search_locations:
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        for folder in spec.submodule_search_locations:
            yield os.path.join(folder, "block", "_block" + suffix)
    yield "liblz4.so.1"
    yield "liblz4.dylib"


cdef int _bind() except -1:
    global _compress, _decompress
    cdef void *library
    for path in _libraries():
        encoded = os.fsencode(path)
        library = dlopen(encoded, RTLD_NOW | RTLD_LOCAL)
        if library == NULL:
            continue
        _compress = <_compress_type> dlsym(library, "LZ4_compress_default")
        _decompress = <_decompress_type> dlsym(library, "LZ4_decompress_safe")
        if _compress != NULL and _decompress != NULL:
            return 0
    raise ImportError("no LZ4 found: install the `lz4` package (pip install lz4)")

_bind()


cdef int lz4_compress(const char *source, int size, char *target, int capacity) noexcept nogil:
    return _compress(source, target, size, capacity)


cdef int lz4_decompress(const char *source, int size, char *target, int capacity) noexcept nogil:
    return _decompress(source, target, size, capacity)
