"""Writing the rows of one table in one statement: defaults, checks, keys, index entries.

    insert   defaults -> generated columns -> NOT NULL, CHECK -> unique keys free? -> row and entries
    update   the same for the new row; only entries that change are touched; a new primary key moves the row
    delete   row and entries

A unique key is free when a read through the transaction finds nothing: the commit validates that read, so of two
transactions that write one key, one is refused. What an update puts at a new unique key waits until the statement has
taken away all that it takes away (`settle`).
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phantomdb.core.query.errors import CardinalityViolation
from phantomdb.core.query.evaluate import Evaluator
from phantomdb.core.tables import violations
from phantomdb.core.tables.constraints import Incoming, Outgoing
from phantomdb.core.tables.layout import IndexLayout, Row, TableLayout
from phantomdb.core.tables.rows import DEFAULT, get_validated

if TYPE_CHECKING:
    from phantomdb.core.tables.statement import RowStatement


@dataclass(frozen=True, slots=True)
class OnConflict:
    """What insert() does where a unique key is taken. `index`: the only one that counts, the table's own id for the
    primary key, None for any. `update(existing row, row that was to be inserted)` gives the values of the new row, or
    None to leave the existing one alone; no `update`: leaves it alone always."""

    index: int | None = None
    update: Callable[[Row, Row], Sequence[Any] | None] | None = None


# What waits until the statement has removed what it removes: the index (None: the row itself), whole key, value, row.
_Waiting = tuple[IndexLayout | None, bytes, bytes, Row]


class TableWriter:
    """Made by RowStatement.writer(). Rows are in the order of the table's columns; a value that is not given is
    DEFAULT. Values have the Python types of core/values.py and are not changed by anybody afterwards."""

    __slots__ = ("_defaults", "_incoming", "_outgoing", "_rows", "_statement", "_touched", "_waiting", "layout")

    def __init__(self, statement: RowStatement, layout: TableLayout) -> None:
        self._statement, self._rows, self.layout = statement, statement.rows, layout
        rows, table = self._rows, layout.table
        rows.fence(table.id)
        self._defaults: list[Evaluator | None] | None = None     # made when one is asked for
        self._outgoing = [Outgoing(rows, table, key) for key in table.foreign_keys]
        self._incoming: list[Incoming] | None = None             # as above
        self._touched: set[bytes] = set()                        # row keys this statement has changed
        self._waiting: list[_Waiting] = []

    # ---- what statements call

    def insert(self, values: Sequence[Any], on_conflict: OnConflict | None = None) -> Row | None:
        """Adds a row; gives it as it is stored. With `on_conflict`, the updated row, or None when nothing was done.
        NotNullViolation, CheckViolation, UniqueViolation, CardinalityViolation, and what defaults raise."""
        row = self.completed(values)
        layout = self.layout
        row_id = self._rows.sequences.next_row_ids(layout.table.id, 1).start if layout.has_hidden_key else None
        if on_conflict is None and layout.writer is not None and not self._outgoing and (
                layout.writer.insert(self._rows.transaction.core, row, row_id)):
            return row
        row_key = layout.row_key(row) if row_id is None else layout.hidden_row_key(row_id)
        key = layout.keys.prefix + row_key
        entries = [(index, index.entries(row, row_key)) for index in layout.indexes]
        if on_conflict is not None:
            existing = self._taken_key(key, row_key, entries, on_conflict.index)
            if existing is not None:
                return self._resolve(existing, row, on_conflict)
            if on_conflict.update is not None:
                self._touched.add(row_key)
        self._require_free(key, row_key, row, entries)
        put = self._rows.space.put
        put(key, layout.record(row))
        for _, found in entries:
            for entry, value in found.items():
                put(entry, value)
        for outgoing in self._outgoing:
            outgoing.require(self._statement, row, row_key)
        return row

    def update(self, row_key: bytes, old: Row, values: Sequence[Any]) -> Row | None:
        """Replaces the row `old` at `row_key`; gives the new row as it is stored, or None when this statement changed
        it before. Errors as of insert(), some of them only at the statement's end."""
        if row_key in self._touched:
            return None
        self._touched.add(row_key)
        return self.replace(row_key, old, values)

    def delete(self, row_key: bytes, old: Row) -> bool:
        """Removes the row `old` at `row_key`; False when this statement changed it before."""
        if row_key in self._touched:
            return False
        self._touched.add(row_key)
        self.remove(row_key, old)
        return True

    # ---- what actions of foreign keys call too, any number of times for a row

    def replace(self, row_key: bytes, old: Row, values: Sequence[Any], *, waits: bool = True) -> Row:
        """update(), also of a row that was changed before. `waits`: unique keys may be free only at the end."""
        row = self.completed(values)
        layout, space = self.layout, self._rows.space
        changed = {position for position, value in enumerate(row) if value is not old[position]}
        if layout.writer is not None and layout.writer.update(self._rows.transaction.core, row_key, old, row):
            self._note_change(changed, row_key, old, row)
            return row
        moves = not changed.isdisjoint(layout.key_positions)
        new_key = layout.row_key(row) if moves else row_key
        moves = new_key != row_key
        waiting: list[_Waiting] = []
        for index in layout.indexes:
            if moves or not index.inputs.isdisjoint(changed):
                before, now = index.entries(old, row_key), index.entries(row, new_key)
                for entry, value in before.items():
                    if now.get(entry) != value:
                        self._remove_entry(index, entry, value, row_key)
                for entry, value in now.items():
                    if before.get(entry) == value:
                        continue
                    if value or moves:               # the new row key may be another row's until that moves, too
                        waiting.append((index, entry, value, row))
                    else:
                        space.put(entry, value)
        key, record = layout.key_of(new_key), layout.record(row)
        if moves:
            space.delete(layout.key_of(row_key))
            waiting.append((None, key, record, row))
        else:
            space.put(key, record)
        if waits:
            self._waiting += waiting
        else:
            self._place(waiting)
        self._note_change(changed, new_key, old, row)
        return row

    def _note_change(self, changed: set[int], row_key: bytes, old: Row, row: Row) -> None:
        """What foreign keys have to know of a row that now is at `row_key`."""
        for outgoing in self._outgoing:
            if not outgoing.positions.isdisjoint(changed):
                outgoing.require(self._statement, row, row_key)
        for incoming in self._keys_to_this():
            if not incoming.positions.isdisjoint(changed):
                incoming.note(self._statement, old, row)

    def remove(self, row_key: bytes, old: Row) -> None:
        """delete(), also of a row that was changed before."""
        if self.layout.writer is not None:
            self.layout.writer.delete(self._rows.transaction.core, row_key, old)
        else:
            for index in self.layout.indexes:
                for entry, value in index.entries(old, row_key).items():
                    self._remove_entry(index, entry, value, row_key)
            self._rows.space.delete(self.layout.key_of(row_key))
        for incoming in self._keys_to_this():
            incoming.note(self._statement, old, None)

    def add_entries(self, index: IndexLayout, row: Row, row_key: bytes) -> None:
        """Adds the entries in one index of a row that is stored (the index is being built). UniqueViolation."""
        space = self._rows.space
        for entry, value in index.entries(row, row_key).items():
            if value and (other := get_validated(space, entry)) is not None:
                if other == row_key:
                    continue
                if not self._is_swept(other):
                    space.put(self._second_place(index, entry, row, row_key), b"")
                    continue
            space.put(entry, value)

    def settle(self) -> None:
        """Puts what waits. UniqueViolation."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._place(waiting)

    def default(self, position: int) -> Any:
        """The default of a column, computed now."""
        if self._defaults is None:
            self._defaults = [self._default_of(at) for at in range(len(self.layout.table.columns))]
        evaluate = self._defaults[position]
        return None if evaluate is None else evaluate(())

    def _keys_to_this(self) -> list[Incoming]:
        """The foreign keys that point to this table."""
        if self._incoming is None:
            table, rows = self.layout.table, self._rows
            own = [(table, key) for key in table.foreign_keys if key.target == table.id]
            self._incoming = [Incoming(rows, child, key) for child, key in (*own, *rows.catalog.referencing(table.id))]
        return self._incoming

    # ---- values

    def completed(self, values: Sequence[Any]) -> Row:
        """The row as it is stored: defaults and generated columns filled in, checked by itself."""
        layout = self.layout
        row = list(values)
        for position, value in enumerate(row):
            if value is DEFAULT:
                row[position] = self.default(position)
        for position, compute in layout.generated:
            row[position] = compute(row)
        for position in layout.not_null:
            if row[position] is None:
                raise violations.not_null(layout.table, position, row)
        for name, holds in layout.checks:
            if holds(row) is False:
                raise violations.check(layout.table, name, row)
        return tuple(row)

    def _default_of(self, position: int) -> Evaluator | None:
        column, given = self.layout.table.columns[position], self.layout.defaults[position]
        if given is not None or column.sequence is None:
            return given
        sequence, sequences = self._rows.catalog.sequence(column.sequence), self._rows.sequences
        return lambda row: sequences.next(sequence)

    # ---- unique keys

    def _require_free(self, key: bytes, row_key: bytes, row: Row,
                      entries: list[tuple[IndexLayout, dict[bytes, bytes]]]) -> None:
        """Every unique key of a new row. A deferred one that is taken gets the non-unique form."""
        space = self._rows.space
        if not self.layout.has_hidden_key and get_validated(space, key) is not None and not self._is_swept(row_key):
            raise self._duplicate_row(row)
        for index, found in entries:
            if not index.index.is_unique:
                continue
            for entry, value in list(found.items()):
                if value and (other := get_validated(space, entry)) is not None and not self._is_swept(other):
                    del found[entry]
                    found[self._second_place(index, entry, row, row_key)] = b""

    def _place(self, waiting: Sequence[_Waiting]) -> None:
        space = self._rows.space
        for index, key, value, row in waiting:
            if not value or (other := get_validated(space, key)) is None or self._is_swept(
                    other if index is not None else key[len(self.layout.keys.prefix):]):
                space.put(key, value)
            elif index is None:
                raise self._duplicate_row(row)
            else:
                space.put(self._second_place(index, key, row, value), b"")

    def _second_place(self, index: IndexLayout, entry: bytes, row: Row, row_key: bytes) -> bytes:
        """The key of an entry whose unique key is taken, to be looked at when the constraint is checked."""
        if index.index.is_deferrable and self._rows.pending.defer_unique(self.layout.table, index, entry):
            return entry + row_key
        values = next(values for values in index.values(row) if index.keys.prefix + index.keys.encode(values) == entry)
        raise violations.duplicate_entry(self.layout.table, index.index, index.keys.types, values)

    def _duplicate_row(self, row: Row) -> Exception:
        return violations.duplicate_key(self.layout.table, [row[position] for position in self.layout.key_positions])

    def _remove_entry(self, index: IndexLayout, entry: bytes, value: bytes, row_key: bytes) -> None:
        space = self._rows.space
        if value and index.owns_by_value and get_validated(space, entry) != row_key:
            entry += row_key
        space.delete(entry)

    def _is_swept(self, row_key: bytes) -> bool:
        """Whether the row that is in the way has expired; then it is removed."""
        layout = self.layout
        if layout.expiry is None:
            return False
        key = layout.key_of(row_key)
        record = self._rows.space.get(key)
        if record is None:
            return False
        row = layout.decode(key, record)
        if layout.expiry.is_alive(row, self._rows.now):
            return False
        self.remove(row_key, row)
        return True

    # ---- ON CONFLICT

    def _taken_key(self, key: bytes, row_key: bytes, entries: list[tuple[IndexLayout, dict[bytes, bytes]]],
                   wanted: int | None) -> bytes | None:
        """The row key of a row in the way of a new one, at the unique keys that count."""
        space, layout = self._rows.space, self.layout
        if (wanted is None or wanted == layout.table.id) and not layout.has_hidden_key and (
                get_validated(space, key) is not None and not self._is_swept(row_key)):
            return row_key
        for index, found in entries:
            if index.index.is_unique and wanted in (None, index.index.id):
                for entry, value in found.items():
                    if value and (other := get_validated(space, entry)) is not None and not self._is_swept(other):
                        return other
        return None

    def _resolve(self, row_key: bytes, row: Row, on_conflict: OnConflict) -> Row | None:
        if on_conflict.update is None:
            return None
        if row_key in self._touched:
            raise CardinalityViolation("ON CONFLICT DO UPDATE command cannot affect row a second time",
                                       table=self.layout.table.name)
        existing = self._rows.get(self.layout, row_key)
        assert existing is not None
        values = on_conflict.update(existing, row)
        if values is None:
            return None
        replaced = self.replace(row_key, existing, values, waits=False)
        self._touched |= {row_key, self.layout.row_key(replaced) if self.layout.key_positions else row_key}
        return replaced
