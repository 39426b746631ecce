"""Expressions over a row as trees of small objects: `expression(row)`."""
from collections.abc import Callable, Iterable, Sequence
from typing import Any

_Evaluator = Callable[[Any], Any]        # a RowExpression, or any function of a row

class RowExpression:
    """Has a value for each row."""

    def __call__(self, row: Sequence[Any]) -> Any: ...

class RowFunction(RowExpression):
    """Any function of a row."""

    def __init__(self, function: _Evaluator) -> None: ...

class ColumnValue(RowExpression):
    """What stands at `position`."""

    position: int
    def __init__(self, position: int) -> None: ...

class Constant(RowExpression):
    """The same for every row."""

    constant: Any
    def __init__(self, constant: Any) -> None: ...

class ParameterValue(RowExpression):
    """Number `index` of what `context.parameters` is when it is asked for."""

    def __init__(self, context: Any, index: int) -> None: ...

class FunctionValue(RowExpression):
    """A function of the arguments' values. Strict: NULL when one of them is."""

    def __init__(self, function: Callable[..., Any], arguments: Iterable[_Evaluator], is_strict: bool) -> None: ...

class Comparison(RowExpression):
    """=, <>, <, <=, >, >= of two values that Python compares as SQL does."""

    def __init__(self, name: str, left: _Evaluator, right: _Evaluator) -> None: ...

class Connective(RowExpression):
    """`and` of its arguments; `or`, where True decides."""

    def __init__(self, arguments: Iterable[_Evaluator], decisive: bool) -> None: ...

class Negation(RowExpression):
    """`not`."""

    def __init__(self, argument: _Evaluator) -> None: ...

class NullTest(RowExpression):
    """Whether the value is NULL; or with `is_null` False, whether it is not."""

    def __init__(self, argument: _Evaluator, is_null: bool) -> None: ...

class DistinctTest(RowExpression):
    """IS DISTINCT FROM, or NOT: `equal` compares two values that are not NULL."""

    def __init__(self, equal: Callable[[Any, Any], Any], left: _Evaluator, right: _Evaluator,
                 is_distinct: bool) -> None: ...

class SetMembership(RowExpression):
    """IN of constants that Python compares as SQL does."""

    def __init__(self, argument: _Evaluator, items: Sequence[Any]) -> None: ...

class Membership(RowExpression):
    """IN. `tests`: (equal, item) of each item; `equal` compares two values that are not NULL."""

    def __init__(self, argument: _Evaluator,
                 tests: Iterable[tuple[Callable[[Any, Any], Any], _Evaluator]]) -> None: ...

class BetweenTest(RowExpression):
    """`argument` BETWEEN `low` AND `high`; the functions are the two comparisons."""

    def __init__(self, argument: _Evaluator, low: _Evaluator, high: _Evaluator,
                 not_less: Callable[[Any, Any], Any], not_more: Callable[[Any, Any], Any]) -> None: ...

class CaseValue(RowExpression):
    """The value of the first branch whose condition is true, else the default."""

    def __init__(self, branches: Iterable[tuple[_Evaluator, _Evaluator]], default: _Evaluator) -> None: ...

class Coalesce(RowExpression):
    """The first value that is not NULL."""

    def __init__(self, arguments: Iterable[_Evaluator]) -> None: ...
