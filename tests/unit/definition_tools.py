"""SQL definitions on a catalog that is a value: no store, no rows."""
from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.objects import Table, View
from phantomdb.core.catalog.objects import Sequence as SequenceObject
from phantomdb.core.query.builder import Builder
from phantomdb.frontends.sql.definitions import ChangeCatalog, Clear, Definition, DefinitionBinder, Fill, Restart
from phantomdb.frontends.sql.names import Names
from phantomdb.frontends.sql.parse import split
from phantomdb.frontends.sql.queries import QueryBinder


class Sql:
    """Runs definitions. `work`: on rows, of the last run; `others`: its steps that do not change the catalog."""

    def __init__(self, *texts: str, path: Sequence[str] = ("public",)) -> None:
        self.catalog = Catalog(new_id=itertools.count(100).__next__)
        self.path = list(path)
        self.work: list[Any] = []
        self.others: list[Any] = []
        for text in texts:
            self.run(text)

    def run(self, text: str) -> Definition:
        """All statements of the text; gives the last definition. The catalog stays as it was if one is wrong."""
        before = self.catalog
        try:
            for statement in split(text):
                made = self._steps(DefinitionBinder(QueryBinder(Builder(), self.names)).bind(statement))
        except BaseException:
            self.catalog = before
            raise
        return made

    def _steps(self, definition: Definition) -> Definition:
        self.work, self.others = [], []
        created = 0
        for step in definition.steps:
            match step:
                case ChangeCatalog():
                    change = step.apply(self.catalog)
                    self.catalog, created = change.catalog, change.created
                    self.work += change.work
                case Fill():
                    self.others.append(step.insert(self.catalog, created))
                case Clear() | Restart():
                    self.others.append(step)
        return definition

    @property
    def names(self) -> Names:
        return Names(self.catalog, "main", self.path)

    def table(self, name: str, schema: str = "") -> Table:
        return self.names.table(name, schema)

    def view(self, name: str) -> View:
        found = self.names.relation(name)
        assert isinstance(found, View)
        return found

    def sequence(self, name: str, schema: str = "") -> SequenceObject:
        found = self.names.find(name, schema)
        assert isinstance(found, SequenceObject)
        return found
