"""Schemas, rows and queries made by Hypothesis, for comparing executors with each other and with DuckDB alone.

    Maker(draw).schema()   ->  tables with columns of all types, keys, indexes and rows
    Maker(draw).query(...) ->  Query: the text for PhantomDB, and the same for DuckDB as a database of its own

Where the dialects differ, the two texts do (`Sql`). What has no equal in DuckDB is only in schemas with
`is_portable` False, which are not compared with it:

- numeric without a precision and of more than 38 digits: DuckDB's DECIMAL has 38;
- character(n): DuckDB has no padded text;
- jsonb: DuckDB compares JSON as text.

Left out of queries altogether, because an answer may differ and be right: sums and averages of floats, which depend on
the order of the rows; casts of floats to text; upper and lower case beyond ASCII; division of decimals, whose digits
differ.
"""
from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from schemas import TYPES, Column, ColumnType, Sql, Table, form, joined, literal_of, same


@dataclass
class Query:
    sql: Sql
    is_ordered: bool
    features: set[str]


Source = list[Column]
INT = next(type_ for type_ in TYPES if type_.name == "integer")
BIGINT = next(type_ for type_ in TYPES if type_.name == "bigint")
BOOL = TYPES[0]
TEXT = next(type_ for type_ in TYPES if type_.name == "text")
_ORDERED = {"bool", "int", "float", "decimal", "text", "bytes", "date", "time", "timestamp", "timestamptz", "uuid",
            "interval"}


class Maker:
    """Draws from Hypothesis, so that what fails is made small."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any], is_portable: bool = True) -> None:
        self.draw, self.is_portable = draw, is_portable
        self.types = [type_ for type_ in TYPES if type_.is_portable or not is_portable]
        self.features: set[str] = set()
        self.aliases = 0

    def pick(self, choices: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(choices))

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def chance(self, in_ten: int) -> bool:
        """False is what shrinking leads to."""
        return self.number(0, 9) >= 10 - in_ten

    def alias(self) -> str:
        self.aliases += 1
        return f"q{self.aliases}"

    # ---------------------------------------------------------------- tables

    def schema(self) -> list[Table]:
        return [self.table(f"t{number}") for number in range(self.number(1, 3))]

    def table(self, name: str) -> Table:
        columns = [("id", INT)] + [(f"c{n}", self.pick(self.types)) for n in range(self.number(1, 4))]
        has_key = not self.chance(2)
        indexes = []
        indexed = [column for column, type_ in columns if type_.is_indexed]
        for _ in range(self.number(0, 2)):
            parts = [self.pick(indexed) + self.pick(["", " DESC", " NULLS FIRST"]) for _ in range(self.number(1, 2))]
            if len({part.split()[0] for part in parts}) == len(parts):
                indexes.append(", ".join(parts))
        table = Table(name, columns, "id" if has_key else "", indexes)
        count = self.number(0, 8)
        for row in range(count):
            values = [type_.values if self.chance(8) else st.none() for _, type_ in columns[1:]]
            first = row if has_key else self.number(0, 3)
            made = [first] + [self.draw(value) for value in values]
            table.rows.append(tuple([value[:3] if type_.name == "varchar(3)" and value else value
                                     for value, (_, type_) in zip(made, columns, strict=True)]))
        return table

    # ---------------------------------------------------------------- expressions

    def columns_of(self, source: Source, family: str) -> Source:
        return [column for column in source if column.type.family == family]

    def value(self, source: Source, type_: ColumnType, depth: int = 2) -> Sql:
        """An expression of the family of `type_`: a column, a literal, or something computed."""
        columns = self.columns_of(source, type_.family)
        choice = self.number(0, 9)
        if choice < 5 and columns:
            return self.pick(columns).sql
        if choice < 7 or depth <= 0:
            return literal_of(type_, None if self.chance(1) else self.draw(type_.values))
        return self.computed(source, type_, depth - 1)

    def computed(self, source: Source, type_: ColumnType, depth: int) -> Sql:
        choice = self.number(0, 3)
        if choice == 0:
            return form("CASE WHEN {} THEN {} ELSE {} END", self.condition(source, depth),
                        self.value(source, type_, depth), self.value(source, type_, depth))
        if choice == 1:
            name = self.pick(["coalesce", "nullif"] + (["greatest", "least"] if type_.family in _ORDERED else []))
            return form(name + "({}, {})", self.value(source, type_, depth), self.value(source, type_, depth))
        match type_.family:
            case "int":
                kind = self.number(0, 4)
                if kind == 0:
                    text = self.value(source, TEXT, depth)
                    return form("length({})", text)
                left, right = self.value(source, type_, depth), self.value(source, type_, depth)
                if kind == 1:
                    return form(Sql("({} / nullif({}, 0))", "({} // nullif({}, 0))"), left, right)
                return form(["({} + {})", "({} - {})", "({} % nullif({}, 0))"][kind - 2], left, right)
            case "float":
                return form("(- {})", self.value(source, type_, depth))
            case "decimal":
                return form("(- {})" if choice == 2 else "abs({})", self.value(source, type_, depth))
            case "text":
                one, other = self.value(source, type_, depth), self.value(source, type_, depth)
                return form("({} || {})", one, other) if choice == 2 else form("substring({}, 1, 2)", one)
            case "bool":
                return self.condition(source, depth)
            case "date":
                return form("({} - 1)", literal_of(type_, datetime.date(2024, 3, 1)))
        return self.value(source, type_, 0)

    def condition(self, source: Source, depth: int = 2) -> Sql:
        if not source:
            return self.pick([same("true"), same("false")])
        choice = self.number(0, 9 if depth > 0 else 6)
        type_ = self.pick(source).type
        if choice >= 7:
            if choice == 9:
                return form("(NOT {})", self.condition(source, depth - 1))
            return form("({} " + self.pick(["AND", "OR"]) + " {})", self.condition(source, depth - 1),
                        self.condition(source, depth - 1))
        one = self.value(source, type_, depth - 1)
        if choice == 0:
            return form("({} IS NULL)" if self.chance(5) else "({} IS NOT NULL)", one)
        if type_.family in ("json",):
            return form("({} = {})", one, self.value(source, type_, 0))
        if choice == 1:
            items = [self.value(source, type_, 0) for _ in range(self.number(1, 3))]
            return form("({} " + self.pick(["IN", "NOT IN"]) + " ({}))", one, joined(", ", items))
        if choice == 2:
            return form("({} BETWEEN {} AND {})", one, self.value(source, type_, 0), self.value(source, type_, 0))
        if choice == 3 and type_.family == "text":
            return form("({} LIKE " + self.pick(["'a%'", "'%b'", "'_'", "'%'", "''"]) + ")", one)
        operator = self.pick(["=", "<", ">", "<=", ">=", "<>", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"])
        return form("({} " + operator + " {})", one, self.value(source, type_, depth - 1))

    # ---------------------------------------------------------------- FROM

    def source(self, tables: Sequence[Table], depth: int = 2) -> tuple[Sql, Source]:
        choice = self.number(0, 9)
        if choice < 5 or depth <= 0:
            table, alias = self.pick(tables), self.alias()
            return same(f"{table.name} {alias}"), [Column(same(f"{alias}.{name}"), type_)
                                                   for name, type_ in table.columns]
        if choice == 5:
            self.features.add("derived table")
            alias = self.alias()
            query, types = self.select(tables, depth - 1, is_named=True)
            return form("({}) " + alias, query), [Column(same(f"{alias}.o{place}"), type_)
                                                  for place, type_ in enumerate(types)]
        left, one = self.source(tables, depth - 1)
        right, other = self.source(tables, depth - 1)
        right = form("({})", right) if " JOIN " in right.ours and not right.ours.startswith("(") else right
        kind = self.pick(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"])
        self.features.add(kind.lower())
        if kind == "CROSS JOIN":
            return form("{} CROSS JOIN {}", left, right), one + other
        return form("{} " + kind + " {} ON {}", left, right, self.join_condition(one, other, kind)), one + other

    def join_condition(self, one: Source, other: Source, kind: str) -> Sql:
        pairs = [(a, b) for a in one for b in other if a.type.family == b.type.family and a.type.family != "json"]
        parts = [form("{} = {}", a.sql, b.sql) for a, b in [self.pick(pairs)]] if pairs else [same("true")]
        if self.chance(3):
            parts.append(self.condition(one + other, 1))
        return joined(" AND ", parts)

    def subquery(self, tables: Sequence[Table], source: Source) -> Sql:
        """A condition with a subquery, correlated or not."""
        table, alias = self.pick(tables), self.alias()
        inner = [Column(same(f"{alias}.{name}"), type_) for name, type_ in table.columns]
        where = self.condition(inner + source if self.chance(6) else inner, 1)
        start = same(f" FROM {table.name} {alias} WHERE ")
        choice = self.number(0, 3)
        self.features.add(["exists", "in", "scalar subquery", "not exists"][choice])
        if choice in (0, 3):
            return form("NOT EXISTS (SELECT 1{}{})" if choice == 3 else "EXISTS (SELECT 1{}{})", start, where)
        pairs = [(a, b) for a in source for b in inner
                 if a.type.family == b.type.family and a.type.family in _ORDERED - {"interval"}]
        a, b = self.pick(pairs) if pairs else (Column(same("1"), INT), Column(same(f"{alias}.id"), INT))
        if choice == 1:
            return form("{} " + self.pick(["IN", "NOT IN"]) + " (SELECT {}{}{})", a.sql, b.sql, start, where)
        aggregate = self.pick(["max", "min"]) if a.type.family not in ("bool", "uuid", "bytes") else "count"
        compared = form("{}", a.sql) if aggregate != "count" else literal_of(BIGINT, 1)
        return form("{} " + self.pick(["=", "<", ">="]) + " (SELECT " + aggregate + "({}){}{})", compared, b.sql,
                    start, where)

    # ---------------------------------------------------------------- SELECT

    def query(self, tables: Sequence[Table]) -> Query:
        """A whole query, in an order that decides all (LIMIT stands only behind such a one), or in none."""
        self.features = set()
        if self.chance(2):
            body, types = self.set_operation(tables)
        else:
            body, types = self.select(tables, 2)
        tail, is_ordered = self.tail(types)
        return Query(form("{}{}", body, tail), is_ordered, self.features)

    def tail(self, types: Sequence[ColumnType]) -> tuple[Sql, bool]:
        if not self.chance(6) or any(type_.family == "json" for type_ in types):
            return same(""), False
        # rows that are equal in all columns may stand in any order: nobody can see it
        keys = [f"{place + 1}{self.pick(['', ' DESC', ' ASC NULLS FIRST', ' DESC NULLS LAST'])}"
                for place in range(len(types))]
        text = " ORDER BY " + ", ".join(keys)
        self.features.add("order by")
        if self.chance(4):
            self.features.add("limit")
            text += f" LIMIT {self.number(0, 5)}" + (f" OFFSET {self.number(0, 3)}" if self.chance(3) else "")
        return same(text), True

    def set_operation(self, tables: Sequence[Table]) -> tuple[Sql, list[ColumnType]]:
        types = [self.pick([type_ for type_ in self.types if type_.family in _ORDERED and type_.family != "interval"
                            and type_.name != "varchar(3)"])         # DuckDB cuts nothing off
                 for _ in range(self.number(1, 2))]
        sides = []
        for _ in range(2):
            source, columns = self.source(tables, 1)
            # both sides of exactly one type: the rules of common types are compared elsewhere
            items = [form("CAST({} AS {})", self.value(columns, type_, 1), Sql(type_.name, type_.duck))
                     for type_ in types]
            sides.append(form("SELECT {} FROM {} WHERE {}", joined(", ", items), source, self.condition(columns, 1)))
        operator = self.pick(["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"])
        self.features.add(operator.lower())
        return form("{} " + operator + " {}", *sides), types

    def select(self, tables: Sequence[Table], depth: int, is_named: bool = False) -> tuple[Sql, list[ColumnType]]:
        """(query, types of its columns); `is_named`: they are called o0, o1, ..."""
        source, columns = self.source(tables, depth)
        where = same("")
        if self.chance(6):
            where = form(" WHERE {}", self.condition(columns))
            if depth > 1 and self.chance(3):
                where = form("{} AND {}", where, self.subquery(tables, columns))
        elif depth > 1 and self.chance(3):
            where = form(" WHERE {}", self.subquery(tables, columns))
        choice = self.number(0, 9)
        if choice < 5:
            items, types = self.plain_items(columns)
            head, group = same("SELECT "), same("")
        elif choice == 5:
            items, types = self.plain_items(columns)
            head, group = same("SELECT DISTINCT "), same("")
            self.features.add("distinct")
        elif choice == 6:
            return self.distinct_on(source, columns, where, is_named)
        elif choice == 7:
            items, types = self.windows(columns)
            head, group = same("SELECT "), same("")
        else:
            items, types, group = self.grouped(columns)
            head = same("SELECT ")
        names = [form("{}" + (f" AS o{place}" if is_named else ""), item) for place, item in enumerate(items)]
        return form("{}{} FROM {}{}{}", head, joined(", ", names), source, where, group), types

    def plain_items(self, columns: Source) -> tuple[list[Sql], list[ColumnType]]:
        types = [self.pick(columns).type for _ in range(self.number(1, 3))]
        return [self.value(columns, type_) for type_ in types], types

    def comparable(self, columns: Source) -> Source:
        return [column for column in columns if column.type.family != "json"] or [columns[0]]

    def total_order(self, columns: Source) -> Sql:
        return joined(", ", [column.sql for column in self.comparable(columns)])

    def distinct_on(self, source: Sql, columns: Source, where: Sql, is_named: bool) -> tuple[Sql, list[ColumnType]]:
        """The first row of each group in an order of all columns."""
        self.features.add("distinct on")
        usable = self.comparable(columns)
        on = self.pick(usable)
        rest = [column for column in usable if column is not on]
        keys = [on.sql, *(form("{} DESC", column.sql) if self.chance(3) else column.sql for column in rest)]
        shown = [self.pick(usable) for _ in range(self.number(1, 2))]
        items = [form("{}" + (f" AS o{place}" if is_named else ""), column.sql) for place, column in enumerate(shown)]
        text = form("SELECT DISTINCT ON ({}) {} FROM {}{} ORDER BY {}", on.sql, joined(", ", items), source, where,
                    joined(", ", keys))
        return form("SELECT * FROM ({}) " + self.alias(), text), [column.type for column in shown]

    def windows(self, columns: Source) -> tuple[list[Sql], list[ColumnType]]:
        self.features.add("window")
        column = self.pick(self.comparable(columns))
        order = self.total_order(columns)
        partition = form("PARTITION BY {} ", self.pick(self.comparable(columns)).sql) if self.chance(5) else same("")
        whole = form("{}ORDER BY {}", partition, order)
        items: list[Sql] = [column.sql]
        types: list[ColumnType] = [column.type]
        for _ in range(self.number(1, 2)):
            choice = self.number(0, 5)
            if choice == 0:
                items.append(form("row_number() OVER ({})", whole))
                types.append(BIGINT)
            elif choice == 1:
                name = self.pick(["rank", "dense_rank"])
                items.append(form(name + "() OVER ({}ORDER BY {})", partition, column.sql))
                types.append(BIGINT)
            elif choice == 2:
                items.append(form(self.pick(["lag", "lead"]) + "({}) OVER ({})", column.sql, whole))
                types.append(column.type)
            elif choice == 3:
                items.append(form(self.pick(["first_value", "last_value"]) + "({}) OVER ({})", column.sql, whole))
                types.append(column.type)
            else:
                frame = self.pick([
                    "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
                    "ROWS UNBOUNDED PRECEDING", "RANGE UNBOUNDED PRECEDING",
                    "GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING"])
                items.append(form("count({}) OVER ({} " + frame + ")", column.sql, whole))
                types.append(BIGINT)
        return items, types

    def grouped(self, columns: Source) -> tuple[list[Sql], list[ColumnType], Sql]:
        self.features.add("aggregate")
        usable = self.comparable(columns)
        keys = [self.pick(usable) for _ in range(self.number(0, 2))]
        if len({key.sql for key in keys}) < len(keys):
            keys = keys[:1]
        items, types = [key.sql for key in keys], [key.type for key in keys]
        for _ in range(self.number(1, 2)):
            item, type_ = self.aggregate(usable)
            items.append(item)
            types.append(type_)
        if not keys:
            return items, types, same("")
        names = joined(", ", [key.sql for key in keys])
        choice = self.number(0, 9)
        if choice < 6:
            group = form(" GROUP BY {}", names)
        else:
            self.features.add("grouping sets")
            group = form(" GROUP BY " + self.pick(["ROLLUP ({})", "CUBE ({})", "GROUPING SETS (({}), ())"]), names)
            items.append(form("grouping({})", keys[0].sql))
            types.append(INT)
        if self.chance(2):
            self.features.add("having")
            group = form("{} HAVING count(*) > 1", group)
        return items, types, group

    def aggregate(self, columns: Source) -> tuple[Sql, ColumnType]:
        column = self.pick(columns)
        family = column.type.family
        choice = self.number(0, 6)
        suffix = form(" FILTER (WHERE {})", self.condition(columns, 0)) if self.chance(2) else same("")
        if choice == 0:
            return form("count(*){}", suffix), BIGINT
        if choice == 1:
            return form(self.pick(["count({}){}", "count(DISTINCT {}){}"]), column.sql, suffix), BIGINT
        if choice == 2 and family == "bool":
            return form(self.pick(["bool_and", "bool_or"]) + "({}){}", column.sql, suffix), BOOL
        if choice in (3, 4) and family == "int":
            # as bigint: the sum of smallint and integer is bigint here and wider there
            return form(Sql("sum({}){}", "CAST(sum({}){} AS DECIMAL(38, 0))"), column.sql, suffix), BIGINT
        if choice == 5 and family == "text":
            return form("string_agg({}, ',' ORDER BY {}){}", column.sql, column.sql, suffix), TEXT
        if family in _ORDERED - {"bool", "uuid", "bytes"}:
            return form(self.pick(["min", "max"]) + "({}){}", column.sql, suffix), column.type
        return form("count({}){}", column.sql, suffix), BIGINT
