"""A plan as one SQL text for DuckDB.

    Filter(c2 > 5)
      Scan(table 17: c1, c2)          ->   SELECT c1 AS r0 FROM scan_0 WHERE (c2 > CAST(5 AS INTEGER))

Every column is called c<id>, which is unique in the statement: no name needs a qualifier, and a correlated or lateral
reference is like any other. A node is a SELECT over its input in parentheses; DuckDB flattens them. Tables are called
scan_<n>, common tables w<id>; what a node needs for itself only is called x<n>, which no plan names.

Names, types and conversions are decided by the plan; DuckDB is left nothing to guess.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from phantomdb.core.query import context
from phantomdb.core.query.cast_duckdb import duckdb_type
from phantomdb.core.query.errors import (
    FeatureNotSupported,
    InvalidParameterValue,
    ProgramLimitExceeded,
    StatementTooComplex,
)
from phantomdb.core.query.functions import registry
from phantomdb.core.query.functions.registry import FunctionKind, Overload, Resolved, Volatility
from phantomdb.core.query.lower_expressions import Environment, ExpressionPrinter, conjuncts_of
from phantomdb.core.query.lower_scales import made_columns
from phantomdb.core.query.order_bytes import order_bytes
from phantomdb.core.query.plan import (
    Aggregate,
    AggregateCall,
    Call,
    Column,
    CommonScan,
    CommonTable,
    Distinct,
    Expression,
    Filter,
    Item,
    Join,
    JoinKind,
    Limit,
    Literal,
    Node,
    Project,
    Query,
    Scan,
    SetKind,
    SetOperation,
    Sort,
    Subquery,
    TableFunction,
    Values,
    VirtualTable,
    Window,
    WindowCall,
    With,
)
from phantomdb.core.query.rewrite import references, walk
from phantomdb.core.values import Kind, Value, array

MAX_NESTING = 200                    # levels of nodes
CHECKED_ROWS = 1000                  # of a table function, between two looks at the clock
MAX_COMPUTED_ROWS = 10_000_000       # of a table function that is computed before the query runs


@dataclass(frozen=True, slots=True)
class InputTable:
    """A table the text reads: what a node scans, or rows computed here."""

    name: str
    node: Scan | VirtualTable | None
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...] = ()
    conditions: tuple[Expression, ...] = ()                  # of a scan: the text asks them of its rows, whatever comes


@dataclass(frozen=True, slots=True)
class Lowered:
    sql: str                             # its columns are r0, r1, ...
    tables: tuple[InputTable, ...]
    parameters: tuple[Any, ...]          # for $1, $2, ...


def lower(query: Query, environment: Environment) -> Lowered:
    """Errors: StatementTooComplex beyond MAX_NESTING levels; FeatureNotSupported; UndefinedFunction."""
    try:
        printer = _Printer(environment)
        printer.expressions.made = made_columns(query.plan)
        outputs = [(column.id, f"r{position}") for position, column in enumerate(query.columns)]
        sql = printer.select(query.plan, outputs)
        return Lowered(sql, tuple(printer.tables), tuple(printer.expressions.values))
    except RecursionError:
        raise StatementTooComplex from None


@dataclass(slots=True)
class _Printer:
    environment: Environment
    tables: list[InputTable] = field(default_factory=list)
    expressions: ExpressionPrinter = field(init=False)
    names: int = 0                       # x0, x1, ... given out
    depth: int = 0

    def __post_init__(self) -> None:
        self.expressions = ExpressionPrinter(self.environment, self.select)

    def print(self, expression: Expression) -> str:
        return self.expressions.print(expression)

    def new_name(self) -> str:
        self.names += 1
        return f"x{self.names}"

    # ---- the two forms of a node

    def select(self, node: Node, outputs: Sequence[tuple[int, str]]) -> str:
        """SELECT with just these columns, in this order, under these aliases. In the order of the node's rows."""
        if isinstance(node, Project):
            expressions = {item.column.id: item.expression for item in node.items}
            if all(id_ in expressions for id_, _ in outputs):
                items = [f"{self.print(expressions[id_])} AS {alias}" for id_, alias in outputs]
                return f"SELECT {self.items(items)}{self.source(node.input)}"
        items = [f"c{id_} AS {alias}" for id_, alias in outputs]
        return f"SELECT {self.items(items)}{self.source(node)}"

    def items(self, items: Sequence[str]) -> str:
        return ", ".join(items) or f"1 AS {self.new_name()}"

    def source(self, node: Node) -> str:
        """FROM ... with what can be said beside it: WHERE, ORDER BY, LIMIT. Empty for one row without columns."""
        limit, keys = "", ""
        if isinstance(node, Limit) and not node.with_ties:
            limit, node = self.limit(node), node.input
        if isinstance(node, Sort):
            keys, node = f" ORDER BY {self.expressions.order(node.keys)}" if node.keys else "", node.input
        terms: list[str] = []
        conditions: list[Expression] = []
        while isinstance(node, Filter):
            terms.append(self.print(node.condition))
            conditions += conjuncts_of(node.condition)
            node = node.input
        where = f" WHERE {' AND '.join(reversed(terms))}" if terms else ""
        if isinstance(node, Values) and not node.columns and len(node.rows) == 1:
            return f"{where}{keys}{limit}"
        return f" FROM {self.relation(node, conditions)}{where}{keys}{limit}"

    def relation(self, node: Node, conditions: Sequence[Expression] = ()) -> str:
        """The node as an item of FROM. `conditions`: rows for which one of them is not true do not count."""
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise StatementTooComplex(f"a statement is nested more than {MAX_NESTING} levels deep")
        try:
            match node:
                case Scan():
                    return self.scan(node, [scanned.column for scanned in node.columns], conditions)
                case VirtualTable():
                    return self.scan(node, [scanned.column for scanned in node.columns])
                case Join():
                    return self.join(node)
            return f"({_NODES[type(node)](self, node)})"
        finally:
            self.depth -= 1

    # ---- nodes

    def scan(self, node: Scan | VirtualTable, columns: Sequence[Column], conditions: Sequence[Expression] = ()) -> str:
        own = {column.id for column in columns}
        pushed = [condition for condition in conditions if self.is_about(condition, own)]
        if isinstance(node, Scan) and node.as_of is not None and not isinstance(node.as_of, Literal):
            node = replace(node, as_of=Literal(node.as_of.type, self.constant(node.as_of)))
        return self.table(node, columns, conditions=pushed)

    def is_about(self, condition: Expression, columns: set[int]) -> bool:
        """Whether it hangs on these columns alone."""
        try:
            return references(condition) <= columns and not any(
                isinstance(part, Subquery) or (isinstance(part, Call) and self.expressions.is_volatile(part))
                for part in walk(condition))
        except RecursionError:           # a chain of thousands of terms helps no scan
            return False

    def table(self, node: Scan | VirtualTable | None, columns: Sequence[Column],
              rows: Sequence[tuple[Value, ...]] = (), conditions: Sequence[Expression] = ()) -> str:
        name = f"scan_{len(self.tables)}"
        self.tables.append(InputTable(name, node, tuple(columns), tuple(rows), tuple(conditions)))
        return name

    def values(self, node: Values) -> str:
        if not node.columns:
            return f"SELECT 1 AS {self.new_name()} FROM range({len(node.rows)})"
        if not node.rows:
            items = [f"{self.expressions.literal(None, column.type)} AS c{column.id}" for column in node.columns]
            return f"SELECT {', '.join(items)} WHERE FALSE"
        if len(node.rows) == 1:
            return "SELECT " + ", ".join(f"{self.print(expression)} AS c{column.id}"
                                         for column, expression in zip(node.columns, node.rows[0], strict=True))
        rows = ", ".join(f"({self.expressions.list(row)})" for row in node.rows)
        names = ", ".join(f"c{column.id}" for column in node.columns)
        return f"SELECT * FROM (VALUES {rows}) {self.new_name()}({names})"

    def above_source(self, node: Node) -> str:
        """Filter, Sort and Limit on their own."""
        if isinstance(node, Limit) and node.with_ties:
            return self.limit_with_ties(node)
        return f"SELECT *{self.source(node)}"

    def project(self, node: Project) -> str:
        items = [f"{self.print(item.expression)} AS c{item.column.id}" for item in node.items]
        return f"SELECT {self.items(items)}{self.source(node.input)}"

    def with_items(self, node: Node, items: Sequence[Item]) -> str:
        """The node and more columns."""
        added = ", ".join(f"{self.print(item.expression)} AS c{item.column.id}" for item in items)
        source = self.source(node)
        return f"SELECT *, {added}{source}" if source else f"SELECT {added}"

    def join(self, node: Join) -> str:
        left = self.relation(node.left)
        right = ("LATERAL " if node.is_lateral and not isinstance(node.right, Join | Scan) else "") + (
            f"(SELECT * FROM {self.relation(node.right)})" if node.is_lateral and isinstance(node.right, Join)
            else self.relation(node.right))
        if node.kind is JoinKind.CROSS or (node.condition is None and node.kind is JoinKind.INNER):
            return f"({left} CROSS JOIN {right})"
        condition = "TRUE" if node.condition is None else self.print(node.condition)
        return f"({left} {node.kind.upper()} JOIN {right} ON {condition})"

    def whole(self, node: Node) -> str:
        """FROM with nothing beside it that would apply to what is made of the rows: no ORDER BY, no LIMIT."""
        return f" FROM {self.relation(node)}" if isinstance(node, Sort | Limit) else self.source(node)

    def aggregate(self, node: Aggregate) -> str:
        source = self.whole(node.input)
        computed = [item for item in node.keys if not isinstance(item.expression, Column)]
        if node.sets is not None:        # a key and a column of the input that an aggregate reads must be two
            computed = list(node.keys)
        if computed:
            source = f" FROM ({self.with_items(node.input, computed)})"
        names = [f"c{item.column.id}" if item in computed else self.print(item.expression) for item in node.keys]
        places = [self.environment.functions.place(name, item.column.type)
                  for name, item in zip(names, node.keys, strict=True)]
        used = {position for positions in node.sets or () for position in positions}
        items = []
        for position, (name, place, item) in enumerate(zip(names, places, node.keys, strict=True)):
            if node.sets is not None and position not in used:
                name = self.expressions.literal(None, item.column.type)
            elif place != name:          # one of the equal documents
                name = f"any_value({name})" if node.sets is None else \
                    f"CASE WHEN GROUPING({place}) = 0 THEN any_value({name}) END"
            items.append(f"{name} AS c{item.column.id}")
        for item in node.aggregates:
            assert isinstance(item.expression, AggregateCall)
            items.append(f"{self.expressions.aggregate(item.expression)} AS c{item.column.id}")
        for column, positions in node.grouping:
            bits = [f"{2 ** power} * {f'GROUPING({places[position]})' if position in used else 1}"
                    for power, position in enumerate(reversed(positions))]
            text = " + ".join(bits) if node.sets is not None else "0"
            items.append(f"CAST({text} AS {duckdb_type(column.type)}) AS c{column.id}")
        if not node.aggregates and (node.sets is not None or not items):
            # without an aggregate DuckDB gives a row for each of the input, and merges equal grouping sets
            items.append(f"count(*) AS {self.new_name()}")
        group = ""
        if node.sets is not None:
            sets = ", ".join(f"({', '.join(places[position] for position in positions)})" for positions in node.sets)
            group = f" GROUP BY GROUPING SETS ({sets})"
        elif places:
            group = f" GROUP BY {', '.join(places)}"
        return f"SELECT {self.items(items)}{source}{group}"

    def window(self, node: Window) -> str:
        items = []
        for item in node.items:
            assert isinstance(item.expression, WindowCall)
            items.append(f", {self.expressions.window(item.expression)} AS c{item.column.id}")
        return f"SELECT *{''.join(items)} FROM {self.relation(node.input)}"

    def distinct(self, node: Distinct) -> str:
        items = self.items([f"c{column.id}" for column in node.columns])
        if node.on is None:
            return f"SELECT {self.distinct_by(node.columns)}{items}{self.whole(node.input)}"
        order = f" ORDER BY {self.expressions.order(node.order_by)}" if node.order_by else ""
        on = ", ".join(map(self.expressions.place, node.on))
        return f"SELECT DISTINCT ON ({on}) {items} FROM {self.relation(node.input)}{order}"

    def distinct_by(self, columns: Sequence[Column]) -> str:
        """DISTINCT over these columns."""
        if not has_documents(columns):
            return "DISTINCT "
        return f"DISTINCT ON ({', '.join(map(self.expressions.place, columns))}) "

    # ---- limits

    def constant(self, expression: Expression) -> Value:
        if not self.expressions.is_constant(expression):
            raise FeatureNotSupported("an expression that depends on rows cannot stand here")
        return self.environment.evaluate(expression)

    def count(self, expression: Expression | None, clause: str) -> int | str | None:
        """Number of rows: known, or as text; None where NULL or nothing is said."""
        if expression is None:
            return None
        if not self.expressions.is_constant(expression):
            return f"({self.print(expression)})"
        number = self.environment.evaluate(expression)
        assert number is None or isinstance(number, int)
        if number is not None and number < 0:
            raise InvalidParameterValue(f"{clause} must not be negative")
        return number

    def limit(self, node: Limit) -> str:
        count, offset = self.count(node.count, "LIMIT"), self.count(node.offset, "OFFSET")
        return ("" if count is None else f" LIMIT {count}") + ("" if offset in (None, 0) else f" OFFSET {offset}")

    def limit_with_ties(self, node: Limit) -> str:
        """The rows up to the last one, and those of its rank."""
        count, offset = self.count(node.count, "LIMIT"), self.count(node.offset, "OFFSET") or 0
        if not isinstance(node.input, Sort) or count is None:
            raise FeatureNotSupported("WITH TIES without ORDER BY or with no number of rows")
        place, rank = self.new_name(), self.new_name()
        over = f"OVER (ORDER BY {self.expressions.order(node.input.keys)})"
        return (f"SELECT * FROM (SELECT *, row_number() {over} AS {place}, rank() {over} AS {rank} "
                f"FROM {self.relation(node.input.input)}) WHERE {place} > {offset} AND {count} > 0 "
                f"AND {rank} <= {count} + {offset} ORDER BY {place}")

    # ---- several inputs

    def set_operation(self, node: SetOperation) -> str:
        names = [f"c{column.id}" for column in node.columns]
        sides = [self.select(side, [(column.id, name) for column, name in zip(columns, names, strict=True)])
                 for side, columns in ((node.left, node.left_columns), (node.right, node.right_columns))]
        if has_documents(node.columns) and not (node.is_all and node.kind is SetKind.UNION):
            return self.set_of_documents(node, *sides)
        return f"({sides[0]}) {node.kind.upper()}{' ALL' if node.is_all else ''} ({sides[1]})"

    def set_of_documents(self, node: SetOperation, left: str, right: str) -> str:
        """Where DuckDB would compare the bytes of documents that are equal."""
        distinct = self.distinct_by(node.columns)
        if node.kind is SetKind.UNION:
            return f"SELECT {distinct}* FROM (({left}) UNION ALL ({right}))"
        if node.is_all:
            raise FeatureNotSupported(f"{node.kind.upper()} ALL of documents")
        inner, outer = self.new_name(), self.new_name()
        place = self.environment.functions.place
        same = " AND ".join(f"{place(f'{outer}.c{column.id}', column.type)} IS NOT DISTINCT FROM "
                            f"{place(f'{inner}.c{column.id}', column.type)}" for column in node.columns)
        test = "EXISTS" if node.kind is SetKind.INTERSECT else "NOT EXISTS"
        return f"SELECT {distinct}* FROM ({left}) {outer} WHERE {test} (SELECT 1 FROM ({right}) {inner} WHERE {same})"

    def with_tables(self, node: With) -> str:
        recursive = "RECURSIVE " if any(table.recursive is not None for table in node.tables) else ""
        tables = ", ".join(self.common_table(table) for table in node.tables)
        return f"WITH {recursive}{tables} SELECT *{self.source(node.input)}"

    def common_table(self, table: CommonTable) -> str:
        outputs = [(column.id, f"c{column.id}") for column in table.outputs]
        text = self.select(table.plan, outputs)
        if table.recursive is not None:
            if not table.is_union_all and has_documents(table.outputs):
                raise FeatureNotSupported("WITH RECURSIVE ... UNION of documents; UNION ALL can be")
            step = self.select(table.recursive, [(column.id, name) for column, (_, name)
                                                 in zip(table.recursive_outputs, outputs, strict=True)])
            text = f"({text}) UNION{' ALL' if table.is_union_all else ''} ({step})"
        how = {None: "", True: "MATERIALIZED ", False: "NOT MATERIALIZED "}[table.is_materialized]
        names = f"({', '.join(name for _, name in outputs)})" if outputs else ""
        return f"w{table.id}{names} AS {how if table.recursive is None else ''}({text})"

    def common_scan(self, node: CommonScan) -> str:
        names = ", ".join(f"c{column.id}" for column in node.columns)
        if not names:
            return f"SELECT 1 AS {self.new_name()} FROM w{node.table}"
        alias = self.new_name()
        return f"SELECT {names} FROM w{node.table} AS {alias}({names})"

    # ---- table functions

    def table_function(self, node: TableFunction) -> str:
        """A list for each output, unnested side by side; rows computed here when the arguments are constant and only
        Python knows the function."""
        resolved = registry.resolve(node.name, [argument.type for argument in node.arguments])
        overload = resolved.overload
        if overload.kind is not FunctionKind.TABLE:
            raise FeatureNotSupported(f"{node.name} as a table")
        arguments = [self.print(argument) for argument in node.arguments]
        if node.name == "generate_series" and node.columns[0].type.kind is Kind.INT and node.ordinality is None and (
                all(self.expressions.is_constant(argument) for argument in node.arguments)):
            # by DuckDB's own table function, which makes no list of it; a step of zero is an error here
            for argument in node.arguments[2:]:
                if self.constant(argument) == 0:
                    raise InvalidParameterValue("step size cannot equal zero")
            given = ", ".join(f"CAST({argument} AS BIGINT)" for argument in arguments)
            name = duckdb_type(node.columns[0].type)
            return f"SELECT CAST(generate_series AS {name}) AS c{node.columns[0].id} FROM generate_series({given})"
        form = overload.duckdb
        if callable(form) and form(arguments, resolved.arguments, resolved.result) is None:
            form = None                  # not for these arguments
        if form is not None and len(node.columns) == 1:
            lists = [self.environment.functions.call(resolved, arguments)]
        elif overload.volatility is not Volatility.VOLATILE and all(
                self.expressions.is_constant(argument) for argument in node.arguments):
            return self.computed_rows(node, overload)
        else:
            lists = [self.environment.functions.call(_list_of(resolved, position, column), arguments)
                     for position, column in enumerate(node.columns)]
        names = [self.new_name() for _ in lists]
        inner = ", ".join(f"{text} AS {name}" for text, name in zip(lists, names, strict=True))
        items = [f"unnest({name}) AS c{column.id}" for name, column in zip(names, node.columns, strict=True)]
        if node.ordinality is not None:
            items.append(f"generate_subscripts({names[0]}, 1) AS c{node.ordinality.id}")
        return f"SELECT {', '.join(items)} FROM (SELECT {inner})"

    def computed_rows(self, node: TableFunction, overload: Overload) -> str:
        self.environment.is_for_now = self.environment.is_for_now or overload.volatility is not Volatility.IMMUTABLE
        values = [self.constant(argument) for argument in node.arguments]
        rows: list[tuple[Value, ...]] = []
        if not (overload.is_strict and None in values):
            rows = [_row(overload, row) for row in _counted(overload.python(*values))]
        columns = node.columns
        if node.ordinality is not None:
            columns = (*columns, node.ordinality)
            rows = [(*row, number) for number, row in enumerate(rows, 1)]
        return f"SELECT * FROM {self.table(None, columns, rows)}"


_NODES: dict[type[Node], Callable[[_Printer, Any], str]] = {
    Values: _Printer.values, Filter: _Printer.above_source, Sort: _Printer.above_source,
    Limit: _Printer.above_source, Project: _Printer.project, Aggregate: _Printer.aggregate, Window: _Printer.window,
    Distinct: _Printer.distinct, SetOperation: _Printer.set_operation, With: _Printer.with_tables,
    CommonScan: _Printer.common_scan, TableFunction: _Printer.table_function,
}


def has_documents(columns: Sequence[Column]) -> bool:
    return any(order_bytes(column.type) is not None for column in columns)


def _counted(rows: Iterable[Any]) -> Iterator[Any]:
    """The same rows, which are all kept in memory. StatementTimeout, ProgramLimitExceeded."""
    check = context.current().check
    for number, row in enumerate(rows):
        if number % CHECKED_ROWS == 0:
            check()
            if number >= MAX_COMPUTED_ROWS:
                raise ProgramLimitExceeded(f"a table function gives more than {MAX_COMPUTED_ROWS} rows")
        yield row


def _row(overload: Overload, row: Any) -> tuple[Value, ...]:
    return tuple(row) if overload.columns else (row,)


def _list_of(resolved: Resolved, position: int, column: Column) -> Resolved:
    """A table function as a scalar one that gives the values of one of its columns as a list."""
    overload = resolved.overload

    def values(*arguments: Any) -> list[Value]:
        return [_row(overload, row)[position] for row in _counted(overload.python(*arguments))]
    result = array(column.type)
    return Resolved(replace(overload, name=f"{overload.name}__column_{position}", kind=FunctionKind.SCALAR,
                            result=result, python=values, duckdb=None, columns=()), resolved.arguments, result)
