"""Names in a query: which relations FROM brings, and which column a name means.

    SELECT x.a, b FROM t AS x JOIN u USING (k)

    Scope  relations: x(a, b, k), u(k, c)   merged: k = x.k       outer: the scope a subquery stands in

A name without a qualifier must mean one column of this scope, or else of the next one outside.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from phantomdb.core.query import plan
from phantomdb.core.query.errors import AmbiguousColumn, UndefinedColumn, UndefinedTable


@dataclass(slots=True)
class Relation:
    """An item of FROM. `table`: the catalog's table behind it, None for all else."""

    alias: str
    columns: list[tuple[str, plan.Expression]]               # USING with FULL JOIN makes a coalesce() of a column
    schema: str = ""
    table: int | None = None
    sources: dict[int, int] = field(default_factory=dict)    # number of the plan's column -> stored column
    is_flexible: bool = False
    document: plan.Column | None = None                      # of a flexible table: the column that has the fields
    hidden: set[str] = field(default_factory=set)            # merged by USING: not found without the qualifier


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a flexible table, by the path to it."""

    document: plan.Expression
    path: tuple[str, ...]


@dataclass(slots=True)
class Scope:
    relations: list[Relation] = field(default_factory=list)
    outer: Scope | None = None
    # columns made by USING and NATURAL, in order: name -> expression
    merged: dict[str, plan.Expression] = field(default_factory=dict)

    def all_columns(self) -> Iterator[tuple[str, plan.Expression]]:
        """What `*` stands for: merged columns first, then the others of each relation."""
        yield from self.merged.items()
        for relation in self.relations:
            for name, column in relation.columns:
                if name not in relation.hidden:
                    yield name, column

    def relation(self, alias: str, schema: str = "") -> Relation | None:
        """By its name, here or outside."""
        scope: Scope | None = self
        while scope is not None:
            for relation in scope.relations:
                if relation.alias == alias and schema in ("", relation.schema):
                    return relation
            scope = scope.outer
        return None

    def resolve(self, parts: list[str], position: int | None = None) -> plan.Expression | Relation | Field:
        """What `name`, `table.name`, `schema.table.name` or, in a flexible table, a path of fields means."""
        *before, name = parts
        try:
            if len(parts) <= 3:
                return self.find(name, before[-1] if before else "", before[0] if len(before) == 2 else "", position)
            raise UndefinedColumn(f"there is no column {'.'.join(parts)}", position=position, column=name)
        except (UndefinedColumn, UndefinedTable):
            if (field := self._field(parts)) is None:
                raise
            return field

    def _field(self, parts: list[str]) -> Field | None:
        """In the flexible table that the first part names, or else in the only one there is."""
        scope: Scope | None = self
        while scope is not None:
            flexible = [relation for relation in scope.relations if relation.document is not None]
            named = [relation for relation in flexible if relation.alias == parts[0]] if len(parts) > 1 else []
            if (named or len(flexible) == 1) and (document := (named or flexible)[0].document) is not None:
                return Field(document, tuple(parts[1:] if named else parts))
            scope = scope.outer
        return None

    def whole_row(self, name: str) -> Relation | None:
        """The relation of that name, unless it is the name of a column."""
        scope: Scope | None = self
        while scope is not None:
            if scope._here(name):
                return None
            scope = scope.outer
        return self.relation(name)

    def find(self, name: str, qualifier: str = "", schema: str = "", position: int | None = None
             ) -> plan.Expression | Relation:
        """The column `name`; or the relation, if a relation has that name (a whole row)."""
        if qualifier:
            return self._qualified(name, qualifier, schema, position)
        scope: Scope | None = self
        while scope is not None:
            found = scope._here(name)
            if len(found) > 1:
                raise AmbiguousColumn(f'column reference "{name}" is ambiguous', position=position, column=name)
            if found:
                return found[0]
            scope = scope.outer
        if (relation := self.relation(name)) is not None:
            return relation
        raise UndefinedColumn(f'column "{name}" does not exist{self._hint(name)}', position=position, column=name)

    def _here(self, name: str) -> list[plan.Expression]:
        if name in self.merged:
            return [self.merged[name]]
        return [column for relation in self.relations for known, column in relation.columns
                if known == name and name not in relation.hidden]

    def _qualified(self, name: str, qualifier: str, schema: str, position: int | None) -> plan.Expression:
        relation = self.relation(qualifier, schema)
        if relation is None:
            raise UndefinedTable(f'missing FROM-clause entry for table "{qualifier}"', position=position,
                                 table=qualifier)
        found = [column for known, column in relation.columns if known == name]
        if len(found) > 1:
            raise AmbiguousColumn(f'column reference "{name}" is ambiguous', position=position, column=name)
        if not found:
            raise UndefinedColumn(f"column {qualifier}.{name} does not exist", position=position, column=name)
        return found[0]

    def _hint(self, name: str) -> str:
        import difflib
        known = {column for relation in self.relations for column, _ in relation.columns}
        near = difflib.get_close_matches(name, sorted(known), 1, 0.75)
        return f'; did you mean "{near[0]}"?' if near else ""
