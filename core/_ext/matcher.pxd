# Filters over encoded documents, tested without the GIL.
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t
from libc.stddef cimport size_t

cdef enum:
    MATCHER_RAISED = -1000           # a status: a function of the filter raised, its exception is set in this thread

cdef struct Step:                    # of a path
    const char *name
    size_t name_size
    int64_t index                    # the name as a position in an array, or -1

cdef struct Operand:                 # an encoded value
    const char *data
    size_t size

cdef struct Node:                    # constant after construction; Matcher owns what the pointers show
    int operator
    uint32_t step_count
    Step *steps
    uint32_t child_count
    Node **children
    Operand value
    int value_class                  # document_order.pxd
    bint is_nan
    uint32_t operand_count
    Operand *operands                # in order
    uint32_t mask                    # type: bits of MongoDB's type numbers
    int64_t first                    # mod: divisor; size: length; bits: how
    int64_t second                   # mod: remainder
    uint32_t *positions              # bits
    uint32_t position_count
    PyObject *function               # borrowed

cdef struct Subject:                 # what is being tested
    const char *data
    size_t size
    const char *id                   # the document of the field _id where it is kept apart, else NULL
    size_t id_size
    int64_t position                 # of the element that decided in the outermost array, or -1

# 1: it matches, 0: it does not, else a status for matcher_checked.
cdef int matcher_test(const Node *node, Subject *subject) noexcept nogil
cdef int matcher_checked(int status) except -1

cdef class Matcher:
    cdef Node *root
    cdef list allocated              # addresses, to be freed
    cdef list kept                   # objects whose bytes nodes show, functions
    cdef Node *build(self, tuple tree, int depth) except NULL
    cdef int set_value(self, Operand *operand, bytes value) except -1
    cdef int set_step(self, Step *step, str name) except -1
    cdef void *allocate(self, size_t size) except NULL
