"""Operators that keep rows: sorting, joining by hash, grouping, telling duplicates apart, one after the other. See
row_operators.pyx.

What is kept of a row is a tuple of the columns somebody still reads. A value that Python does not compare as SQL does
goes through a function first (core/query/ordering.py), so that a dictionary and list.sort do what GROUP BY and ORDER BY
mean.
"""
cimport cython
from operator import itemgetter

from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE

from .row_expressions cimport RowExpression
from .row_operators cimport Execution, Operator, as_key, passes, picked, pull, restore, start, values_of

# What an aggregate does with the values of a group.
COUNT_ROWS, COUNT, ADD, LEAST, GREATEST, GATHER, CALL = range(7)

cdef enum Fold:
    FOLD_COUNT_ROWS = 0              # how many rows
    FOLD_COUNT = 1                   # how many values
    FOLD_ADD = 2                     # finish(count, sum) of whole numbers
    FOLD_LEAST = 3                   # of values that Python compares as SQL does
    FOLD_GREATEST = 4
    FOLD_GATHER = 5                  # finish(list of values)
    FOLD_CALL = 6                    # state = make(); state.add(*values) for each row; state.result()

cdef enum JoinMode:                  # row_operators.pyx has the same
    MODE_INNER = 0
    MODE_LEFT = 1
    MODE_SEMI = 2
    MODE_ANTI = 3


cdef class Collector(Operator):
    """Has its rows in `kept`, each a tuple of what belongs at `saved`; all are there before the first is given."""

    cdef Operator source
    cdef tuple saved
    cdef list kept                   # None: not collected yet
    cdef Py_ssize_t kept_next

    cdef int start(self, Execution execution) except -1:
        self.kept = None
        return start(self.source, execution)

    cdef int next(self, Execution execution) except -1:
        if self.kept is None:
            self.kept = self.collected(execution)
            self.kept_next = 0
        if self.kept_next == len(self.kept):
            return 0
        restore(execution.frame, self.saved, <tuple> self.kept[self.kept_next])
        self.kept_next += 1
        return 1

    cdef int finish(self) except -1:
        self.kept = None
        return self.source.finish()

    cdef list collected(self, Execution execution):
        raise NotImplementedError


# -------------------------------------------------------------------- order

@cython.final
cdef class SortRows(Collector):
    """Rows in the order of `keys`: (expression, what to compare its values by, or None for themselves, is it
    descending, do NULLs come first)."""

    cdef tuple expressions
    cdef tuple functions
    cdef list directions             # (is it descending, do NULLs come first)

    def __init__(self, Operator source not None, keys, saved):
        given = list(keys)
        self.source, self.saved = source, tuple(saved)
        self.expressions = tuple([item[0] for item in given])
        self.functions = tuple([item[1] for item in given])
        self.directions = [(item[2], item[3]) for item in given]

    cdef list collected(self, Execution execution):
        cdef list rows = [], row, frame = execution.frame
        cdef object value, function
        cdef set with_nulls = set()
        cdef Py_ssize_t count = PyTuple_GET_SIZE(self.expressions), i
        while pull(self.source, execution):
            row = []
            for i in range(count):
                value = (<RowExpression> PyTuple_GET_ITEM(self.expressions, i)).value(frame)
                if value is None:
                    with_nulls.add(i)
                else:
                    function = <object> PyTuple_GET_ITEM(self.functions, i)
                    if function is not None:
                        value = function(value)
                row.append(value)
            row.append(picked(frame, self.saved))
            rows.append(row)
        for i in range(count - 1, -1, -1):
            is_descending, nulls_first = self.directions[i]
            if i in with_nulls:
                null = (0,) if nulls_first != is_descending else (2,)
                for row in rows:
                    row[i] = null if row[i] is None else (1, row[i])
            rows.sort(key=itemgetter(i), reverse=is_descending)
        return [(<list> row)[count] for row in rows]


# -------------------------------------------------------------------- groups

cdef class Accumulator:
    """What an aggregate has of one group."""

    cdef Py_ssize_t count
    cdef object total
    cdef set seen                    # DISTINCT


@cython.final
cdef class Folding:
    """One aggregate: see AggregateRows."""

    cdef int kind
    cdef tuple arguments
    cdef RowExpression argument      # the first, or None
    cdef RowExpression condition
    cdef object distinct
    cdef object finish               # or what makes a state

    def __init__(self, int kind, arguments, RowExpression condition, distinct, finish):
        self.kind, self.arguments, self.condition = kind, tuple(arguments), condition
        self.argument = self.arguments[0] if self.arguments else None
        self.distinct, self.finish = distinct, finish

    cdef Accumulator accumulator(self):
        cdef Accumulator made = Accumulator.__new__(Accumulator)
        if self.kind == FOLD_ADD:
            made.total = 0
        elif self.kind == FOLD_GATHER:
            made.total = []
        elif self.kind == FOLD_CALL:
            made.total = self.finish()
        if self.distinct is not None:
            made.seen = set()
        return made

    cdef int add(self, list frame, Accumulator to) except -1:
        cdef object value, seen
        if self.condition is not None and self.condition.value(frame) is not True:
            return 0
        if self.kind == FOLD_COUNT_ROWS:
            to.count += 1
            return 0
        value = self.argument.value(frame)
        if to.seen is not None and value is not None:
            seen = as_key(self.distinct(value))
            if seen in to.seen:
                return 0
            to.seen.add(seen)
        if self.kind == FOLD_CALL:
            to.total.add(value, *[(<RowExpression> other).value(frame) for other in self.arguments[1:]])
            return 0
        if value is None:
            return 0
        to.count += 1
        if self.kind == FOLD_ADD:
            to.total = to.total + value
        elif self.kind == FOLD_LEAST:
            if to.count == 1 or value < to.total:
                to.total = value
        elif self.kind == FOLD_GREATEST:
            if to.count == 1 or value > to.total:
                to.total = value
        elif self.kind == FOLD_GATHER:
            (<list> to.total).append(value)
        return 0

    cdef object result(self, Accumulator of):
        if self.kind == FOLD_COUNT_ROWS or self.kind == FOLD_COUNT:
            return of.count
        if self.kind == FOLD_ADD:
            return self.finish(of.count, of.total)
        if self.kind == FOLD_GATHER:
            return self.finish(of.total)
        return of.total.result() if self.kind == FOLD_CALL else of.total


@cython.final
cdef class AggregateRows(Collector):
    """A row for each group: `keys` are (expression, what to compare its values by, or None); `folds` (one of the
    constants above, arguments, condition or None, None or what tells different values apart, make or finish or None).
    Where there are no keys there is one group, also of no rows. `saved`: positions of the keys, then of the folds."""

    cdef tuple keys
    cdef tuple functions             # of the keys; None: all are compared by themselves
    cdef tuple folds

    def __init__(self, Operator source not None, keys, folds, saved):
        given = list(keys)
        self.source, self.saved = source, tuple(saved)
        self.keys = tuple([expression for expression, _ in given])
        self.functions = tuple([function for _, function in given])
        if not any([function is not None for function in self.functions]):
            self.functions = None
        self.folds = tuple([Folding(*fold) for fold in folds])

    cdef list collected(self, Execution execution):
        cdef dict groups = {}
        cdef list group, made = []
        cdef tuple values
        cdef object found
        if PyTuple_GET_SIZE(self.keys) == 0:
            group = groups[()] = self.new_group(())
            while pull(self.source, execution):
                self.add(execution.frame, group)
        else:
            while pull(self.source, execution):
                values = self.key_values(execution.frame)
                found = groups.get(self.compared(values))
                if found is None:
                    found = groups[self.compared(values)] = self.new_group(values)
                self.add(execution.frame, <list> found)
        for group in groups.values():
            made.append(<tuple> group[0] + self.results(group))
        return made

    cdef int add(self, list frame, list group) except -1:
        cdef Py_ssize_t i
        for i in range(PyTuple_GET_SIZE(self.folds)):
            (<Folding> PyTuple_GET_ITEM(self.folds, i)).add(frame, <Accumulator> group[i + 1])
        return 0

    cdef tuple key_values(self, list frame):
        cdef list values = []
        cdef Py_ssize_t i
        for i in range(PyTuple_GET_SIZE(self.keys)):
            values.append((<RowExpression> PyTuple_GET_ITEM(self.keys, i)).value(frame))
        return tuple(values)

    cdef tuple compared(self, tuple values):
        if self.functions is None:
            return values
        return tuple([value if value is None or function is None else as_key(function(value))
                      for value, function in zip(values, self.functions)])

    cdef list new_group(self, tuple values):
        """The values of the keys as they are, then an accumulator for each fold."""
        cdef list made = [values]
        cdef Folding fold
        for fold in self.folds:
            made.append(fold.accumulator())
        return made

    cdef tuple results(self, list group):
        cdef list made = []
        cdef Py_ssize_t i
        for i in range(PyTuple_GET_SIZE(self.folds)):
            made.append((<Folding> PyTuple_GET_ITEM(self.folds, i)).result(<Accumulator> group[i + 1]))
        return tuple(made)


@cython.final
cdef class DistinctRows(Operator):
    """The first row of those that are equal in all `keys`: (expression, what to compare its values by, or None)."""

    cdef Operator source
    cdef list keys
    cdef set seen

    def __init__(self, Operator source not None, keys):
        self.source, self.keys = source, list(keys)

    cdef int start(self, Execution execution) except -1:
        self.seen = set()
        return start(self.source, execution)

    cdef int next(self, Execution execution) except -1:
        cdef list values
        cdef object value, key
        while pull(self.source, execution):
            values = []
            for expression, function in self.keys:
                value = (<RowExpression> expression).value(execution.frame)
                values.append(value if value is None or function is None else as_key(function(value)))
            key = tuple(values)
            if key not in self.seen:
                self.seen.add(key)
                return 1
        return 0

    cdef int finish(self) except -1:
        self.seen = None
        return self.source.finish()


# -------------------------------------------------------------------- two inputs

@cython.final
cdef class HashJoin(Operator):
    """The rows of `left` with those of `right` that have the same key and for which all tests are true. `functions`:
    what to compare the values of a key by, None for themselves. `saved`: positions of the right columns. The modes are
    those of NestedLoop."""

    cdef Operator left
    cdef Operator right
    cdef tuple left_key
    cdef tuple right_key
    cdef tuple functions             # None: all values are compared by themselves
    cdef int mode
    cdef tuple tests
    cdef tuple saved
    cdef dict table                  # None: not made yet
    cdef list partners               # of the left row in the frame
    cdef Py_ssize_t partner_next
    cdef bint is_matched

    def __init__(self, Operator left not None, Operator right not None, left_key, right_key, functions, int mode, tests,
                 saved):
        self.left, self.right, self.mode = left, right, mode
        self.left_key, self.right_key = tuple(left_key), tuple(right_key)
        self.functions = tuple(functions)
        if not any([function is not None for function in self.functions]):
            self.functions = None
        self.tests, self.saved = tuple(tests), tuple(saved)

    cdef int start(self, Execution execution) except -1:
        self.table = self.partners = None
        return start(self.left, execution)

    cdef object key(self, Execution execution, tuple expressions):
        """None where it has a NULL: such rows have no partner."""
        cdef list values = values_of(expressions, execution.frame)
        if values is None:
            return None
        if self.functions is not None:
            values = [value if function is None else as_key(function(value))
                      for function, value in zip(self.functions, values)]
        return values[0] if len(values) == 1 else tuple(values)

    cdef int build(self, Execution execution) except -1:
        """The right side has places of its own in the frame, so the left row stays."""
        cdef object key
        self.table = {}
        start(self.right, execution)
        while pull(self.right, execution):
            key = self.key(execution, self.right_key)
            if key is not None:
                self.table.setdefault(key, []).append(picked(execution.frame, self.saved))
        return 0

    cdef int next(self, Execution execution) except -1:
        cdef object key
        while True:
            if self.partners is None:
                if pull(self.left, execution) == 0:
                    return 0
                if self.table is None:                      # not before there is a row to be joined
                    self.build(execution)
                key = self.key(execution, self.left_key)
                self.partners = [] if key is None else self.table.get(key, [])
                self.partner_next, self.is_matched = 0, False
            while self.partner_next < len(self.partners):
                execution.count_row()                       # also without reading there may be too many
                restore(execution.frame, self.saved, <tuple> self.partners[self.partner_next])
                self.partner_next += 1
                if not passes(self.tests, execution.frame):
                    continue
                self.is_matched = True
                if self.mode == MODE_INNER or self.mode == MODE_LEFT:
                    return 1
                break
            self.partners = None
            if self.mode == MODE_SEMI and self.is_matched:
                return 1
            if not self.is_matched and (self.mode == MODE_LEFT or self.mode == MODE_ANTI):
                for position in self.saved:
                    execution.frame[<Py_ssize_t> position] = None
                return 1

    cdef int finish(self) except -1:
        self.table = self.partners = None
        try:
            self.left.finish()
        finally:
            self.right.finish()
        return 0


@cython.final
cdef class AppendRows(Operator):
    """The rows of each source, one source after the other. `sources`: for each the positions that are copied to
    `targets`."""

    cdef list inputs
    cdef list sources
    cdef tuple targets
    cdef Py_ssize_t at

    def __init__(self, inputs, sources, targets):
        self.inputs, self.sources, self.targets = list(inputs), [tuple(item) for item in sources], tuple(targets)

    cdef int start(self, Execution execution) except -1:
        self.at = 0
        return start(<Operator> self.inputs[0], execution)

    cdef int next(self, Execution execution) except -1:
        while True:
            if pull(<Operator> self.inputs[self.at], execution):
                restore(execution.frame, self.targets, picked(execution.frame, <tuple> self.sources[self.at]))
                return 1
            if self.at + 1 == len(self.inputs):
                return 0
            self.at += 1
            start(<Operator> self.inputs[self.at], execution)

    cdef int finish(self) except -1:
        cdef Operator item
        for item in self.inputs:
            item.finish()
        return 0
