"""Plans in few words, for tests of the executors.

    t = table(1, [(1, "a"), (2, None)], INT, TEXT)         Values of a Scan are given by MemorySource
    rows(project(filtered(t, call("<", t[0], 2)), t[1]))
"""
from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pyarrow as pa

from phantomdb.core.query import plan as p
from phantomdb.core.query import vector_values
from phantomdb.core.query.functions import registry
from phantomdb.core.query.vector import VectorExecutor
from phantomdb.core.query.vector_sessions import Stream
from phantomdb.core.values import BOOL, DOUBLE, INT, TEXT, Type

_numbers = itertools.count(1)
LITERALS = {bool: BOOL, int: INT, float: DOUBLE, str: TEXT}


def column(type_: Type = INT) -> p.Column:
    return p.Column(type_, next(_numbers))


def columns(*types: Type) -> tuple[p.Column, ...]:
    return tuple(column(type_) for type_ in types)


def value(given: Any) -> p.Expression:
    return given if isinstance(given, p.Expression) else p.Literal(LITERALS[type(given)], given)


def null(type_: Type = INT) -> p.Literal:
    return p.Literal(type_, None)


def call(name: str, *arguments: Any) -> p.Call:
    given = tuple(value(argument) for argument in arguments)
    if name in ("and", "or", "not", "is null", "is not null"):
        return p.Call(BOOL, name, given)
    return p.Call(registry.resolve(name, [argument.type for argument in given]).result, name, given)


def aggregate_call(name: str, *arguments: Any, order_by: Sequence[p.SortKey] = (), distinct: bool = False,
                   condition: p.Expression | None = None) -> p.AggregateCall:
    given = tuple(value(argument) for argument in arguments)
    result = registry.resolve(name, [argument.type for argument in given]).result
    return p.AggregateCall(result, name, given, distinct, tuple(order_by), condition)


def window_call(call_: p.AggregateCall, **more: Any) -> p.WindowCall:
    return p.WindowCall(call_.type, call_, **more)


class MemorySource:
    """Tables of Python rows; counts how often each is read."""

    def __init__(self) -> None:
        self.tables: dict[int, tuple[tuple[Type, ...], list[tuple[Any, ...]]]] = {}
        self.scans: list[p.Scan] = []
        self.conditions: list[tuple[p.Expression, ...]] = []     # of each scan
        self.openings = 0                                        # of streams
        self.as_stream = False

    def add(self, *types: Type, rows: Sequence[tuple[Any, ...]]) -> p.Scan:
        """A scan of a new table."""
        number = len(self.tables) + 1
        self.tables[number] = (types, list(rows))
        return self.again(number)

    def again(self, number: int) -> p.Scan:
        """Another scan of a table, with columns of its own."""
        types, _ = self.tables[number]
        return p.Scan(number, tuple(p.ScanColumn(column(type_), position) for position, type_ in enumerate(types)))

    def scan(self, scan: Any, conditions: Sequence[p.Expression]) -> Any:
        self.scans.append(scan)
        self.conditions.append(tuple(conditions))
        types, rows = self.tables[scan.table]
        arrays = [vector_values.to_arrow([row[item.source] for row in rows], types[item.source])
                  for item in scan.columns] or [pa.nulls(len(rows))]
        table = pa.Table.from_arrays(arrays, [str(position) for position in range(len(arrays))])
        if not self.as_stream:
            return table

        def batches() -> Iterator[pa.RecordBatch]:
            self.openings += 1
            yield from table.to_batches(max_chunksize=2)
        return Stream(table.schema, len(rows), batches)


def outputs(node: p.Node) -> tuple[p.Column, ...]:
    match node:
        case p.Scan():
            return tuple(item.column for item in node.columns)
        case p.Project():
            return tuple(item.column for item in node.items)
        case p.Join():
            return outputs(node.left) + outputs(node.right)
        case p.Aggregate():
            return tuple(item.column for item in (*node.keys, *node.aggregates)) + tuple(c for c, _ in node.grouping)
        case p.Window():
            return outputs(node.input) + tuple(item.column for item in node.items)
        case p.TableFunction():
            return node.columns + ((node.ordinality,) if node.ordinality else ())
        case p.Values() | p.CommonScan() | p.SetOperation() | p.Distinct():
            return node.columns
    return outputs(node.input)           # type: ignore[attr-defined]


def query(node: p.Node, *wanted: p.Column) -> p.Query:
    given = wanted or outputs(node)
    return p.Query(node, tuple(f"n{position}" for position in range(len(given))), given)


def items(*expressions: Any) -> tuple[p.Item, ...]:
    return tuple(p.Item(column(value(expression).type), value(expression)) for expression in expressions)


def project(node: p.Node, *expressions: Any) -> p.Project:
    return p.Project(node, items(*expressions))


DUAL = p.Values((), ((),))


def values(*rows: Sequence[Any], types: Sequence[Type] = ()) -> p.Values:
    made = [[value(item) for item in row] for row in rows]
    kinds = types or [item.type for item in made[0]]
    return p.Values(columns(*kinds), tuple(tuple(row) for row in made))


def up(expression: p.Expression, nulls_first: bool = False) -> p.SortKey:
    return p.SortKey(expression, False, nulls_first)


def down(expression: p.Expression, nulls_first: bool = True) -> p.SortKey:
    return p.SortKey(expression, True, nulls_first)


# -------------------------------------------------------------------- functions that only Python knows

class _Product:
    def __init__(self) -> None:
        self.value = 1

    def add(self, item: int | None) -> None:
        self.value *= 1 if item is None else item

    def result(self) -> int:
        return self.value


def _split(text: str, separator: str) -> list[tuple[str, int]]:
    return [(part, number) for number, part in enumerate(text.split(separator))]


@cache
def register_product() -> None:
    """test_product(int), an aggregate, and test_split(text, text), a table of two columns."""
    kind = registry.FunctionKind
    registry.register(registry.Overload("test_product", kind.AGGREGATE, (INT,), INT, _Product))
    registry.register(registry.Overload("test_split", kind.TABLE, (TEXT, TEXT), TEXT, _split,
                                        columns=(("part", TEXT), ("number", INT))))


def executor(memory_limit_bytes: int = 256 << 20, **more: Any) -> VectorExecutor:
    return VectorExecutor(memory_limit_bytes=memory_limit_bytes, thread_count=2, **more)
