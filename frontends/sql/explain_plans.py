"""Plans as EXPLAIN shows them: a tree of names, details and figures, from whichever executor runs the plan.

    row executor       the tree it has made itself (core/query/row_plan.py), with estimates; measured, each operator
                       has counted its rows, how often it was started, and its time
    vector executor    the optimized plan; measured, the tree of DuckDB's operators with rows and times
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.query import plan, row_plan
from phantomdb.core.query.figures import FiguresCache
from phantomdb.core.query.optimizer import conjuncts
from phantomdb.core.query.rewrite import outputs
from phantomdb.frontends.sql.explain_expressions import printed, subqueries_in

SIZES = {"Estimated Cardinality"}


@dataclass(slots=True)
class Shown:
    """A node as it is shown. `time_ms`: with that of its inputs, over all loops."""

    name: str
    details: dict[str, str] = field(default_factory=dict)
    inputs: list[Shown] = field(default_factory=list)
    estimated_rows: float | None = None
    actual_rows: int | None = None
    loops: int = 1
    time_ms: float = 0.0


# -------------------------------------------------------------------- the row executor

def of_rows(shown: row_plan.Shown, *, is_measured: bool) -> Shown:
    """The tree of a RowPlan."""
    details = {name: value if isinstance(value, str) else (" AND " if name in ("Filter", "Condition") else ", ").join(
        map(printed, value)) for name, value in shown.details.items()}
    made = Shown(shown.name, details, [of_rows(item, is_measured=is_measured) for item in shown.inputs],
                 shown.estimated_rows)
    if is_measured and shown.operator is not None:
        made.actual_rows, made.loops = shown.operator.rows, shown.operator.loops
        made.time_ms = shown.operator.seconds * 1000
    return made


# -------------------------------------------------------------------- DuckDB

def of_profile(profile: dict[str, Any]) -> Shown:
    """The tree of DuckDB's operators."""
    operators = profile["operator"]
    while len(operators) == 1 and operators[0]["type"] in ("RESULT_COLLECTOR", "EXPLAIN_ANALYZE"):
        operators = operators[0]["children"]
    made = [_operator(item) for item in operators]
    return made[0] if len(made) == 1 else Shown("Result", {}, made)


def _operator(item: dict[str, Any]) -> Shown:
    details: dict[str, str] = {}
    estimated = None
    for name, value in item["extra_info"].items():
        if name in SIZES:
            estimated = float(value)
        elif value and not name.startswith("__"):
            details[name] = ", ".join(value) if isinstance(value, list) else str(value)
    inputs = [_operator(one) for one in item.get("children", ())]
    made = Shown(item["type"].replace("_", " ").title().strip(), details, inputs, estimated,
                 int(item["intermediate_rows"]))
    made.time_ms = item["timing"] * 1000 + sum(one.time_ms for one in made.inputs)
    return made


# -------------------------------------------------------------------- plans

class Tree:
    """The nodes of an optimized plan."""

    def __init__(self, catalog: Catalog, figures: FiguresCache, is_verbose: bool) -> None:
        self.catalog, self.figures, self.is_verbose = catalog, figures, is_verbose

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
                details = {} if node.condition is None else {"Condition": printed(node.condition)}
                name = f"Join ({node.kind.value}{', lateral' if node.is_lateral else ''})"
                return Shown(name, details, [self.node(node.left), self.node(node.right)])
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
        shown = Shown(f"Scan on {table.name}", {"Access": f"columns of {table.name}"})
        if node.as_of is None:
            shown.estimated_rows = self.figures.of(table).row_count
        if conditions:
            shown.details["Filter"] = " AND ".join(map(printed, conditions))
        if node.as_of is not None:
            shown.details["As Of"] = printed(node.as_of)
        return shown

    def common(self, node: plan.With) -> Shown:
        inputs = []
        for table in node.tables:
            parts = [self.node(table.plan), *([] if table.recursive is None else [self.node(table.recursive)])]
            inputs.append(Shown(f"Common Table w{table.id}{' (recursive)' if table.recursive else ''}", {}, parts))
        return Shown("With", {}, [*inputs, self.node(node.input)])
