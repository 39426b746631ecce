"""What \\d and its like show, and names for completion: queries over pg_catalog and information_schema."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phantomdb.cli.drawing import Rows
from phantomdb.core.query.errors import UndefinedTable
from phantomdb.core.values import TEXT

if TYPE_CHECKING:
    from phantomdb.cli.shell import Shell

_OWN = "n.nspname NOT IN ('pg_catalog', 'information_schema')"
_KINDS = "CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' WHEN 'i' THEN 'index' END"


def like(pattern: str) -> str:
    """A pattern of names, with * and ? in it, for LIKE. Names without quotes are in lower case."""
    text = pattern[1:-1] if len(pattern) > 1 and pattern[0] == pattern[-1] == '"' else pattern.lower()
    for special in "\\%_":
        text = text.replace(special, "\\" + special)
    return text.replace("*", "%").replace("?", "_") or "%"


def _split(pattern: str) -> tuple[str, str]:
    """(schema, name) as patterns."""
    schema, _, name = pattern.rpartition(".")
    return like(schema), like(name)


def relations(shell: Shell, kinds: str, pattern: str) -> Rows:
    """Of the kinds r, v, S."""
    marks = ", ".join("?" * len(kinds))
    return shell.query(f"""SELECT n.nspname AS schema, c.relname AS name, {_KINDS} AS kind
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ({marks}) AND n.nspname LIKE ? AND c.relname LIKE ? AND {_OWN} ORDER BY 1, 2""",
                       [*kinds, *_split(pattern)])


def indexes(shell: Shell, pattern: str) -> Rows:
    return shell.query(f"""SELECT n.nspname AS schema, c.relname AS name, t.relname AS table,
            CASE WHEN i.indisprimary THEN 'primary key' WHEN i.indisunique THEN 'unique' ELSE '' END AS kind,
            regexp_replace(pg_get_indexdef(c.oid), '^.* USING \\w+ ', '') AS columns
        FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
            JOIN pg_catalog.pg_class t ON t.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname LIKE ? AND c.relname LIKE ? AND {_OWN} ORDER BY 1, 2""", _split(pattern))


def sequences(shell: Shell, pattern: str) -> Rows:
    return shell.query("""SELECT schemaname AS schema, sequencename AS name, start_value AS start, increment_by AS step,
            last_value AS last FROM pg_catalog.pg_sequences
        WHERE schemaname LIKE ? AND sequencename LIKE ? ORDER BY 1, 2""", _split(pattern))


def functions(shell: Shell, pattern: str) -> Rows:
    """Those of SQL. The types of arguments are those of each overload."""
    found = shell.query("""SELECT p.proname AS name, format_type(p.prorettype, NULL) AS result,
            p.proargtypes AS arguments, p.pronargdefaults AS optional, p.provariadic <> 0 AS variadic,
            CASE p.prokind WHEN 'a' THEN 'aggregate' WHEN 'w' THEN 'window'
                ELSE CASE WHEN p.proretset THEN 'set' ELSE 'function' END END AS kind
        FROM pg_catalog.pg_proc p WHERE p.proname LIKE ? ORDER BY 1, 3""", [like(pattern)])
    types = {row[0]: row[1] for row in shell.query("SELECT oid, format_type(oid, NULL) FROM pg_catalog.pg_type").rows}
    rows = []
    for name, result, arguments, optional, is_variadic, kind in found.rows:
        texts = [types.get(oid, "any") for oid in arguments or ()]
        if is_variadic and texts:
            texts[-1] = f"VARIADIC {texts[-1]}"
        kept = len(texts) - (optional or 0)
        shown = ", ".join(texts[:kept]) + (f" [, {', '.join(texts[kept:])}]" if optional else "")
        rows.append((name, result, shown, kind))
    return Rows(("name", "result", "arguments", "kind"), (TEXT,) * 4, list(dict.fromkeys(rows)))


def schemas(shell: Shell, pattern: str) -> Rows:
    return shell.query(f"SELECT nspname AS schema FROM pg_catalog.pg_namespace n WHERE nspname LIKE ? AND {_OWN}"
                       " ORDER BY 1", [like(pattern)])


def databases(shell: Shell, pattern: str) -> Rows:
    return shell.query("SELECT datname AS database FROM pg_catalog.pg_database WHERE datname LIKE ? ORDER BY 1",
                       [like(pattern)])


@dataclass(frozen=True, slots=True)
class Description:
    """A relation: its columns as a table, and what belongs to it as lines under headings."""

    title: str
    columns: Rows
    parts: Sequence[tuple[str, Sequence[str]]]


def describe(shell: Shell, pattern: str) -> list[Description]:
    """\\d NAME. UndefinedTable."""
    found = shell.query("""SELECT c.oid, n.nspname, c.relname, c.relkind FROM pg_catalog.pg_class c
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname LIKE ? AND c.relname LIKE ? ORDER BY n.nspname = 'public' DESC, 2, 3""", _split(pattern)).rows
    if not found:
        raise UndefinedTable(f'there is no table, view, index or sequence "{pattern}"')
    return [_describe(shell, *row) for row in found]


def _describe(shell: Shell, oid: int, schema: str, name: str, kind: str) -> Description:
    if kind == "S":
        return Description(f"Sequence {schema}.{name}", shell.query("""SELECT data_type AS type, start_value AS start,
            min_value AS minimum, max_value AS maximum, increment_by AS step, cycle, last_value AS last
            FROM pg_catalog.pg_sequences WHERE schemaname = ? AND sequencename = ?""", [schema, name]), ())
    if kind == "i":
        rows = shell.query("SELECT pg_get_indexdef(?::bigint) AS definition", [oid])
        return Description(f"Index {schema}.{name}", rows, ())
    columns = shell.query("""SELECT a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type,
            CASE WHEN a.attnotnull THEN 'not null' ELSE '' END AS nullable,
            CASE WHEN a.attidentity = 'a' THEN 'generated always as identity'
                 WHEN a.attidentity = 'd' THEN 'generated by default as identity'
                 WHEN a.attgenerated = 's' THEN 'generated always as (' || pg_get_expr(d.adbin, d.adrelid) || ') stored'
                 ELSE coalesce(pg_get_expr(d.adbin, d.adrelid), '') END AS default
        FROM pg_catalog.pg_attribute a
            LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = ? AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum""", [oid])
    if kind == "v":
        text = shell.query("SELECT pg_get_viewdef(?::bigint)", [oid]).rows[0][0]
        return Description(f"View {schema}.{name}", columns, [("Query", [text.strip()])])
    keys = shell.query("""SELECT c.relname, i.indisprimary, i.indisunique, pg_get_indexdef(c.oid)
        FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = ? ORDER BY i.indisprimary DESC, 1""", [oid]).rows
    lines = [f"{index}: {'primary key ' if is_primary else 'unique ' if is_unique else ''}"
             f"{text.partition(' USING ')[2].partition(' ')[2]}" for index, is_primary, is_unique, text in keys]
    constraints = shell.query("""SELECT contype, conname, pg_get_constraintdef(oid), conrelid, conrelid::regclass::text
        FROM pg_catalog.pg_constraint WHERE conrelid = ? OR confrelid = ? ORDER BY 2""", [oid, oid]).rows
    parts = [
        ("Indexes", lines),
        ("Check constraints", [f"{item[1]}: {item[2]}" for item in constraints if item[0] == "c"]),
        ("Foreign keys", [f"{item[1]}: {item[2]}" for item in constraints if item[0] == "f" and item[3] == oid]),
        ("Referenced by", [f"{item[4]}, {item[1]}: {item[2]}" for item in constraints
                           if item[0] == "f" and item[3] != oid]),
    ]
    return Description(f"Table {schema}.{name}", columns, [part for part in parts if part[1]])


# -------------------------------------------------------------------- names

@dataclass(frozen=True, slots=True)
class Names:
    """What may be completed."""

    columns: dict[str, list[str]]        # of each table and view
    indexes: list[str]
    functions: list[str]


def names(shell: Shell) -> Names:
    columns: dict[str, list[str]] = {}
    for table, column in shell.query("SELECT table_name, column_name FROM information_schema.columns "
                                     "ORDER BY table_name, ordinal_position").rows:
        columns.setdefault(table, []).append(column)
    others = shell.query(f"""SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n
        ON n.oid = c.relnamespace WHERE c.relkind IN ('i', 'S') AND {_OWN} ORDER BY 1""").rows
    found = shell.query("SELECT DISTINCT proname FROM pg_catalog.pg_proc ORDER BY 1").rows
    return Names(columns, [row[0] for row in others], [row[0] for row in found])
