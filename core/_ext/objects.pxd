# Python objects to scalar bytes and back: the only place where rows meet Python's types.
from libc.stddef cimport size_t

from .scalars cimport Buffer

# Appends a value of the kind, BOOL .. UUID. TypeError: of another type; OverflowError: out of range.
cdef int scalar_append(int kind, object value, Buffer *out) except -1
cdef object scalar_to_python(int kind, const char *p, size_t size)
# The kind of a Python object, NULL .. UUID, by its type; -1 for any other, registered classes among them.
cdef int scalar_kind(object value) noexcept
# Lone surrogates, which have no UTF-8, are a ValueError.
cdef const char *text_utf8(object value, Py_ssize_t *size) except NULL
# Appends what repr() shows: the shortest text that reads as the same float.
cdef int float_text(double value, Buffer *out) noexcept with gil
# The float nearest to a number in ASCII (infinite where it is too large). Some negative status where it is none.
cdef int float_parse(const char *text, size_t size, double *out) noexcept with gil
# (kind, payload) of a value of a class that the document frontend registered, else None. The payload is str for a
# decimal, else bytes.
cdef object registered_value(object value)
# The value of a kind that has a registered class. TypeError: it has none.
cdef object registered_to_python(int kind, object payload)
# JSON's null as a whole value; None if none was registered.
cdef object json_null()
