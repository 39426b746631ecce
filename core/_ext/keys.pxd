# Internal keys: a keyspace's prefix followed by the user's key, built without a Python object.
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.stddef cimport size_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef enum:
    PREFIX_BYTES = 1                 # length of a keyspace's prefix
    INLINE_KEY_BYTES = 256           # longer keys are built on the heap
    MAX_KEY_BYTES = 65536            # core/limits.py has the same two
    MAX_VALUE_BYTES = 1 << 30

cdef struct Key:
    char *data                       # prefix and key; points into `storage` or to the heap
    size_t size
    char storage[INLINE_KEY_BYTES]

# A user's bytes-like argument, borrowed: from a bytes object directly, else through a buffer held open.
cdef struct Input:
    const char *data
    size_t size
    bint is_buffer
    Py_buffer buffer

cdef int key_too_long() except -1
cdef int not_bytes(object value, str what) except -1

cdef inline int input_open(Input *out, object value, str what) except -1:
    out.is_buffer = False
    if PyBytes_CheckExact(value):
        out.data = PyBytes_AS_STRING(value)
        out.size = PyBytes_GET_SIZE(value)
        return 0
    if not PyObject_CheckBuffer(value):
        return not_bytes(value, what)
    PyObject_GetBuffer(value, &out.buffer, PyBUF_SIMPLE)
    out.is_buffer = True
    out.data = <const char *> out.buffer.buf
    out.size = out.buffer.len
    return 0

cdef inline void input_close(Input *value) noexcept:
    if value.is_buffer:
        PyBuffer_Release(&value.buffer)

# Fills `out` with prefix and key; `key_free` after use.
cdef inline int key_build(Key *out, uint8_t prefix, object key) except -1:
    cdef Input given
    input_open(&given, key, "a key")
    if given.size > MAX_KEY_BYTES:
        input_close(&given)
        return key_too_long()
    out.size = given.size + PREFIX_BYTES
    out.data = out.storage
    if out.size > INLINE_KEY_BYTES:
        out.data = <char *> malloc(out.size)
        if out.data == NULL:
            input_close(&given)
            raise MemoryError()
    out.data[0] = <char> prefix
    memcpy(out.data + PREFIX_BYTES, given.data, given.size)
    input_close(&given)
    return 0

cdef inline void key_free(Key *key) noexcept nogil:
    if key.data != key.storage:
        free(key.data)

# A bound of a range: an open start (None) is the keyspace's first possible key, an open stop the one after its last.
cdef int bound_build(Key *out, uint8_t prefix, object bound, bint is_stop) except -1
