# The order of documents, and equality by value, without making keys of them.
from libc.stddef cimport size_t

# The class a value belongs to in the order of all values (key_tuple.pyx); -1 for a first byte that is of no document.
cdef int document_class(int first) noexcept nogil
# `order` becomes below, at or above 0. 0 or a status.
cdef int document_compare(const char *a, size_t a_size, const char *b, size_t b_size, int *order) noexcept nogil
