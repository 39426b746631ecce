# Operators of the row executor: each puts rows into one shared frame.
from libc.stdint cimport uint64_t

from .engine cimport Engine
from .transaction cimport TransactionCore

cdef class Execution:                # one run of a RowProgram
    cdef Engine engine
    cdef TransactionCore core        # None: `snapshot` is the run's own
    cdef uint64_t snapshot
    cdef list frame
    cdef uint64_t read_count         # rows read from tables
    cdef uint64_t read_limit
    cdef uint64_t next_stop          # the read_count at which something is to be looked at
    cdef object check                # called now and then; raises when the statement is to end
    cdef bint is_profiled
    cdef int count_row(self) except -1

cdef class Operator:
    cdef readonly uint64_t loops     # how often it was started; this and the next two only in a profiled run
    cdef readonly uint64_t rows
    cdef readonly double seconds
    # Begins anew, with what the frame holds of the rows around.
    cdef int start(self, Execution execution) except -1
    # 1: the next row is in the frame; 0: there is none.
    cdef int next(self, Execution execution) except -1
    # Lets go of everything; what was read counts as read.
    cdef int finish(self) except -1

# A tuple of what stands at some positions of the frame, and the reverse; `fill` puts a whole row from `base` on.
cdef tuple picked(list frame, tuple positions)
cdef int restore(list frame, tuple positions, tuple row) except -1
cdef int fill(list frame, Py_ssize_t base, tuple row) except -1
# Whether all tests are true.
cdef bint passes(tuple tests, list frame) except -1
# The values of expressions; None when one is NULL.
cdef list values_of(tuple expressions, list frame)
# What ordering.sort_key gives, lists in it too, as something a set takes.
cdef object as_key(object value)
# Operator.next() and start(), measured in a profiled run. Others are called through these.
cdef int pull(Operator operator, Execution execution) except -1
cdef int start(Operator operator, Execution execution) except -1
