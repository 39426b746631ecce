"""What a definition comes to: steps that the session takes in order, in one transaction, and what it says to the user.

    for step in definition.steps:
        ChangeCatalog   change = step.apply(catalog)        the catalog after the step before; then the work on rows
        Fill            run step.insert(catalog, change.created)
        Clear           remove all rows of the tables
        Restart         sequences.set(sequence, value, is_called=False)
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.work import Change
from phantomdb.core.query import plan
from phantomdb.frontends.sql.names import Names

if TYPE_CHECKING:
    from phantomdb.frontends.sql.queries import QueryBinder
    from phantomdb.frontends.sql.reader import Reader


@dataclass(frozen=True, slots=True)
class ChangeCatalog:
    """`apply` binds what the definition says to the catalog it is given, and raises what is wrong with it."""

    apply: Callable[[Catalog], Change]


@dataclass(frozen=True, slots=True)
class Fill:
    """CREATE TABLE AS: rows for the table that the step before has made, by its id."""

    insert: Callable[[Catalog, int], plan.Insert]


@dataclass(frozen=True, slots=True)
class Clear:
    """TRUNCATE. No foreign key of another table points to any of them."""

    tables: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Restart:
    """The next value of a sequence becomes `value`; None: its start."""

    sequence: int
    value: int | None = None


Step = ChangeCatalog | Fill | Clear | Restart


@dataclass(slots=True)
class Definition:
    """`tag`: for the client; of CREATE TABLE AS it is "SELECT", and the number of rows belongs behind it. `notices` is
    complete when all steps are done."""

    tag: str
    steps: list[Step] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


class Work:
    """One definition while it is read."""

    def __init__(self, queries: QueryBinder, reader: Reader, tag: str) -> None:
        self.queries, self.reader = queries, reader
        self.definition = Definition(tag)

    @property
    def names(self) -> Names:
        return self.queries.names

    def names_in(self, catalog: Catalog) -> Names:
        """The same names in a catalog that has changed."""
        return Names(catalog, self.names.database.name, self.names.search_path)

    def add(self, apply: Callable[[Catalog], Change]) -> None:
        self.definition.steps.append(ChangeCatalog(apply))

    def notice(self, text: str) -> None:
        self.definition.notices.append(text)

    def accept_cascade(self) -> bool:
        """CASCADE, or RESTRICT or nothing."""
        return self.reader.accept_any("CASCADE", "RESTRICT") == "CASCADE"
