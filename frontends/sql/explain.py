"""EXPLAIN: the plan of a statement as an indented text or as JSON, and with ANALYZE what running it took.

    EXPLAIN SELECT * FROM t WHERE id = 1

    Project
      Output: id, name
      ->  Scan on t  (estimated rows=1)
            Access: index t_pkey of t: 1 equal
    Executor: rows

What is shown is what runs: the row executor's own tree, or the optimized plan that DuckDB is given. ANALYZE runs the
statement and shows rows, loops and time of each node, where the vector executor has run it, of DuckDB's operators; and
of the whole rows, time, and what was read of the storage meanwhile, by anybody. Of a change whose rows the vector
executor finds, the whole alone is measured.
"""
from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from phantomdb.core.query import plan
from phantomdb.core.query.errors import FeatureNotSupported, InvalidParameterValue
from phantomdb.core.query.execution import Profile
from phantomdb.core.query.result import Result, result_of
from phantomdb.core.values import JSON, TEXT
from phantomdb.frontends.sql.explain_plans import Shown, Tree, of_profile, of_rows
from phantomdb.frontends.sql.reader import Reader
from phantomdb.frontends.sql.settings import is_true
from phantomdb.frontends.sql.utility import completed, inner, prepared_call

if TYPE_CHECKING:
    from phantomdb.frontends.sql.frontend import Bound, Parameters, SqlSession

_SWITCHES = ("ANALYZE", "ANALYSE", "VERBOSE", "COSTS", "SETTINGS", "BUFFERS", "WAL", "TIMING", "SUMMARY", "MEMORY")
_EXECUTORS = {True: "rows", False: "vector (DuckDB over Arrow)"}


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
    planning_ms = (time.perf_counter() - started) * 1000
    profiles: list[Profile] = []
    measured: dict[str, Any] = {}
    if options.keys() & {"ANALYZE", "ANALYSE"}:
        profiles, measured = _measured(sql, bound, parameters)
        measured = {"Planning Time": round(planning_ms, 3), **measured}
    root, is_for_rows = _statement(sql, bound.statement, "VERBOSE" in options, profiles)
    figures: dict[str, Any] = {"Executor": _EXECUTORS[is_for_rows], **measured}
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
                if reader.is_at_end():
                    raise reader.failure()
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


def _measured(sql: SqlSession, bound: Bound, parameters: Any) -> tuple[list[Profile], dict[str, Any]]:
    """Runs the statement: what its queries took, and figures of the whole."""
    session = sql.session
    values = [parameters[key] for key in bound.keys]
    statement = bound.statement
    store = session.engine.store
    before = store.stats()
    started = time.perf_counter()
    profiles = session.executor.profiles = []
    try:
        if isinstance(statement, plan.Query):
            count = session.run(lambda rows: session.executor.profiled(statement, rows, values), writes=False)
        else:
            result = session.execute(statement, values)
            count = len(result) if result.has_rows else result.row_count
    finally:
        session.executor.profiles = None
    elapsed_ms = (time.perf_counter() - started) * 1000
    after = store.stats()
    return profiles, {"Execution Time": round(elapsed_ms, 3), "Actual Rows": count,
                      "Blocks Read": after["block_reads"] - before["block_reads"],
                      "Bytes Read": after["block_read_bytes"] - before["block_read_bytes"]}


# -------------------------------------------------------------------- plans

def _statement(sql: SqlSession, statement: plan.Statement, is_verbose: bool, profiles: Sequence[Profile]
               ) -> tuple[Shown, bool]:
    """(what is shown, whether the row executor runs it)"""
    catalog, engine = sql.session.catalog, sql.session.engine
    tree = Tree(catalog, engine.figures, is_verbose)
    if isinstance(statement, plan.Query):
        return _query(sql, statement, tree, profiles)
    if isinstance(statement, plan.Insert) and isinstance(statement.source, plan.Values):
        source, is_for_rows = tree.node(statement.source), True
    else:
        source, is_for_rows = _query(sql, sql.session.executor.source_of(statement), tree, profiles)
    shown = Shown(f"{type(statement).__name__} on {catalog.table(statement.table).name}", {}, [source])
    if isinstance(statement, plan.Insert) and statement.on_conflict is not None:
        shown.details["Conflict Resolution"] = "UPDATE" if statement.on_conflict.assignments else "NOTHING"
    return shown, is_for_rows


def _query(sql: SqlSession, query: plan.Query, tree: Tree, profiles: Sequence[Profile]) -> tuple[Shown, bool]:
    found = next((profile for profile in profiles if profile.query is query), None)
    if found is not None and found.vector is not None:
        return of_profile(found.vector), False
    if found is not None and found.shown is not None:
        return of_rows(found.shown, is_measured=True), True
    prepared = sql.session.engine.prepared.of(query, tree.catalog)
    only = sql.session.only_executor
    row_plan = None if only == "vector" or profiles else prepared.row_plan(is_forced=only == "row")
    if row_plan is None or tree.is_verbose:
        return tree.node(prepared.query.plan), row_plan is not None
    return of_rows(row_plan.shown, is_measured=False), True


# -------------------------------------------------------------------- forms

def _lines(shown: Shown, depth: int) -> list[str]:
    indent = "" if depth == 0 else " " * (6 * depth - 4)
    rows = "" if shown.estimated_rows is None else f"  (estimated rows={round(shown.estimated_rows)})"
    if shown.actual_rows is not None:
        rows += f"  (actual rows={shown.actual_rows} loops={shown.loops} time={shown.time_ms:.3f} ms)"
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
    if shown.actual_rows is not None:
        made |= {"Actual Rows": shown.actual_rows, "Actual Loops": shown.loops,
                 "Actual Total Time": round(shown.time_ms, 3)}
    if shown.inputs:
        made["Plans"] = [_as_json(item) for item in shown.inputs]
    return made
