"""The catalog: an immutable value that knows every object by id and by name.

    after = catalog.with_object(table)           catalog itself stays as it was

A copy shares nearly all with the one it was made of (maps.py). Relations (tables, views, sequences) and
indexes, primary keys among them, share one name space in each schema, as in PostgreSQL. It is kept here, and so are
the two things to know before an object goes: which objects use it, and in which way.

`version` names the content: it is new with each change, greater than before, and never the same for two catalogs.
Its low bits are random, so that two transactions that change one catalog at a time do not come to the same.
"""
from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from phantomdb.core.catalog.maps import PersistentMap
from phantomdb.core.catalog.objects import (
    DEFAULT_DATABASE,
    DEFAULT_SCHEMA,
    CatalogObject,
    Database,
    ForeignKey,
    Index,
    Schema,
    Table,
    View,
)
from phantomdb.core.catalog.objects import Sequence as SequenceObject
from phantomdb.core.query.errors import (
    DuplicateObject,
    DuplicateSchema,
    DuplicateTable,
    UndefinedSchema,
    UndefinedTable,
    WrongObjectType,
)

Relation = Table | View | SequenceObject
R = TypeVar("R", Table, View, SequenceObject)

MAIN_ID = 1                          # the database and the schema that are there from the beginning
PUBLIC_ID = 2
FIRST_ID = 3
IMPLIED: dict[int, CatalogObject] = {MAIN_ID: Database(MAIN_ID, DEFAULT_DATABASE),
                                     PUBLIC_ID: Schema(PUBLIC_ID, MAIN_ID, DEFAULT_SCHEMA)}

VERSION_RANDOM_BITS = 64             # of `version`, the low ones; a counter of the changes stands above them

_KIND_NAMES: dict[type, str] = {Table: "table", View: "view", SequenceObject: "sequence"}
_Name = tuple[int, str]              # (where, name): in a schema, or a database for schemas, or 0 for databases


def _no_ids() -> int:
    raise RuntimeError("this catalog is for reading: it was made without a source of ids")


class Catalog:
    """Look up with the methods below. `objects`: by id; do not change it. `new_id`: gives out an id that no object
    has, had or will have."""

    __slots__ = ("_names", "_users", "new_id", "objects", "version")

    def __init__(self, objects: Iterable[CatalogObject] = IMPLIED.values(), version: int = 0,
                 new_id: Callable[[], int] = _no_ids) -> None:
        self.version, self.new_id = version, new_id
        found = list(objects)
        self.objects = PersistentMap((item.id, item) for item in found)
        names: dict[_Name, int] = {}
        users: dict[int, frozenset[int]] = {}
        for item in found:
            for name in _names_of(item):
                if name in names:
                    _raise_duplicate(item, name)
                names[name] = item.id
            for used in _used_by(item):
                users[used] = users.get(used, frozenset()) | {item.id}
        self._names = PersistentMap(names.items())
        self._users = PersistentMap(users.items())

    # ---------------------------------------------------------------- by id

    def get(self, number: int) -> CatalogObject | None:
        return self.objects.get(number)

    def table(self, number: int) -> Table:
        """UndefinedTable, WrongObjectType."""
        return self._relation(number, Table)

    def view(self, number: int) -> View:
        """UndefinedTable, WrongObjectType."""
        return self._relation(number, View)

    def sequence(self, number: int) -> SequenceObject:
        """UndefinedTable, WrongObjectType."""
        return self._relation(number, SequenceObject)

    def relation(self, number: int) -> Relation:
        """A table, view or sequence. UndefinedTable."""
        found = self.objects.get(number)
        if not isinstance(found, (Table, View, SequenceObject)):
            raise UndefinedTable(f"relation {number} does not exist")
        return found

    def _relation(self, number: int, kind: type[R]) -> R:
        found = self.relation(number)
        if not isinstance(found, kind):
            raise WrongObjectType(f'"{found.name}" is not a {_KIND_NAMES[kind]}', table=found.name)
        return found

    def schema_by_id(self, number: int) -> Schema:
        """UndefinedSchema."""
        found = self.objects.get(number)
        if not isinstance(found, Schema):
            raise UndefinedSchema(f"schema {number} does not exist")
        return found

    # ---------------------------------------------------------------- by name

    def database(self, name: str) -> Database | None:
        found = self.objects.get(self._names.get((0, name), 0))
        return found if isinstance(found, Database) else None

    def schema(self, database: int, name: str) -> Schema | None:
        found = self.objects.get(self._names.get((database, name), 0))
        return found if isinstance(found, Schema) else None

    def find_table(self, database: str, schema: str, name: str) -> Table | None:
        of_database = self.database(database)
        of_schema = of_database and self.schema(of_database.id, schema)
        found = of_schema and self.find((of_schema.id,), name)
        return found if isinstance(found, Table) else None

    def find(self, path: Sequence[int], name: str) -> Relation | None:
        """The first relation of that name in the schemas of `path` (ids; those that are no more are passed over)."""
        for schema in path:
            found = self.objects.get(self._names.get((schema, name), 0))
            if isinstance(found, (Table, View, SequenceObject)) and found.name == name:
                return found
        return None

    def find_index(self, path: Sequence[int], name: str) -> tuple[Table, Index | None] | None:
        """(table, index) of the first index of that name; the index is None for the primary key of the table."""
        for schema in path:
            found = self.objects.get(self._names.get((schema, name), 0))
            if isinstance(found, Table) and found.name != name:
                return found, found.index(name)
        return None

    def is_taken(self, schema: int, name: str) -> bool:
        """Whether a relation, index or primary key of the schema has the name."""
        return (schema, name) in self._names

    # ---------------------------------------------------------------- all of a kind

    def databases(self) -> list[Database]:
        """By name, as all lists here."""
        return [item for item in self._members(0) if isinstance(item, Database)]

    def schemas(self, database: int) -> list[Schema]:
        return [item for item in self._members(database) if isinstance(item, Schema)]

    def relations(self, schema: int) -> list[Relation]:
        return [item for item in self._members(schema) if isinstance(item, (Table, View, SequenceObject))]

    def tables(self, schema: int) -> list[Table]:
        return [item for item in self.relations(schema) if isinstance(item, Table)]

    def views(self, schema: int) -> list[View]:
        return [item for item in self.relations(schema) if isinstance(item, View)]

    def sequences(self, schema: int) -> list[SequenceObject]:
        return [item for item in self.relations(schema) if isinstance(item, SequenceObject)]

    def _members(self, where: int) -> list[CatalogObject]:
        return sorted((item for item in self.objects.values() if _where(item) == where), key=lambda item: item.name)

    # ---------------------------------------------------------------- who uses what

    def referencing(self, table: int) -> list[tuple[Table, ForeignKey]]:
        """The foreign keys of other tables that point to it, each with its table."""
        return [(user, key) for number in sorted(self._users.get(table, ()))
                if number != table and isinstance(user := self.objects[number], Table)
                for key in user.foreign_keys if key.target == table]

    def dependents(self, number: int) -> list[View]:
        """The views directly over a table or view."""
        return [user for of in sorted(self._users.get(number, ())) if isinstance(user := self.objects[of], View)]

    def owned_sequences(self, table: int) -> list[SequenceObject]:
        """Those that go with it."""
        return [user for of in sorted(self._users.get(table, ()))
                if isinstance(user := self.objects[of], SequenceObject)]

    def sequence_users(self, sequence: int) -> list[Table]:
        """The tables with a column that takes its values from it."""
        return [user for of in sorted(self._users.get(sequence, ())) if isinstance(user := self.objects[of], Table)]

    # ---------------------------------------------------------------- changes

    def with_object(self, item: CatalogObject) -> Catalog:
        """A copy in which `item` is new, or replaces the object of its id. DuplicateTable, DuplicateSchema or
        DuplicateObject: another has a name of it."""
        return self._changed(item.id, item)

    def without(self, number: int) -> Catalog:
        """A copy without the object; what used it is left as it is."""
        return self._changed(number, None)

    def _changed(self, number: int, item: CatalogObject | None) -> Catalog:
        old = self.objects.get(number)
        after = Catalog.__new__(Catalog)
        after.new_id = self.new_id
        after.version = next_version(self.version)
        after._names, after._users = self._names, self._users
        names, old_names = _names_of(item), _names_of(old)
        if names != old_names:
            after._names = self._names.changed(old_names, ())
            for position, name in enumerate(names):
                if name in after._names or name in names[:position]:
                    _raise_duplicate(item, name)
            after._names = after._names.changed((), ((name, number) for name in names))
        used, old_used = _used_by(item), _used_by(old)
        if used != old_used:
            left = {of: self._users[of] - {number} for of in old_used - used}
            after._users = self._users.changed(left, [(of, users) for of, users in left.items() if users])
            after._users = after._users.changed((), [(of, after._users.get(of, frozenset()) | {number}) for of in used])
        after.objects = self.objects.changed(() if item else (number,), ((number, item),) if item else ())
        return after


def next_version(version: int) -> int:
    """That of a catalog made out of one with `version`."""
    count = (version >> VERSION_RANDOM_BITS) + 1
    return count << VERSION_RANDOM_BITS | random.getrandbits(VERSION_RANDOM_BITS)


# -------------------------------------------------------------------- what the maps are made of

def _where(item: CatalogObject) -> int:
    """What its name is unique in: see _Name."""
    if isinstance(item, Schema):
        return item.database
    return 0 if isinstance(item, Database) else item.schema


def _names_of(item: CatalogObject | None) -> tuple[_Name, ...]:
    if item is None:
        return ()
    where = _where(item)
    if not isinstance(item, Table):
        return ((where, item.name),)
    key = ((where, item.primary_key_name),) if item.primary_key_name else ()
    return ((where, item.name), *key, *((where, index.name) for index in item.indexes))


def _used_by(item: CatalogObject | None) -> frozenset[int]:
    """Ids of what the object cannot be without."""
    if isinstance(item, Table):
        return frozenset([*(key.target for key in item.foreign_keys),
                          *(column.sequence for column in item.columns if column.sequence is not None)])
    if isinstance(item, View):
        return frozenset(item.depends_on)
    if isinstance(item, SequenceObject) and item.owner is not None:
        return frozenset((item.owner[0],))
    return frozenset()


def _raise_duplicate(item: CatalogObject | None, taken: _Name) -> None:
    _, name = taken
    if isinstance(item, Schema):
        raise DuplicateSchema(f'schema "{name}" already exists')
    if isinstance(item, Database):
        raise DuplicateObject(f'database "{name}" already exists')
    raise DuplicateTable(f'relation "{name}" already exists', table=name)
