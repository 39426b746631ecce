"""Names of relations: which table, view or virtual table a statement means, and which it has used."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.objects import Schema, Table, View
from phantomdb.core.catalog.objects import Sequence as SequenceObject
from phantomdb.core.query.errors import UndefinedSchema, UndefinedTable, WrongObjectType

Relation = Table | View | SequenceObject


class Names:
    """Looks names up in one catalog, for one session. `used`: ids of what a statement depends on."""

    def __init__(self, catalog: Catalog, database: str, search_path: Sequence[str]) -> None:
        self.catalog, self.search_path = catalog, tuple(search_path)
        found = catalog.database(database)
        if found is None:
            raise UndefinedSchema(f'database "{database}" does not exist')
        self.database = found
        self.used: set[int] = set()

    def schema(self, name: str, position: int | None = None) -> Schema:
        found = self.catalog.schema(self.database.id, name)
        if found is None:
            raise UndefinedSchema(f'schema "{name}" does not exist', position=position)
        return found

    def creation_schema(self, name: str = "", position: int | None = None) -> Schema:
        """Where a new object goes: the named schema, or the first of the search path that there is."""
        if name:
            return self.schema(name, position)
        for candidate in self.search_path:
            if (found := self.catalog.schema(self.database.id, candidate)) is not None:
                return found
        raise UndefinedSchema("no schema has been selected to create in", position=position)

    def path(self, schema: str = "", position: int | None = None) -> list[int]:
        """Ids of the schemas to look in."""
        if schema:
            return [self.schema(schema, position).id]
        found = (self.catalog.schema(self.database.id, name) for name in self.search_path)
        return [item.id for item in found if item is not None]

    def find(self, name: str, schema: str = "", position: int | None = None) -> Relation | None:
        found = self.catalog.find(self.path(schema, position), name)
        if found is not None:
            self.used.add(found.id)
        return found

    def relation(self, name: str, schema: str = "", position: int | None = None) -> Table | View:
        """UndefinedTable, WrongObjectType."""
        found = self.find(name, schema, position)
        if found is None:
            shown = f"{schema}.{name}" if schema else name
            raise UndefinedTable(f'relation "{shown}" does not exist{self._hint(name)}', position=position, table=name)
        if isinstance(found, SequenceObject):
            raise WrongObjectType(f'"{name}" is a sequence', position=position)
        return found

    def table(self, name: str, schema: str = "", position: int | None = None) -> Table:
        """UndefinedTable, WrongObjectType."""
        found = self.relation(name, schema, position)
        if not isinstance(found, Table):
            raise WrongObjectType(f'"{name}" is not a table', position=position, table=name)
        return found

    def _hint(self, name: str) -> str:
        import difflib
        known = [item.name for schema in self.path() for item in self.catalog.relations(schema)]
        near = difflib.get_close_matches(name, known, 1, 0.75)
        return f'; did you mean "{near[0]}"?' if near else ""

    def virtual(self, name: str, schema: str) -> Any:
        """A table of information_schema or pg_catalog; pg_catalog is searched without being named."""
        from phantomdb.core.catalog.virtual import find
        return find(schema or "pg_catalog", name)
