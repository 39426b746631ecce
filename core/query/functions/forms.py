"""How DuckDB's forms of our functions are written.

Most of DuckDB's functions are ours for nearly all values and differ at the edges: it gives Infinity where we raise,
or folds letters in another way. Such a form computes the value in DuckDB and asks the definition, the Python function,
only where a condition says that the two may differ:

    CASE WHEN (isfinite(a * b)) IS NOT FALSE THEN a * b ELSE PYTHON(a, b) END

An argument named more than once is computed once: what is not just a column or a constant is bound by a lambda.

Forms have marks that vector_functions.py fills in: PYTHON, the name under which the definition is known to DuckDB;
DIVIDE, that of the division of numerics; in aggregates and windows DISTINCT and ORDER for what comes before and after
the arguments, NULLS for IGNORE NULLS, TAIL for FILTER and OVER after each call. A template has them as {python},
{divide}, {distinct}, {order}, {nulls}, {tail}, and so on.

What hangs on the session's time zone is written with local() and moment(), which go from a moment to what the clock
shows, and back; IS_UTC is TRUE where the two are the same. Those marks are filled in for each statement. A form of an
aggregate that has the mark EACH does not hold for DISTINCT.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from phantomdb.core.values import Type

# A text of SQL never has a NUL, so these stand for nothing a user wrote.
PYTHON, DIVIDE, DISTINCT, ORDER, NULLS, TAIL, EACH = (f"\0{name}\0" for name in (
    "python", "divide", "distinct", "order", "nulls", "tail", "each"))
# Microseconds since 1970 of the local clock at a moment, of the moment of a local time; each opens a parenthesis.
LOCAL, MOMENT, IS_UTC, LOCAL_IN, MOMENT_IN = (f"\0{name}\0" for name in (
    "local", "moment", "is utc", "local in", "moment in"))
# An argument as long as that, or with a call in it, is bound to a name rather than written twice.
_REPEATABLE_CHARACTERS = 60
_CALL = re.compile(r"(?i)\b(?!(?:cast|as|decimal|in|and|or)\b)[a-z_]\w*\"?\s*\(|\b(?:lambda|select|case)\b|\0")


def once(arguments: Sequence[str], body: Callable[[Sequence[str]], str]) -> str:
    """`body` of the arguments, each of them computed once however often the body names it."""
    if all(len(argument) <= _REPEATABLE_CHARACTERS and not _CALL.search(argument) for argument in arguments):
        return body(arguments)
    names = [f"p.a{index}" for index in range(len(arguments))]
    packed = ", ".join(f"a{index} := {argument}" for index, argument in enumerate(arguments))
    return f"list_transform([struct_pack({packed})], lambda p: {body(names)})[1]"


def fast(condition: str, value: str) -> Callable[[Sequence[str], Sequence[Type], Type], str]:
    """`value` where `condition` is true or NULL, the definition elsewhere. Both name the arguments {0}, {1}, ...;
    the condition names the value {value}."""
    def form(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str:
        def body(names: Sequence[str]) -> str:
            computed = value.format(*names)
            test = condition.format(*names, value=computed)
            return f"CASE WHEN ({test}) IS NOT FALSE THEN {computed} ELSE {PYTHON}({', '.join(names)}) END"
        return once(arguments, body)
    return form


def local(moment: str) -> str:
    """What the session's clock shows at a timestamp with time zone."""
    return f"make_timestamp({LOCAL}{moment}))"


def moment(local_time: str) -> str:
    """The moment at which the session's clock shows a timestamp."""
    return f"make_timestamptz({MOMENT}{local_time}))"


def without_zone(moment: str) -> str:
    """What a clock in UTC shows."""
    return f"make_timestamp(epoch_us({moment}))"


_TEXT_LITERAL = re.compile(r"'((?:[^']|'')*)'")
_INT_LITERAL = re.compile(r"CAST\((-?\d+) AS (?:SMALLINT|INTEGER|BIGINT)\)")


def text_of(argument: str) -> str | None:
    """The text that an argument is, if it is a literal."""
    found = _TEXT_LITERAL.fullmatch(argument)
    return None if found is None else found.group(1).replace("''", "'")


def int_of(argument: str) -> int | None:
    """The whole number that an argument is, if it is a literal."""
    found = _INT_LITERAL.fullmatch(argument)
    return None if found is None else int(found.group(1))


ASCII = "strlen({0}) = length({0})"
FINITE = "isfinite({value})"


def template(text: str, arguments: Sequence[str]) -> str:
    """A template with its arguments and marks."""
    return text.format(*arguments, python=PYTHON, divide=DIVIDE, distinct=DISTINCT, order=ORDER, nulls=NULLS, tail=TAIL,
                       each=EACH, local_in=LOCAL_IN, moment_in=MOMENT_IN)
