"""Functions and casts in the SQL for DuckDB: its own where they are ours, else our Python definitions.

    functions = VectorFunctions(connection)                 one for each DuckDB database
    with functions.statement(context) as statement:         one for each statement
        statement.call(resolved, ["c1", "c2"])  -> "(c1 + c2)"
        statement.cast("c3", TEXT, INT)         -> '"cast text to integer"(c3)'
    except duckdb.Error as error:
        raise translate(error)

A definition becomes a function of DuckDB when it is first needed, under a name made of its own and its types, which is
the same in every database, so the SQL text for a plan is too. It gets Arrow columns and works row by row. An
aggregate's definition gets the rows of its group as one list. What it raises reaches the caller as it was raised.

A function that asks for the statement's context gets the number of the statement as its first argument, since DuckDB
calls it from threads of its own.
"""
from __future__ import annotations

import inspect
import itertools
import re
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from phantomdb.core.query import cast_duckdb, casts, context, vector_zones
from phantomdb.core.query import errors as query_errors
from phantomdb.core.query.arrow_values import arrow_type, decoder, encoder, exact_decimal
from phantomdb.core.query.cast_duckdb import DECIMAL_DIGITS_MAX, PRODUCT_SCALE, duckdb_type
from phantomdb.core.query.errors import (
    CardinalityViolation,
    DatetimeOutOfRange,
    DivisionByZero,
    FeatureNotSupported,
    InvalidParameterValue,
    InvalidTextRepresentation,
    NumericTooWide,
    NumericValueOutOfRange,
    OutOfQueryMemory,
    QueryError,
    StatementCancelled,
)
from phantomdb.core.errors import PhantomError
from phantomdb.core.query.functions import forms, numbers
from phantomdb.core.query.order_bytes import order_bytes
from phantomdb.core.query.functions.registry import FunctionKind, Resolved, Volatility
from phantomdb.core.query.vector_documents import on_bytes
from phantomdb.core.values import BYTES, INT, NUMERIC, TEXT, Kind, Type, array, decimal

if TYPE_CHECKING:
    import duckdb

_DIVIDE = "numeric quotient"
# Errors raised by our functions, by the number in the text DuckDB makes of them. Taken out by translate().
_raised: dict[int, BaseException] = {}
_numbers = itertools.count(1)
_CHECKED_ROWS = 64                       # computed between two looks at whether the statement is to stop
_RAISED_MAX = 1000                       # kept at most, should nobody ask for them


class VectorFunctions:
    """The definitions that one DuckDB database knows. For any number of threads."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._known: set[str] = set()
        self._mutex = threading.Lock()
        self.contexts: dict[int, context.StatementContext] = {}

    def statement(self, statement_context: context.StatementContext) -> StatementFunctions:
        number = next(_numbers)
        self.contexts[number] = statement_context
        return StatementFunctions(self, number)

    def ensure(self, name: str, python: Callable[..., Any], arguments: Sequence[Type], result: Type, *,
               is_strict: bool, asks_context: bool, is_volatile: bool, scale: int | None = None) -> None:
        """Makes `python` known under `name`. `scale`: of a result that is a numeric."""
        with self._mutex:
            if name in self._known:
                return
            taken = [INT, *arguments] if asks_context or not arguments else list(arguments)
            create: Any = self._connection.create_function
            encode, arrow_result, named = encoder(result), arrow_type(result), duckdb_type(result)
            if scale is not None:
                wide = decimal(DECIMAL_DIGITS_MAX, scale)
                encode, arrow_result, named = exact_decimal(scale), arrow_type(wide), duckdb_type(wide)
            create(name, _row_by_row(self, python, arguments, encode, arrow_result, is_strict, asks_context),
                   [_parameter_type(type_) for type_ in taken], named, type="arrow",
                   null_handling="special", side_effects=is_volatile or asks_context)
            self._known.add(name)

    def ensure_clock(self, name: str) -> None:
        """Makes one of the functions of vector_zones.py known."""
        with self._mutex:
            if name in self._known:
                return

            def run(zones: Any, moments: Any) -> Any:
                try:
                    return vector_zones.run(name, zones, moments)
                except Exception as error:
                    raise _kept(error) from error
            taken = ["VARCHAR", "TIMESTAMP" if name in (vector_zones.MOMENT, vector_zones.MOMENT_IN) else "TIMESTAMPTZ"]
            create: Any = self._connection.create_function
            create(name, run, taken, "BIGINT", type="arrow", null_handling="special")
            self._known.add(name)

    def ensure_aggregate(self, name: str, python: Callable[..., Any], arguments: Sequence[Type], result: Type) -> None:
        with self._mutex:
            if name in self._known:
                return
            fields = ", ".join(f"a{index} {_parameter_type(type_)}" for index, type_ in enumerate(arguments))
            create: Any = self._connection.create_function
            create(name, _group_by_group(python, arguments, result), [f"STRUCT({fields or 'a0 BOOLEAN'})[]"],
                   duckdb_type(result), type="arrow", null_handling="special")
            self._known.add(name)


class StatementFunctions:
    """What prints the functions of one statement. Close it when the statement has run."""

    def __init__(self, functions: VectorFunctions, number: int) -> None:
        self._functions, self._number = functions, number
        self.asks_context = False                            # what was printed names this statement

    def __enter__(self) -> StatementFunctions:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._functions.contexts.pop(self._number, None)

    # ---- printing

    def cast(self, sql: str, source: Type, target: Type, is_explicit: bool = False) -> str:
        """SQL text that converts `sql`. FeatureNotSupported: DuckDB has no such type."""
        native = cast_duckdb.native_cast(sql, source, target, is_explicit)
        if native is not None and forms.PYTHON not in native:
            return self._with_zone(native)
        how = "cast" if is_explicit else "assign"
        name = f"{how} {source} to {target}"
        asks = asks_context(source, target)
        self._functions.ensure(name, casts.caster(source, target, is_explicit), (source,), target, is_strict=True,
                               asks_context=asks, is_volatile=False)
        if native is None:
            return self._invoke(name, [sql], (source,), asks)
        self.asks_context = self.asks_context or asks
        return native.replace(f"{forms.PYTHON}(", f"{_quoted(name)}({f'{self._number}, ' * asks}")

    def place(self, sql: str, type_: Type) -> str:
        """SQL text of what DuckDB orders, groups and joins a value by: itself, or of a document bytes in its order."""
        order = order_bytes(type_)
        if order is None:
            return sql
        name, result = f"order of {type_}", _bytes_like(type_)
        self._functions.ensure(name, order, (type_,), result, is_strict=True, asks_context=False, is_volatile=False)
        return self._invoke(name, [sql], (type_,), False)

    def call(self, resolved: Resolved, arguments: Sequence[str]) -> str:
        """SQL text of a scalar function; the arguments have the types of `resolved`."""
        text = self._form(resolved, arguments)
        if text is None:
            return f"{self._definition(resolved)}{self._list(arguments, resolved.arguments, _asks(resolved))}"
        return self._filled(text, resolved)

    def aggregate(self, resolved: Resolved, arguments: Sequence[str], *, is_distinct: bool = False, order_by: str = "",
                  tail: str = "", ignore_nulls: bool = False) -> str:
        """SQL text of an aggregate or window function. `order_by`: its own, as "ORDER BY ..." or empty; `tail`: FILTER
        and OVER."""
        text = self._form(resolved, arguments)
        if text is not None and is_distinct and forms.EACH in text:
            text = None
        ordered = f" {order_by}" if order_by else ""
        if text is None and resolved.overload.kind is FunctionKind.WINDOW:
            raise FeatureNotSupported(f"{resolved.overload.name}() of these types")
        if text is None:
            packed = ", ".join(f"a{index} := {self._as_parameter(argument, type_)}" for index, (argument, type_) in
                               enumerate(zip(arguments, resolved.arguments, strict=True))) or "a0 := TRUE"
            name = _name_of(resolved)
            self._functions.ensure_aggregate(name, resolved.overload.python, resolved.arguments, resolved.result)
            return f'{_quoted(name)}(list({"DISTINCT " * is_distinct}struct_pack({packed}){ordered}){_spaced(tail)})'
        for mark, filled in ((forms.DISTINCT, "DISTINCT " * is_distinct), (forms.ORDER, ordered),
                             (forms.NULLS, " IGNORE NULLS" * ignore_nulls), (forms.EACH, ""),
                             (forms.TAIL, _spaced(tail))):
            text = text.replace(mark, filled)
        return self._filled(text, resolved)

    def _form(self, resolved: Resolved, arguments: Sequence[str]) -> str | None:
        form = resolved.overload.duckdb
        if form is None:
            return None
        if isinstance(form, str):
            return forms.template(form, arguments)
        return form(arguments, resolved.arguments, resolved.result)

    def _filled(self, text: str, resolved: Resolved) -> str:
        if forms.PYTHON in text:
            # the definition takes what the form hands on; those have no free numerics
            asks = _asks(resolved)
            self.asks_context = self.asks_context or asks
            text = text.replace(f"{forms.PYTHON}(", f"{self._definition(resolved)}({f'{self._number}, ' * asks}")
        if forms.DIVIDE in text:
            self._functions.ensure(_DIVIDE, _divide, (NUMERIC, NUMERIC, INT), TEXT, is_strict=True, asks_context=False,
                                   is_volatile=False)
            text = text.replace(forms.DIVIDE, _quoted(_DIVIDE))
        return self._with_zone(text)

    def _with_zone(self, text: str) -> str:
        """The marks of time zones filled in."""
        if forms.LOCAL in text or forms.MOMENT in text or forms.IS_UTC in text:
            self.asks_context = True
            zone = self._functions.contexts[self._number].timezone
            for mark, name in ((forms.LOCAL, vector_zones.LOCAL), (forms.MOMENT, vector_zones.MOMENT)):
                if mark not in text:
                    continue
                if zone == "UTC":
                    text = text.replace(mark, "epoch_us(")
                else:
                    self._functions.ensure_clock(name)
                    text = text.replace(mark, f"{_quoted(name)}('{zone.replace(chr(39), chr(39) * 2)}', ")
            text = text.replace(forms.IS_UTC, "TRUE" if zone == "UTC" else "FALSE")
        for mark, name in ((forms.LOCAL_IN, vector_zones.LOCAL_IN), (forms.MOMENT_IN, vector_zones.MOMENT_IN)):
            if mark in text:
                self._functions.ensure_clock(name)
                text = text.replace(mark, f"{_quoted(name)}(")
        return text

    def _definition(self, resolved: Resolved) -> str:
        overload = resolved.overload
        name = _name_of(resolved)
        # documents are bytes to a function that takes them so
        of_bytes = on_bytes(resolved)
        arguments, result = resolved.arguments, resolved.result
        if of_bytes is not None:
            arguments, result = tuple(map(_with_bytes, arguments)), _with_bytes(result)
        is_product = overload.name == "*" and result == NUMERIC
        self._functions.ensure(name, of_bytes or overload.python, arguments, result,
                               scale=PRODUCT_SCALE if is_product else None, is_strict=overload.is_strict,
                               asks_context=_asks(resolved),
                               is_volatile=overload.volatility is Volatility.VOLATILE)
        return _quoted(name)

    def _invoke(self, name: str, arguments: Sequence[str], types: Sequence[Type], asks: bool) -> str:
        return _quoted(name) + self._list(arguments, types, asks)

    def _list(self, arguments: Sequence[str], types: Sequence[Type], asks: bool) -> str:
        given = [self._as_parameter(argument, type_) for argument, type_ in zip(arguments, types, strict=True)]
        self.asks_context = self.asks_context or asks
        if asks or not given:
            given.insert(0, str(self._number) if asks else "0")
        return f"({', '.join(given)})"

    @staticmethod
    def _as_parameter(argument: str, type_: Type) -> str:
        wanted = _parameter_type(type_)
        return f"CAST({argument} AS {wanted})" if wanted != duckdb_type(type_) else argument


def _with_bytes(type_: Type) -> Type:
    return BYTES if type_.kind is Kind.JSON else type_


def _bytes_like(type_: Type) -> Type:
    return BYTES if type_.element is None else array(_bytes_like(type_.element))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _spaced(tail: str) -> str:
    return f" {tail}" if tail else ""


def _name_of(resolved: Resolved) -> str:
    return f"{resolved.overload.name}({', '.join(map(str, resolved.arguments))}) -> {resolved.result}"


def _asks(resolved: Resolved) -> bool:
    return resolved.overload.volatility is not Volatility.IMMUTABLE or resolved.overload.is_long


def asks_context(source: Type, target: Type) -> bool:
    """A cast hangs on the statement: on its time zone, or on what "now" and "today" are."""
    while source.element is not None:
        source = source.element
    while target.element is not None:
        target = target.element
    if source.kind is target.kind:
        return False
    return Kind.TIMESTAMPTZ in (source.kind, target.kind) or (
        source.kind is Kind.TEXT and target.kind in (Kind.DATE, Kind.TIME, Kind.TIMESTAMP))


def _with_texts(type_: Type) -> Type:
    """A numeric without declared digits goes as text, which keeps them all, whatever DECIMAL it is in DuckDB."""
    if type_.element is not None:
        return array(_with_texts(type_.element))
    return TEXT if type_.kind is Kind.DECIMAL and type_.precision is None else type_


def _parameter_type(type_: Type) -> str:
    return duckdb_type(_with_texts(type_))


def _divide(a: Any, b: Any, digits: int) -> str:
    return f"{numbers.quotient(a, b, digits):f}"


# -------------------------------------------------------------------- what DuckDB calls

def _row_by_row(functions: VectorFunctions, python: Callable[..., Any], arguments: Sequence[Type],
                encode: Callable[[Any], Any] | None, arrow_result: Any, is_strict: bool, asks: bool
                ) -> Callable[..., Any]:
    decoders = [decoder(type_, numerics_are_texts=True) for type_ in arguments]
    is_padded = asks or not arguments

    def compute(rows: list[tuple[Any, ...]]) -> list[Any]:
        if is_strict:
            return [None if None in row else python(*row) for row in rows]
        return [python(*row) for row in rows]

    def compute_checked(rows: list[tuple[Any, ...]], statement: context.StatementContext) -> list[Any]:
        found: list[Any] = []
        for start in range(0, len(rows), _CHECKED_ROWS):
            statement.check()
            found += compute(rows[start:start + _CHECKED_ROWS])
        return found

    def run(*columns: Any) -> Any:
        try:
            given = columns[1:] if is_padded else columns
            values = [decode(column) for decode, column in zip(decoders, given, strict=True)]
            rows = list(zip(*values, strict=True)) if values else [()] * len(columns[0])
            statement = functions.contexts.get(columns[0][0].as_py()) if asks and rows else None
            if statement is None:
                found = compute(rows)
            else:
                with context.use(statement):
                    found = compute_checked(rows, statement)
            return _as_array(found, encode, arrow_result)
        except Exception as error:
            raise _kept(error) from error
    # DuckDB counts the parameters, and takes no *columns for several
    count = len(arguments) + is_padded
    run.__signature__ = inspect.Signature(                   # type: ignore[attr-defined]
        [inspect.Parameter(f"a{index}", inspect.Parameter.POSITIONAL_ONLY) for index in range(count)])
    return run


def _group_by_group(python: Callable[..., Any], arguments: Sequence[Type], result: Type) -> Callable[..., Any]:
    decoders = [decoder(type_, numerics_are_texts=True) for type_ in arguments]
    encode, arrow_result = encoder(result), arrow_type(result)

    def run(column: Any) -> Any:
        import pyarrow as pa
        try:
            found = []
            for group in column:
                state = python()
                members = group.values
                if members is not None and len(members):
                    if not decoders:
                        for _ in range(len(members)):
                            state.add()
                    else:
                        values = [decode(pa.chunked_array([members.field(index)]))
                                  for index, decode in enumerate(decoders)]
                        for row in zip(*values, strict=True):
                            state.add(*row)
                found.append(state.result())
            return _as_array(found, encode, arrow_result)
        except Exception as error:
            raise _kept(error) from error
    return run


def _as_array(values: list[Any], encode: Callable[[Any], Any] | None, type_: Any) -> Any:
    import pyarrow as pa
    if encode is not None:
        values = [None if value is None else encode(value) for value in values]
    try:
        return pa.array(values, type_)
    except (pa.ArrowInvalid, OverflowError):
        if not pa.types.is_decimal(type_):
            raise
        raise NumericTooWide(f"a numeric has more than the {type_.precision - type_.scale} digits before the "
                                     "point that queries over whole tables have room for") from None


def _kept(error: BaseException) -> RuntimeError:
    number = next(_numbers)
    while len(_raised) >= _RAISED_MAX:
        _raised.pop(next(iter(_raised)), None)
    _raised[number] = error
    return RuntimeError(f"phantomdb raised {number}.")


# -------------------------------------------------------------------- DuckDB's errors

def raise_sql(code: str, message: str) -> str:
    """SQL text that raises the error with this code of core/query/errors.py."""
    return f"error('phantomdb[{code}] " + message.replace("'", "''") + "')"


_BY_CODE = {class_.code: class_ for class_ in vars(query_errors).values()
            if isinstance(class_, type) and issubclass(class_, QueryError)}
_WIDTHS = {"INT16": "smallint", "INT32": "integer", "INT64": "bigint", "HUGEINT": "numeric", "INT128": "numeric"}


def translate(error: Exception) -> Exception:
    """The error of ours that an error of DuckDB stands for. One of a definition comes out as it was raised."""
    text = str(error)
    if (match := re.search(r"phantomdb raised (\d+)\.", text)) and (kept := _raised.pop(int(match.group(1)), None)):
        return kept if isinstance(kept, Exception) else error
    if match := re.search(r"phantomdb\[(\w+)\] (.*)", text):
        return _BY_CODE.get(match.group(1), QueryError)(match.group(2))
    name, first = type(error).__name__, text.split("\n", 1)[0].split(": ", 1)[-1]
    if re.search(r"[Dd]ivision by zero", text):
        return DivisionByZero()
    if "More than one row returned by a subquery" in text:
        return CardinalityViolation("more than one row returned by a subquery used as an expression")
    if "expression cannot be negative" in text:
        return InvalidParameterValue("frame offset must not be negative")
    match name:
        case "InterruptException":
            return StatementCancelled()
        case "OutOfMemoryException":
            return OutOfQueryMemory()
        case "NotImplementedException":
            return FeatureNotSupported(first)
        case "OutOfRangeException" | "ConversionException":
            return _value_error(first)
    return PhantomError(f"the vector executor failed: {first}")


def _value_error(first: str) -> Exception:
    if re.search(r"(?i)timestamp|\bdate\b|interval|\btime\b", first):
        return DatetimeOutOfRange("timestamp out of range")
    width = re.search(r"(?:destination|to) type (INT\d+)", first) or re.search(r"of (INT\d+|HUGEINT) |INT\d+", first)
    if "DECIMAL" in first:
        return NumericTooWide("numeric field overflow: more than 38 digits, or than the type has")
    if re.search(r"(?i)out of range|overflow|does not fit|can't be cast|failed to cast decimal", first):
        found = next((group for group in width.groups() if group), width.group()) if width else ""
        return NumericValueOutOfRange(f"{_WIDTHS.get(found, 'value')} out of range")
    return InvalidTextRepresentation(first)
