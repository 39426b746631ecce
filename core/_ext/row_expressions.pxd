# Expressions over a row, as trees of objects that other extensions call without going through Python.

cdef class RowExpression:
    # The value for `row`, a list, a tuple or another sequence.
    cdef object value(self, object row)

cdef class ColumnValue(RowExpression):
    cdef readonly Py_ssize_t position

cdef class Constant(RowExpression):
    cdef readonly object constant
