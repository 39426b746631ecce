"""Expressions over a row as trees of small objects: `expression(row)`; other extensions call `expression.value(row)`.

    a > 5 AND f(b) IS NULL   ->   AllOf( Comparison(">", ColumnValue(0), Constant(5)),
                                         NullTest(FunctionValue(f, ColumnValue(1))) )

core/query/evaluate.py builds the trees and knows what is SQL; here is what is done for each row, and nothing is looked
up on the way. NULL is None. `and`, `or` and the tests know three values, and evaluate only what they must, from left to
right.
"""
cimport cython
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport Py_EQ, Py_GE, Py_GT, Py_LE, Py_LT, Py_NE, PyObject_RichCompare
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE

cdef dict OPERATORS = {"=": Py_EQ, "<>": Py_NE, "<": Py_LT, "<=": Py_LE, ">": Py_GT, ">=": Py_GE}


cdef class RowExpression:
    """Has a value for each row."""

    def __call__(self, row):
        return self.value(row)

    cdef object value(self, object row):
        raise NotImplementedError


cdef tuple expressions(given):
    """Of any RowExpressions and functions of a row; the latter are wrapped."""
    return tuple([expression_of(item) for item in given])


cdef RowExpression expression_of(object given):
    return given if isinstance(given, RowExpression) else RowFunction(given)


@cython.final
cdef class RowFunction(RowExpression):
    """Any function of a row."""

    cdef object function

    def __init__(self, function):
        self.function = function

    cdef object value(self, object row):
        return self.function(row)


# -------------------------------------------------------------------- leaves

@cython.final
cdef class ColumnValue(RowExpression):
    """What stands at `position`."""

    def __init__(self, Py_ssize_t position):
        self.position = position

    cdef object value(self, object row):
        if type(row) is list and self.position < PyList_GET_SIZE(row):
            return <object> PyList_GET_ITEM(row, self.position)
        if type(row) is tuple and self.position < PyTuple_GET_SIZE(row):
            return <object> PyTuple_GET_ITEM(row, self.position)
        return row[self.position]


@cython.final
cdef class Constant(RowExpression):
    """The same for every row."""

    def __init__(self, constant):
        self.constant = constant

    cdef object value(self, object row):
        return self.constant


@cython.final
cdef class ParameterValue(RowExpression):
    """Number `index` of what `context.parameters` is when it is asked for."""

    cdef object context
    cdef Py_ssize_t index

    def __init__(self, context, Py_ssize_t index):
        self.context, self.index = context, index

    cdef object value(self, object row):
        return self.context.parameters[self.index]


# -------------------------------------------------------------------- functions

@cython.final
cdef class FunctionValue(RowExpression):
    """A function of the arguments' values. Strict: NULL when one of them is."""

    cdef object function
    cdef tuple arguments
    cdef bint is_strict
    cdef RowExpression first
    cdef RowExpression second

    def __init__(self, function, arguments, bint is_strict):
        self.function, self.is_strict = function, is_strict
        self.arguments = expressions(arguments)
        if self.arguments:
            self.first = self.arguments[0]
        if len(self.arguments) > 1:
            self.second = self.arguments[1]

    cdef object value(self, object row):
        cdef Py_ssize_t count = PyTuple_GET_SIZE(self.arguments)
        cdef object first, second
        cdef RowExpression argument
        cdef list values
        if count == 1:
            first = self.first.value(row)
            return None if first is None and self.is_strict else self.function(first)
        if count == 2:
            first, second = self.first.value(row), self.second.value(row)
            return None if self.is_strict and (first is None or second is None) else self.function(first, second)
        values = []
        for argument in self.arguments:
            values.append(argument.value(row))
        if self.is_strict:
            for first in values:
                if first is None:
                    return None
        return self.function(*values)


@cython.final
cdef class Comparison(RowExpression):
    """=, <>, <, <=, >, >= of two values that Python compares as SQL does."""

    cdef int operator
    cdef RowExpression left
    cdef RowExpression right

    def __init__(self, name, left, right):
        self.operator, self.left, self.right = OPERATORS[name], expression_of(left), expression_of(right)

    cdef object value(self, object row):
        cdef object left = self.left.value(row), right = self.right.value(row)
        return None if left is None or right is None else PyObject_RichCompare(left, right, self.operator)


# -------------------------------------------------------------------- three values

@cython.final
cdef class Connective(RowExpression):
    """`and` of its arguments; `or`, where True decides."""

    cdef tuple arguments
    cdef bint decisive

    def __init__(self, arguments, bint decisive):
        self.arguments, self.decisive = expressions(arguments), decisive

    cdef object value(self, object row):
        cdef object decisive = self.decisive
        cdef object result = not self.decisive, value
        cdef Py_ssize_t i
        for i in range(PyTuple_GET_SIZE(self.arguments)):
            value = (<RowExpression> PyTuple_GET_ITEM(self.arguments, i)).value(row)
            if value is decisive:
                return decisive
            if value is None:
                result = None
        return result


@cython.final
cdef class Negation(RowExpression):
    """`not`."""

    cdef RowExpression argument

    def __init__(self, argument):
        self.argument = expression_of(argument)

    cdef object value(self, object row):
        cdef object value = self.argument.value(row)
        return None if value is None else not value


@cython.final
cdef class NullTest(RowExpression):
    """Whether the value is NULL; or with `is_null` False, whether it is not."""

    cdef RowExpression argument
    cdef bint is_null

    def __init__(self, argument, bint is_null):
        self.argument, self.is_null = expression_of(argument), is_null

    cdef object value(self, object row):
        return (self.argument.value(row) is None) == self.is_null


@cython.final
cdef class DistinctTest(RowExpression):
    """IS DISTINCT FROM, or NOT: `equal` compares two values that are not NULL."""

    cdef object equal
    cdef RowExpression left
    cdef RowExpression right
    cdef bint is_distinct

    def __init__(self, equal, left, right, bint is_distinct):
        self.equal, self.is_distinct = equal, is_distinct
        self.left, self.right = expression_of(left), expression_of(right)

    cdef object value(self, object row):
        cdef object left = self.left.value(row), right = self.right.value(row)
        if left is None or right is None:
            return (left is not right) == self.is_distinct
        return bool(self.equal(left, right)) != self.is_distinct


@cython.final
cdef class SetMembership(RowExpression):
    """IN of constants that Python compares as SQL does."""

    cdef RowExpression argument
    cdef frozenset members
    cdef object otherwise            # False, or NULL when that is among them

    def __init__(self, argument, items):
        self.argument = expression_of(argument)
        self.members = frozenset([item for item in items if item is not None])
        self.otherwise = None if None in items else False

    cdef object value(self, object row):
        cdef object value = self.argument.value(row)
        if value is None:
            return None
        return True if value in self.members else self.otherwise


@cython.final
cdef class Membership(RowExpression):
    """IN. `tests`: (equal, item) of each item; `equal` compares two values that are not NULL."""

    cdef RowExpression argument
    cdef list tests

    def __init__(self, argument, tests):
        self.argument = expression_of(argument)
        self.tests = [(equal, expression_of(item)) for equal, item in tests]

    cdef object value(self, object row):
        cdef object value = self.argument.value(row), other, result = False
        if value is None:
            return None if self.tests else False
        for equal, item in self.tests:
            other = (<RowExpression> item).value(row)
            if other is None:
                result = None
            elif equal(value, other):
                return True
        return result


@cython.final
cdef class BetweenTest(RowExpression):
    """`argument` BETWEEN `low` AND `high`; the functions are the two comparisons."""

    cdef RowExpression argument
    cdef RowExpression low
    cdef RowExpression high
    cdef object not_less
    cdef object not_more

    def __init__(self, argument, low, high, not_less, not_more):
        self.argument, self.low, self.high = expression_of(argument), expression_of(low), expression_of(high)
        self.not_less, self.not_more = not_less, not_more

    cdef object value(self, object row):
        cdef object given = self.argument.value(row), low = self.low.value(row), high = self.high.value(row)
        cdef object above, below
        if given is None:
            return None
        above = None if low is None else self.not_less(given, low)
        if above is False:
            return False
        below = None if high is None else self.not_more(given, high)
        return False if below is False else None if above is None or below is None else True


# -------------------------------------------------------------------- choices

@cython.final
cdef class CaseValue(RowExpression):
    """The value of the first branch whose condition is true, else the default."""

    cdef list branches
    cdef RowExpression default

    def __init__(self, branches, default):
        self.branches = [(expression_of(condition), expression_of(value)) for condition, value in branches]
        self.default = expression_of(default)

    cdef object value(self, object row):
        for condition, value in self.branches:
            if (<RowExpression> condition).value(row) is True:
                return (<RowExpression> value).value(row)
        return self.default.value(row)


@cython.final
cdef class Coalesce(RowExpression):
    """The first value that is not NULL."""

    cdef tuple arguments

    def __init__(self, arguments):
        self.arguments = expressions(arguments)

    cdef object value(self, object row):
        cdef RowExpression argument
        cdef object value
        for argument in self.arguments:
            value = argument.value(row)
            if value is not None:
                return value
        return None
