"""The row executor's operators: a query as a tree of small machines that hand rows to each other in one frame.

    frame   [ c.id | c.name | o.id | o.total | i.product ]         a place for each column of the whole statement

    Sort                              a row that an operator gives is what stands in the frame when next() gives 1;
      NestedLoop                      nothing is copied from operator to operator
        PointRead  customer           c.id, c.name
        NestedLoop
          RangeRead  orders           o.id, o.total        its key is computed from c.id, which is in the frame
          RangeRead  items            i.product

So a join is a loop in which the inner side is started anew for each row of the outer one and finds its key in the
frame, and a correlated subquery is the same inside of an expression. Only what must keep rows (Sort, HashJoin) copies
them, as tuples of the columns that are still needed.

core/query/row_executor.py builds the tree. An operator has the state of one run, so a tree is for one run at a time.
Operators that read tables are in row_reads.pyx, those that keep rows in row_collectors.pyx.
"""
cimport cython
from cpython.list cimport PyList_SetItem
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport uint64_t

from .engine cimport Engine
from .platform cimport monotonic_ns
from .row_expressions cimport RowExpression
from .row_reader cimport is_current
from .row_reader import STALE as _STALE
from .status cimport raise_status
from .transaction cimport TransactionCore

cdef object _stale = _STALE

cdef enum:
    CHECK_ROWS = 1024                # rows between two calls of Execution.check


cdef inline int checked(int status) except -1:
    return raise_status(status) if status < 0 else 0


class TooManyRows(Exception):
    """A run has read more rows than it may: another executor is to take over."""


# -------------------------------------------------------------------- rows in the frame

cdef tuple picked(list frame, tuple positions):
    cdef Py_ssize_t i, count = PyTuple_GET_SIZE(positions)
    cdef tuple row = PyTuple_New(count)
    cdef object value
    for i in range(count):
        value = frame[<Py_ssize_t> <object> PyTuple_GET_ITEM(positions, i)]
        Py_INCREF(value)
        PyTuple_SET_ITEM(row, i, value)
    return row


cdef int fill(list frame, Py_ssize_t base, tuple row) except -1:
    """Puts a row's values from `base` on."""
    cdef Py_ssize_t i
    cdef object value
    for i in range(PyTuple_GET_SIZE(row)):
        value = <object> PyTuple_GET_ITEM(row, i)
        Py_INCREF(value)
        PyList_SetItem(frame, base + i, value)
    return 0


cdef int restore(list frame, tuple positions, tuple row) except -1:
    """Puts back what picked() has taken."""
    cdef Py_ssize_t i
    for i in range(PyTuple_GET_SIZE(positions)):
        frame[<Py_ssize_t> <object> PyTuple_GET_ITEM(positions, i)] = <object> PyTuple_GET_ITEM(row, i)
    return 0


cdef bint passes(tuple tests, list frame) except -1:
    """Whether all tests are true."""
    cdef Py_ssize_t i
    for i in range(PyTuple_GET_SIZE(tests)):
        if (<RowExpression> PyTuple_GET_ITEM(tests, i)).value(frame) is not True:
            return False
    return True


cdef list values_of(tuple expressions, list frame):
    """Their values; None when one is NULL."""
    cdef list values = []
    cdef Py_ssize_t i
    cdef object value
    for i in range(PyTuple_GET_SIZE(expressions)):
        value = (<RowExpression> PyTuple_GET_ITEM(expressions, i)).value(frame)
        if value is None:
            return None
        values.append(value)
    return values


cdef object as_key(object value):
    """Lists and dictionaries of sort keys as something a set takes."""
    if type(value) is list or type(value) is tuple:
        return tuple([as_key(item) for item in value])
    return value


cdef int pull(Operator operator, Execution execution) except -1:
    """operator.next(), measured in a profiled run."""
    cdef uint64_t began
    cdef int found
    if not execution.is_profiled:
        return operator.next(execution)
    began = monotonic_ns()
    found = operator.next(execution)
    operator.seconds += (monotonic_ns() - began) * 1e-9
    operator.rows += found
    return found


cdef int start(Operator operator, Execution execution) except -1:
    cdef uint64_t began
    if not execution.is_profiled:
        return operator.start(execution)
    began = monotonic_ns()
    operator.start(execution)
    operator.seconds += (monotonic_ns() - began) * 1e-9
    operator.loops += 1
    return 0


# -------------------------------------------------------------------- a run

@cython.final
cdef class Execution:
    """What the operators of a program share while it runs."""

    def __init__(self):
        raise TypeError("an Execution is made by RowProgram.run()")

    cdef int count_row(self) except -1:
        self.read_count += 1
        if self.read_count < self.next_stop:
            return 0
        if self.read_count > self.read_limit:
            raise TooManyRows
        if self.check is not None:
            self.check()
        self.next_stop = min(self.read_count + CHECK_ROWS, self.read_limit + 1)
        return 0


cdef class RowProgram:
    """A query ready to run: a tree of operators, and where in a frame of `width` the columns of its result are. For
    one run at a time. `subqueries`: the SubqueryRows in its expressions."""

    cdef readonly Operator root
    cdef Engine engine
    cdef Py_ssize_t width
    cdef tuple outputs
    cdef tuple subqueries
    cdef object context
    cdef readonly uint64_t read_count

    def __init__(self, Engine engine not None, Operator root not None, Py_ssize_t width, outputs, context, subqueries):
        self.engine, self.root, self.width, self.context = engine, root, width, context
        self.outputs, self.subqueries = tuple(outputs), tuple(subqueries)
        for position in self.outputs:
            if not 0 <= position < width:
                raise ValueError(f"no place in a frame of {width}: {position}")

    def run(self, TransactionCore core, parameters, bytes version=None, read_limit=None, check=None,
            bint is_profiled=False):
        cdef Execution execution = Execution.__new__(Execution)
        cdef SubqueryRows subquery
        cdef list found = []
        execution.engine, execution.core, execution.check = self.engine, core, check
        execution.read_limit = <uint64_t> -2 if read_limit is None else read_limit
        execution.next_stop = min(<uint64_t> CHECK_ROWS, execution.read_limit + 1)
        execution.is_profiled = is_profiled
        execution.frame = [None] * self.width
        if not open_execution(execution, version):
            return _stale
        self.context.parameters = parameters
        try:
            for subquery in self.subqueries:
                subquery.begin(execution)
            start(self.root, execution)
            while pull(self.root, execution):
                found.append(picked(execution.frame, self.outputs))
            return found
        finally:
            self.read_count = execution.read_count
            self.context.parameters = ()
            try:
                self.root.finish()
                for subquery in self.subqueries:
                    subquery.end()
            finally:
                if core is None:
                    self.engine.close_snapshot(execution.snapshot)


cdef bint open_execution(Execution execution, bytes version) except -1:
    """Whether there is a snapshot to read at; False: the catalog there is not that of `version`."""
    cdef Engine engine = execution.engine
    cdef bint is_known = True
    if execution.core is not None:
        execution.core.require_open()
        execution.snapshot = execution.core.snapshot_ts
        return True
    checked(engine.check_usable())
    checked(engine.open_snapshot(0, &execution.snapshot))
    if version is None:
        return True
    try:
        is_known = False
        is_known = is_current(engine, execution.snapshot, version)
    finally:
        if not is_known:
            engine.close_snapshot(execution.snapshot)
    return is_known


cdef class Operator:
    """Gives rows, one after the other. `loops`, `rows` and `seconds` (with those of its inputs) add up over the
    profiled runs."""

    cdef int start(self, Execution execution) except -1:
        raise NotImplementedError

    cdef int next(self, Execution execution) except -1:
        raise NotImplementedError

    cdef int finish(self) except -1:
        return 0


# -------------------------------------------------------------------- rows that are written out

@cython.final
cdef class ValuesRows(Operator):
    """Rows of expressions, at `base` of the frame."""

    cdef list rows_given
    cdef Py_ssize_t base
    cdef Py_ssize_t row_next

    def __init__(self, rows, Py_ssize_t base):
        self.rows_given, self.base = [tuple(row) for row in rows], base

    cdef int start(self, Execution execution) except -1:
        self.row_next = 0
        return 0

    cdef int next(self, Execution execution) except -1:
        cdef RowExpression expression
        cdef Py_ssize_t at = self.base
        if self.row_next == len(self.rows_given):
            return 0
        for expression in self.rows_given[self.row_next]:
            execution.frame[at] = expression.value(execution.frame)
            at += 1
        self.row_next += 1
        return 1


@cython.final
cdef class EachValue(Operator):
    """The different values of some expressions, or with `is_array` the elements of one, NULL left out, each at
    `position` of the frame. `key`: (value) -> what tells different ones apart, None for itself."""

    cdef tuple expressions
    cdef Py_ssize_t position
    cdef object key
    cdef bint is_array
    cdef list waiting

    def __init__(self, expressions, Py_ssize_t position, key, bint is_array):
        self.expressions, self.position, self.key, self.is_array = tuple(expressions), position, key, is_array

    cdef int start(self, Execution execution) except -1:
        cdef RowExpression expression
        cdef dict found = {}
        cdef object given
        values = [expression.value(execution.frame) for expression in self.expressions]
        if self.is_array:
            values = values[0] or []
        for given in values:
            if given is not None:
                found.setdefault(given if self.key is None else as_key(self.key(given)), given)
        self.waiting = list(found.values())
        self.waiting.reverse()
        return 0

    cdef int next(self, Execution execution) except -1:
        if not self.waiting:
            return 0
        execution.frame[self.position] = self.waiting.pop()
        return 1


# -------------------------------------------------------------------- one source

@cython.final
cdef class FilterRows(Operator):
    """The rows for which all tests are true."""

    cdef Operator source
    cdef tuple tests

    def __init__(self, Operator source not None, tests):
        self.source, self.tests = source, tuple(tests)

    cdef int start(self, Execution execution) except -1:
        return start(self.source, execution)

    cdef int next(self, Execution execution) except -1:
        while pull(self.source, execution):
            if passes(self.tests, execution.frame):
                return 1
        return 0

    cdef int finish(self) except -1:
        return self.source.finish()


@cython.final
cdef class ComputeRows(Operator):
    """Adds the values of expressions: `items` are (position in the frame, expression)."""

    cdef Operator source
    cdef tuple positions
    cdef tuple expressions

    def __init__(self, Operator source not None, items):
        self.source = source
        self.positions = tuple([position for position, _ in items])
        self.expressions = tuple([expression for _, expression in items])

    cdef int start(self, Execution execution) except -1:
        return start(self.source, execution)

    cdef int next(self, Execution execution) except -1:
        cdef list frame = execution.frame
        cdef Py_ssize_t i
        if pull(self.source, execution) == 0:
            return 0
        for i in range(PyTuple_GET_SIZE(self.expressions)):
            frame[<Py_ssize_t> <object> PyTuple_GET_ITEM(self.positions, i)] = \
                (<RowExpression> PyTuple_GET_ITEM(self.expressions, i)).value(frame)
        return 1

    cdef int finish(self) except -1:
        return self.source.finish()


@cython.final
cdef class LimitRows(Operator):
    """Rows after the first `offset`, at most `count`; None: none is skipped, all are given. `number`: (value, is it the
    count) -> the number it stands for, None for NULL."""

    cdef Operator source
    cdef RowExpression count
    cdef RowExpression offset
    cdef object number
    cdef Py_ssize_t remaining        # -1: any number
    cdef Py_ssize_t skipped

    def __init__(self, Operator source not None, RowExpression count, RowExpression offset, number):
        self.source, self.count, self.offset, self.number = source, count, offset, number

    cdef int start(self, Execution execution) except -1:
        cdef object given
        self.remaining, self.skipped = -1, 0
        if self.offset is not None:
            given = self.number(self.offset.value(execution.frame), False)
            self.skipped = 0 if given is None else given
        if self.count is not None:
            given = self.number(self.count.value(execution.frame), True)
            self.remaining = -1 if given is None else given
        return start(self.source, execution)

    cdef int next(self, Execution execution) except -1:
        if self.remaining == 0:
            return 0
        while pull(self.source, execution):
            if self.skipped:
                self.skipped -= 1
                continue
            if self.remaining > 0:
                self.remaining -= 1
            return 1
        self.remaining = 0
        return 0

    cdef int finish(self) except -1:
        return self.source.finish()


# -------------------------------------------------------------------- two inputs

INNER, LEFT, SEMI, ANTI = range(4)

cdef enum JoinMode:
    MODE_INNER = 0
    MODE_LEFT = 1                    # also left rows without a partner, the right columns NULL
    MODE_SEMI = 2                    # left rows that have a partner, once
    MODE_ANTI = 3                    # left rows without one


@cython.final
cdef class NestedLoop(Operator):
    """For each row of `left` the rows of `right`, started anew, for which all tests are true. `nulls`: positions of the
    right columns."""

    cdef Operator left
    cdef Operator right
    cdef int mode
    cdef tuple tests
    cdef tuple nulls
    cdef bint is_inside
    cdef bint is_matched

    def __init__(self, Operator left not None, Operator right not None, int mode, tests, nulls):
        self.left, self.right, self.mode, self.tests, self.nulls = left, right, mode, tuple(tests), tuple(nulls)

    cdef int start(self, Execution execution) except -1:
        self.is_inside = False
        return start(self.left, execution)

    cdef int next(self, Execution execution) except -1:
        while True:
            if not self.is_inside:
                if pull(self.left, execution) == 0:
                    return 0
                start(self.right, execution)
                self.is_inside, self.is_matched = True, False
            while pull(self.right, execution):
                if not passes(self.tests, execution.frame):
                    continue
                self.is_matched = True
                if self.mode == MODE_INNER or self.mode == MODE_LEFT:
                    return 1
                break
            self.is_inside = False
            if self.mode == MODE_SEMI and self.is_matched:
                return 1
            if not self.is_matched and (self.mode == MODE_LEFT or self.mode == MODE_ANTI):
                for position in self.nulls:
                    execution.frame[<Py_ssize_t> position] = None
                return 1

    cdef int finish(self) except -1:
        try:
            self.left.finish()
        finally:
            self.right.finish()
        return 0


# -------------------------------------------------------------------- inside expressions

cdef class SubqueryRows:
    """The rows of a subquery for the row in the frame: call it with that. `limit`: no more are asked for (0: all).
    Not correlated: they are the same in the whole run."""

    cdef Operator root
    cdef tuple outputs
    cdef Py_ssize_t limit
    cdef bint is_correlated
    cdef Execution execution
    cdef list kept

    def __init__(self, Operator root not None, outputs, Py_ssize_t limit, bint is_correlated):
        self.root, self.outputs, self.limit, self.is_correlated = root, tuple(outputs), limit, is_correlated

    cdef int begin(self, Execution execution) except -1:
        self.execution, self.kept = execution, None
        return 0

    cdef int end(self) except -1:
        self.execution = self.kept = None
        return self.root.finish()

    def __call__(self, row):
        cdef Execution execution = self.execution
        cdef list found
        if self.kept is not None:
            return self.kept
        found = []
        start(self.root, execution)
        while pull(self.root, execution):
            found.append(picked(execution.frame, self.outputs))
            if len(found) == self.limit:
                break
        if not self.is_correlated:
            self.kept = found
        return found
