"""EXPLAIN: the plan of a statement as an indented text or as JSON, and with ANALYZE what running it took.

    EXPLAIN SELECT * FROM t WHERE id = 1

    Project
      Output: id, name
      ->  Scan on t  (estimated rows=1)
            Access: index t_pkey of t: 1 equal
    Executor: rows

What is shown is what the executor gets: the optimized plan. Estimated rows stand where somebody estimates them. ANALYZE
measures the statement as a whole: rows, time, and what was read of the storage meanwhile, by anybody.
"""
from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.query import plan, row_executor
from phantomdb.core.query.access import Access
from phantomdb.core.query.errors import FeatureNotSupported, InvalidParameterValue
from phantomdb.core.query.optimizer import conjuncts, optimize
from phantomdb.core.query.result import Result, result_of
from phantomdb.core.query.rewrite import outputs
from phantomdb.core.values import JSON, TEXT
from phantomdb.frontends.sql.explain_expressions import printed, subqueries_in
from phantomdb.frontends.sql.reader import Reader
from phantomdb.frontends.sql.settings import is_true
from phantomdb.frontends.sql.utility import completed, inner, prepared_call

if TYPE_CHECKING:
    from phantomdb.frontends.sql.frontend import Parameters, SqlSession

_SWITCHES = ("ANALYZE", "ANALYSE", "VERBOSE", "COSTS", "SETTINGS", "BUFFERS", "WAL", "TIMING", "SUMMARY", "MEMORY")
_EXECUTORS = {True: "rows", False: "vector (DuckDB over Arrow)"}


@dataclass(slots=True)
class Shown:
    """A node as it is shown."""

    name: str
    details: dict[str, str] = field(default_factory=dict)
    inputs: list[Shown] = field(default_factory=list)
    estimated_rows: float | None = None


def run(sql: SqlSession, reader: Reader, parameters: Parameters) -> Result:
    """Errors of the statement. FeatureNotSupported: it has no plan."""
    options = _options(reader)
    statement = inner(reader.rest())
    if statement.words and statement.words[0] == "EXECUTE":
        call = Reader(completed(statement))
        call.index = 1
        statement, parameters = prepared_call(sql, call, parameters)
    elif statement.words and statement.words[0] in ("CREATE", "DECLARE", "ALTER", "DROP", "COPY"):
        raise FeatureNotSupported(f"EXPLAIN {statement.words[0]}", position=statement.start + 1)
    started = time.perf_counter()
    bound = sql.bind(statement, parameters)
    root, is_for_rows = _statement(bound.statement, sql.session.catalog, "VERBOSE" in options)
    figures: dict[str, Any] = {"Executor": _EXECUTORS[is_for_rows]}
    planning_ms = (time.perf_counter() - started) * 1000
    if options.keys() & {"ANALYZE", "ANALYSE"}:
        figures |= {"Planning Time": round(planning_ms, 3), **_measured(sql, bound.statement, bound.keys, parameters)}
    if options["FORMAT"] == "JSON":
        return result_of(["QUERY PLAN"], [JSON], [([{"Plan": _as_json(root), **figures}],)], "EXPLAIN")
    lines = [*_lines(root, 0), *(f"{name}: {_figure(name, value)}" for name, value in figures.items())]
    return result_of(["QUERY PLAN"], [TEXT], [(line,) for line in lines], "EXPLAIN")


def _options(reader: Reader) -> dict[str, str]:
    """By name; those that are switched off are left out."""
    found = {"FORMAT": "TEXT"}
    if reader.word() == "(" and reader.word(1) in (*_SWITCHES, "FORMAT"):
        reader.expect("(")
        while True:
            name = reader.accept_any(*_SWITCHES, "FORMAT")
            if not name:
                raise reader.failure()
            value = "on"
            if reader.word() not in (",", ")"):
                value = reader.tokens[reader.index].text
                reader.index += 1
            if name == "FORMAT":
                found[name] = value.upper()
            elif is_true(value, name):
                found[name] = "on"
            if not reader.accept(","):
                break
        reader.expect(")")
    else:
        for name in ("ANALYZE", "VERBOSE"):
            if reader.accept(name):
                found[name] = "on"
    if found["FORMAT"] in ("XML", "YAML"):
        raise FeatureNotSupported(f"EXPLAIN (FORMAT {found['FORMAT']})")
    if found["FORMAT"] not in ("TEXT", "JSON"):
        raise InvalidParameterValue(f'unrecognized value for EXPLAIN option "format": "{found["FORMAT"]}"')
    return found


def _measured(sql: SqlSession, statement: plan.Statement, keys: Sequence[int | str], parameters: Any
              ) -> dict[str, Any]:
    """Runs the statement."""
    database = sql.session.engine.store
    before = database.stats()
    started = time.perf_counter()
    result = sql.session.execute(statement, [parameters[key] for key in keys])
    count = len(result) if result.has_rows else result.row_count
    elapsed_ms = (time.perf_counter() - started) * 1000
    after = database.stats()
    return {"Execution Time": round(elapsed_ms, 3), "Actual Rows": count,
            "Blocks Read": after["block_reads"] - before["block_reads"],
            "Bytes Read": after["block_read_bytes"] - before["block_read_bytes"]}


# -------------------------------------------------------------------- plans

def _statement(statement: plan.Statement, catalog: Catalog, is_verbose: bool) -> tuple[Shown, bool]:
    """(what is shown, whether the row executor runs it)"""
    if isinstance(statement, plan.Query):
        return _query(statement, catalog, is_verbose)
    columns = outputs(statement.source)
    if isinstance(statement, plan.Insert) and isinstance(statement.source, plan.Values):
        source, is_for_rows = _Tree(catalog, None, is_verbose).node(statement.source), True
    else:
        wanted = columns if isinstance(statement, plan.Insert) else (statement.key,)
        source, is_for_rows = _query(plan.Query(statement.source, tuple(column.name for column in wanted), wanted),
                                     catalog, is_verbose)
    shown = Shown(f"{type(statement).__name__} on {catalog.table(statement.table).name}", {}, [source])
    if isinstance(statement, plan.Insert) and statement.on_conflict is not None:
        shown.details["Conflict Resolution"] = "UPDATE" if statement.on_conflict.assignments else "NOTHING"
    return shown, is_for_rows


def _query(query: plan.Query, catalog: Catalog, is_verbose: bool) -> tuple[Shown, bool]:
    optimized = optimize(query)
    prepared = row_executor.prepare(optimized, catalog)
    tree = _Tree(catalog, None if prepared is None else list(prepared.accesses), is_verbose)
    return tree.node(optimized.plan), prepared is not None


class _Tree:
    """`accesses`: how the row executor reads tables, in the order in which it decided; None: it does not."""

    def __init__(self, catalog: Catalog, accesses: list[tuple[Any, Access]] | None, is_verbose: bool) -> None:
        self.catalog, self.accesses, self.is_verbose = catalog, accesses, is_verbose

    def node(self, node: plan.Node) -> Shown:
        shown = self.shown(node)
        if self.is_verbose:
            shown.details["Output"] = ", ".join(column.name or f"c{column.id}" for column in outputs(node))
        for place, subquery in enumerate(subqueries_in(node), 1):
            made = self.node(subquery.plan)
            made.name = f"SubPlan {place}: {made.name}"
            shown.inputs.append(made)
        return shown

    def shown(self, node: plan.Node) -> Shown:
        match node:
            case plan.Scan():
                return self.scan(node, [])
            case plan.Filter(input=plan.Scan() as scan):
                return self.scan(scan, conjuncts(node.condition))
            case plan.Filter():
                return Shown("Filter", {"Condition": printed(node.condition)}, [self.node(node.input)])
            case plan.Project():
                items = ", ".join(printed(item.expression) for item in node.items)
                return Shown("Project", {"Items": items}, [self.node(node.input)])
            case plan.Join():
                return self.join(node)
            case plan.Aggregate():
                details = {"Group Key": ", ".join(printed(item.expression) for item in node.keys)} if node.keys else {}
                details |= {"Aggregates": ", ".join(printed(item.expression) for item in node.aggregates)}
                if node.sets is not None:
                    details["Grouping Sets"] = str(len(node.sets))
                return Shown("Aggregate", details, [self.node(node.input)])
            case plan.Window():
                return Shown("Window", {"Items": ", ".join(printed(item.expression) for item in node.items)},
                             [self.node(node.input)])
            case plan.Sort():
                return Shown("Sort", {"Sort Key": ", ".join(map(printed, node.keys))}, [self.node(node.input)])
            case plan.Limit():
                details = {"Count": printed(node.count)} if node.count is not None else {}
                details |= {"Offset": printed(node.offset)} if node.offset is not None else {}
                return Shown("Limit", details, [self.node(node.input)])
            case plan.Distinct():
                details = {"On": ", ".join(map(printed, node.on))} if node.on is not None else {}
                return Shown("Distinct", details, [self.node(node.input)])
            case plan.SetOperation():
                name = f"{node.kind.value.title()}{' All' if node.is_all else ''}"
                return Shown(name, {}, [self.node(node.left), self.node(node.right)])
            case plan.With():
                return self.common(node)
            case plan.CommonScan():
                return Shown(f"Common Table Scan on w{node.table}")
            case plan.Values():
                return Shown("Result" if not node.columns else "Values", estimated_rows=float(len(node.rows)))
            case plan.TableFunction():
                return Shown(f"Function Scan on {node.name}",
                             {"Call": f"{node.name}({', '.join(map(printed, node.arguments))})"})
            case plan.VirtualTable():
                return Shown(f"Catalog Scan on {node.name}")
        raise AssertionError(type(node).__name__)

    def scan(self, node: plan.Scan, conditions: Sequence[plan.Expression]) -> Shown:
        table = self.catalog.table(node.table)
        shown = Shown(f"Scan on {table.name}")
        rest = list(conditions)
        access = self.access(table.id)
        if access is None:
            shown.details["Access"] = f"columns of {table.name}"
        else:
            shown.details["Access"] = access.describe(table)
            shown.estimated_rows = access.estimated_rows
            rest = list(access.rest)
        if rest:
            shown.details["Filter"] = " AND ".join(map(printed, rest))
        if node.as_of is not None:
            shown.details["As Of"] = printed(node.as_of)
        return shown

    def access(self, table: int) -> Access | None:
        for place, (found, access) in enumerate(self.accesses or ()):
            if found.id == table:
                del (self.accesses or [])[place]
                return access
        return None

    def join(self, node: plan.Join) -> Shown:
        details = {} if node.condition is None else {"Condition": printed(node.condition)}
        kind = "Nested Loop" if self.accesses is not None else "Join"
        name = f"{kind} ({node.kind.value}{', lateral' if node.is_lateral else ''})"
        return Shown(name, details, [self.node(node.left), self.node(node.right)])

    def common(self, node: plan.With) -> Shown:
        inputs = []
        for table in node.tables:
            parts = [self.node(table.plan), *([] if table.recursive is None else [self.node(table.recursive)])]
            inputs.append(Shown(f"Common Table w{table.id}{' (recursive)' if table.recursive else ''}", {}, parts))
        return Shown("With", {}, [*inputs, self.node(node.input)])


# -------------------------------------------------------------------- forms

def _lines(shown: Shown, depth: int) -> list[str]:
    indent = "" if depth == 0 else " " * (6 * depth - 4)
    rows = "" if shown.estimated_rows is None else f"  (estimated rows={round(shown.estimated_rows)})"
    lines = [f"{indent}{'->  ' if depth else ''}{shown.name}{rows}"]
    inside = " " * (6 * depth + 2)
    lines += [f"{inside}{name}: {text}" for name, text in shown.details.items()]
    for item in shown.inputs:
        lines += _lines(item, depth + 1)
    return lines


def _figure(name: str, value: Any) -> str:
    return f"{value:.3f} ms" if name.endswith("Time") else str(value)


def _as_json(shown: Shown) -> dict[str, Any]:
    made: dict[str, Any] = {"Node Type": shown.name, **shown.details}
    if shown.estimated_rows is not None:
        made["Plan Rows"] = round(shown.estimated_rows)
    if shown.inputs:
        made["Plans"] = [_as_json(item) for item in shown.inputs]
    return made
