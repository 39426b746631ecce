"""Foreign keys, and constraints that are checked later.

    child written    Outgoing.require       is the parent there? if not, an Orphan to be looked at again
    parent written   Incoming.note          a Departure: these values are no parent any more
    statement ends   act_on_children        RESTRICT, CASCADE, SET NULL, SET DEFAULT; then what is left is verified
    commit           PendingChecks          deferred ones are verified

What is noted is a suspicion, never a fact: `verify` looks at the rows as they are then. So nothing has to be taken
back when a savepoint is rolled back, and checking twice does no harm.

A parent is looked up by its key, a read that the commit validates; children are looked up by an index that begins with
the columns of the foreign key, or else in the whole table.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from phantomdb.core.catalog.objects import Action, ForeignKey, Index, IndexState, Table
from phantomdb.core.query.casts import caster
from phantomdb.core.query.coercion import without_parameters
from phantomdb.core.query.errors import QueryError
from phantomdb.core.tables import violations
from phantomdb.core.tables.layout import IndexLayout, OrderedKeys, Row, TableLayout, after, picker
from phantomdb.core.tables.rows import DEFAULT, RowTransaction, cover_validated, get_validated
from phantomdb.core.values import Type, Value

if TYPE_CHECKING:
    from phantomdb.core.tables.statement import RowStatement

KNOWN_PARENTS = 10_000               # remembered by one statement, so that a bulk insert asks once for each


# -------------------------------------------------------------------- the side of the child

class Outgoing:
    """One foreign key of a table, as its children use it. `positions`: of its columns in the child's rows."""

    __slots__ = ("_convert", "_known", "_parent", "_pick", "_rows", "key", "positions", "table")

    def __init__(self, rows: RowTransaction, table: Table, key: ForeignKey) -> None:
        rows.fence(key.target)
        self._rows, self.table, self.key = rows, table, key
        layout = rows.layout(table.id)
        places = [layout.positions[number] for number in key.columns]
        self.positions = frozenset(places)
        self._pick = picker(places)
        self._parent = ParentKeys(rows, rows.layout(key.target), key.target_columns)
        self._convert = _conversion([table.columns[at].type for at in places], self._parent.types)
        self._known: set[bytes] = set()

    def require(self, statement: RowStatement, row: Row, row_key: bytes) -> None:
        """Notes the row when its parent is not there."""
        if (place := self.place(row)) is None or place in self._known:
            return
        if place and self._parent.exists(place):
            if len(self._known) >= KNOWN_PARENTS:
                self._known.clear()
            self._known.add(place)
        else:
            statement.orphans.append(Orphan(self.table.id, self.key.name, row_key))

    def place(self, row: Row) -> bytes | None:
        """Where the row's parent must be, as ParentKeys has it: empty when no parent can have its values, None when
        it needs none, because of a NULL (MATCH SIMPLE)."""
        values = self._pick(row)
        if None in values:
            return None
        if self._convert is not None:
            try:
                values = self._convert(values)
            except QueryError:       # a value that the parent's type does not have
                return b""
        return self._parent.place(values)

    def verify(self, row: Row) -> None:
        """ForeignKeyViolation: the row has no parent."""
        place = self.place(row)
        if place is not None and not (place and self._parent.exists(place)):
            raise violations.missing_parent(self.table, self.key, self._parent.layout.table, self._pick(row))


class ParentKeys:
    """The key of a table that foreign keys point to: the primary key or a unique index over `columns`. The catalog
    sees to it that the index is not deferrable, so all its entries have the unique form."""

    __slots__ = ("_index", "_order", "_rows", "keys", "layout", "types")

    def __init__(self, rows: RowTransaction, layout: TableLayout, columns: Sequence[int]) -> None:
        self._rows, self.layout = rows, layout
        table = layout.table
        self.types = [table.column_by_id(number).type for number in columns]
        self._index: IndexLayout | None = None
        order: Sequence[int | None] = table.primary_key
        self.keys: OrderedKeys = layout.keys
        if sorted(columns) != sorted(table.primary_key):
            self._index = next(index for index in layout.indexes if index.index.is_unique and _is_plain(index.index)
                               and not index.index.is_deferrable and sorted(_columns(index.index)) == sorted(columns))
            order, self.keys = _columns(self._index.index), self._index.keys
        self._order = picker([list(columns).index(number) for number in order if number is not None])

    def place(self, values: tuple[Value, ...]) -> bytes:
        """The whole key at which these values (in the order of the foreign key) would stand; never empty."""
        return self.keys.prefix + self.keys.encode(self._order(values))

    def exists(self, place: bytes) -> bool:
        """Whether a row that has not expired is there. The commit validates it."""
        space, index = self._rows.space, self._index
        value = get_validated(space, place)
        if value is None or self.layout.expiry is None:
            return value is not None
        row_key = place[len(self.keys.prefix):] if index is None else value
        return self._rows.get(self.layout, row_key) is not None


@dataclass(frozen=True, slots=True)
class Orphan:
    """A row that had no parent when it was written."""

    table: int
    name: str                        # of the foreign key
    row_key: bytes

    def foreign_key(self, rows: RowTransaction) -> tuple[Table, ForeignKey] | None:
        return _find_key(rows, self.table, self.name)

    def verify(self, rows: RowTransaction) -> None:
        """ForeignKeyViolation: the row is still there and still has none."""
        if (found := self.foreign_key(rows)) is not None:
            row = rows.get(rows.layout(self.table), self.row_key)
            if row is not None:
                Outgoing(rows, *found).verify(row)


# -------------------------------------------------------------------- the side of the parent

class Incoming:
    """One foreign key that points to a table, as the table's own writes use it. `positions`: of the columns it points
    to in the parent's rows."""

    __slots__ = ("_parent", "_pick", "child", "key", "positions")

    def __init__(self, rows: RowTransaction, child: Table, key: ForeignKey) -> None:
        self.child, self.key = child, key
        layout = rows.layout(key.target)
        places = [layout.positions[number] for number in key.target_columns]
        self.positions = frozenset(places)
        self._pick = picker(places)
        self._parent = ParentKeys(rows, layout, key.target_columns)

    def note(self, statement: RowStatement, old: Row, new: Row | None) -> None:
        """The row `old` has become `new`, or is gone."""
        values = self._pick(old)
        if None in values:
            return
        place = self._parent.place(values)
        became = None if new is None else self._pick(new)
        if became is None or None in became or self._parent.place(became) != place:
            statement.departures.append(Departure(self.child.id, self.key.name, place, values, became))


@dataclass(frozen=True, slots=True)
class Departure:
    """Values that were a parent's and are no more; `became`: what stands there instead in that row."""

    table: int                       # of the children
    name: str                        # of the foreign key
    place: bytes
    values: tuple[Value, ...] = field(compare=False)
    became: tuple[Value, ...] | None = field(compare=False)

    def foreign_key(self, rows: RowTransaction) -> tuple[Table, ForeignKey] | None:
        return _find_key(rows, self.table, self.name)

    def verify(self, rows: RowTransaction) -> None:
        """ForeignKeyViolation: there is no such parent again, and there are children."""
        if (found := self.foreign_key(rows)) is not None:
            child, key = found
            if not ParentKeys(rows, rows.layout(key.target), key.target_columns).exists(self.place):
                self.refuse_children(rows, child, key)

    def refuse_children(self, rows: RowTransaction, child: Table, key: ForeignKey) -> None:
        if next(_children(rows, child, key, [self]), None) is not None:
            raise violations.still_referenced(child, key, rows.catalog.table(key.target), self.values)


def _children(rows: RowTransaction, child: Table, key: ForeignKey, gone: Sequence[Departure]
              ) -> Iterator[tuple[Departure, bytes, Row]]:
    """(whose child, row key, row) of all children of `gone`."""
    layout = rows.layout(child.id)
    access = _child_access(layout, rows.catalog.table(key.target), key)
    if access is None:
        by_place = {departure.place: departure for departure in gone}
        outgoing = Outgoing(rows, child, key)
        cover_validated(rows.space, *layout.range())
        for row_key, row in rows.scan(layout):
            if (departure := by_place.get(outgoing.place(row) or b"")) is not None:
                yield departure, row_key, row
        return
    index, order = access
    for departure in gone:
        keys = layout.keys if index is None else index.keys
        prefix = keys.prefix_of(order(departure.values))
        cover_validated(rows.space, prefix, after(prefix))
        if index is None:
            for row_key, row in rows.scan(layout, prefix, after(prefix)):
                yield departure, row_key, row
            continue
        for entry, value in rows.space.scan(prefix, after(prefix)):
            row_key = index.row_key(entry, value)
            if (found := rows.get(layout, row_key)) is not None:
                yield departure, row_key, found


def _child_access(layout: TableLayout, target: Table, key: ForeignKey
                  ) -> tuple[IndexLayout | None, Callable[[Sequence[Any]], tuple[Any, ...]]] | None:
    """An index (None: the primary key) of the child that begins with the columns of the foreign key, and what brings
    a parent's values into its order."""
    for number, other in zip(key.columns, key.target_columns, strict=True):
        if not _same_keys(layout.table.column_by_id(number).type, target.column_by_id(other).type):
            return None
    count, wanted = len(key.columns), sorted(key.columns)
    if sorted(layout.table.primary_key[:count]) == wanted:
        return None, picker([key.columns.index(number) for number in layout.table.primary_key[:count]])
    for index in layout.indexes:
        if _is_plain(index.index) and sorted(first := _columns(index.index)[:count]) == wanted:
            return index, picker([key.columns.index(number) for number in first])
    return None


class _Change:
    """What becomes of one child: it goes, or gets these values."""

    __slots__ = ("defaulted", "old", "values")

    def __init__(self, old: Row) -> None:
        self.old = old
        self.values: list[Any] | None = list(old)
        self.defaulted: list[str] = []                       # foreign keys whose columns get their defaults


def act_on_children(statement: RowStatement, batch: Iterable[Departure]) -> list[Departure]:
    """Does to the children what the foreign keys say, and gives those departures that are only to be verified. All
    children are found before the first is changed: an update may exchange the keys of two parents."""
    rows = statement.rows
    by_key: dict[tuple[int, str, bool], list[Departure]] = {}
    for departure in batch:
        by_key.setdefault((departure.table, departure.name, departure.became is None), []).append(departure)
    left: list[Departure] = []
    changes: dict[tuple[int, bytes], _Change] = {}
    for (_, _, is_delete), departures in by_key.items():
        found = departures[0].foreign_key(rows)
        assert found is not None
        child, key = found
        action = key.on_delete if is_delete else key.on_update
        if action is Action.NO_ACTION:
            left += departures
        elif action is Action.RESTRICT:
            for departure in departures:
                departure.refuse_children(rows, child, key)
        else:
            for departure, row_key, row in _children(rows, child, key, departures):
                change = changes.setdefault((child.id, row_key), _Change(row))
                _plan_change(rows, change, child, key, action, departure.became)
    for (table, row_key), change in changes.items():
        _apply(statement, table, row_key, change)
    return left


def _plan_change(rows: RowTransaction, change: _Change, child: Table, key: ForeignKey, action: Action,
                 became: tuple[Value, ...] | None) -> None:
    if action is Action.CASCADE and became is None:
        change.values = None
    if change.values is None:
        return
    layout = rows.layout(child.id)
    places = [layout.positions[number] for number in key.columns]
    values: Sequence[Any] = [None] * len(places)
    if action is Action.SET_DEFAULT:
        values = [DEFAULT] * len(places)
        change.defaulted.append(key.name)
    elif action is Action.CASCADE:
        assert became is not None
        target = rows.catalog.table(key.target)
        values = [caster(target.column_by_id(other).type, child.columns[at].type, False)(value)
                  for at, other, value in zip(places, key.target_columns, became, strict=True)]
    for at, value in zip(places, values, strict=True):
        change.values[at] = value


def _apply(statement: RowStatement, table: int, row_key: bytes, change: _Change) -> None:
    writer = statement.writer(table)
    if change.values is None:
        writer.remove(row_key, change.old)
        return
    row = writer.replace(row_key, change.old, change.values)
    if change.defaulted:             # also where the default is the value that has just gone
        new_key = row_key if writer.layout.has_hidden_key else writer.layout.row_key(row)
        statement.orphans += [Orphan(table, name, new_key) for name in change.defaulted]


# -------------------------------------------------------------------- later

class PendingChecks:
    """What deferred constraints of one transaction have to look at before it commits, and which are deferred now.

    Nothing is ever taken off the list: after SET CONSTRAINTS ... IMMEDIATE inside a savepoint that is rolled back,
    the state is again one that must be checked.
    """

    __slots__ = ("_all", "_checks", "_entries", "_modes", "_rows")

    def __init__(self, rows: RowTransaction) -> None:
        self._rows = rows
        self._checks: dict[Orphan | Departure, None] = {}
        self._entries: dict[tuple[int, int, bytes], None] = {}           # table, index, key of a unique entry
        self._all: bool | None = None                                    # SET CONSTRAINTS ALL
        self._modes: dict[tuple[int, str], bool] = {}                    # ... of one constraint: (table, name)

    def is_deferred(self, table: int, constraint: ForeignKey | Index) -> bool:
        """Whether a constraint is to be checked at commit, as things stand."""
        if not constraint.is_deferrable:
            return False
        default = constraint.is_deferred if self._all is None else self._all
        return self._modes.get((table, constraint.name), default)

    def set_mode(self, names: Collection[tuple[int, str]] | None, is_deferred: bool) -> None:
        """SET CONSTRAINTS: for (table, constraint name) each, or all that are deferrable. Immediate: they are checked
        now. IntegrityViolation."""
        if names is None:
            self._all, self._modes = is_deferred, {}
        else:
            self._modes |= dict.fromkeys(names, is_deferred)
        if not is_deferred:
            self.check_now(names)

    def defer(self, check: Orphan | Departure) -> bool:
        """Keeps the check for later, if its foreign key is deferred."""
        found = check.foreign_key(self._rows)
        if found is None or not self.is_deferred(found[0].id, found[1]):
            return False
        self._checks[check] = None
        return True

    def defer_unique(self, table: Table, index: IndexLayout, entry: bytes) -> bool:
        """Keeps the unique key `entry` for later, if the constraint is deferred."""
        if not self.is_deferred(table.id, index.index):
            return False
        self._entries[table.id, index.index.id, entry] = None
        return True

    def check_now(self, names: Collection[tuple[int, str]] | None = None) -> None:
        """Verifies what was put off: all, or of the constraints (table, name) alone. IntegrityViolation."""
        for check in list(self._checks):
            if names is None or (check.table, check.name) in names:
                check.verify(self._rows)
        for number, index_id, entry in list(self._entries):
            table = self._rows.catalog.get(number)
            index = next((index for index in table.indexes if index.id == index_id), None) if isinstance(
                table, Table) else None
            if index is not None and (names is None or (number, index.name) in names):
                self._verify_unique(number, index_id, entry)

    def _verify_unique(self, table: int, index_id: int, entry: bytes) -> None:
        """One row at most has the key; it then gets the unique form."""
        rows = self._rows
        layout = rows.layout(table)
        index = layout.index(index_id)
        found = list(rows.space.scan(entry, after(entry), False, 2))
        if len(found) > 1:
            values = index.keys.decode(entry)
            raise violations.duplicate_entry(layout.table, index.index, index.keys.types, values)
        if found and not found[0][1]:
            rows.space.put(entry, index.row_key(*found[0]))
            rows.space.delete(found[0][0])


# -------------------------------------------------------------------- helpers

def _find_key(rows: RowTransaction, table: int, name: str) -> tuple[Table, ForeignKey] | None:
    """None: it was dropped meanwhile."""
    found = rows.catalog.get(table)
    key = next((key for key in found.foreign_keys if key.name == name), None) if isinstance(found, Table) else None
    return None if key is None else (found, key)             # type: ignore[return-value]


def _is_plain(index: Index) -> bool:
    """Whether it has one entry for each row, of values of stored columns, and may be used by reads."""
    return (index.state is IndexState.PUBLIC and index.predicate is None and not index.is_multi_key
            and all(part.column is not None and not part.path for part in index.columns))


def _columns(index: Index) -> list[int]:
    return [part.column for part in index.columns if part.column is not None]


def _same_keys(a: Type, b: Type) -> bool:
    """Whether equal values of the two types have equal keys."""
    return a.kind is b.kind and a.is_padded == b.is_padded


def _conversion(sources: Sequence[Type], targets: Sequence[Type]
                ) -> Callable[[tuple[Value, ...]], tuple[Value, ...]] | None:
    """Makes the values of a child comparable with those of its parent; None where they are already."""
    if all(_same_keys(source, target) for source, target in zip(sources, targets, strict=True)):
        return None
    casters = [caster(source, without_parameters(target), False) if not _same_keys(source, target) else _same
               for source, target in zip(sources, targets, strict=True)]
    return lambda values: tuple([cast(value) for cast, value in zip(casters, values, strict=True)])


def _same(value: Any) -> Any:
    return value
