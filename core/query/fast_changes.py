"""Which changes are fast statements (fast.py), and what each is made of.

    INSERT INTO t VALUES (...)                      the row writer's insert, insert_many
        ON CONFLICT (key) DO UPDATE SET ...             the key is taken: get, then update
        ON CONFLICT DO NOTHING                          the key is taken: that is all
    UPDATE t SET a = ?, b = b + ? WHERE key = ?     get, then its update
    DELETE FROM t WHERE key = ?                     get, then its delete
        RETURNING ...                                   expressions over the row

A table with generated columns, foreign keys or rows that expire is left to the usual way; so is a statement that
computes what may be another value next time.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from phantomdb.core.query import plan
from phantomdb.core.query.fast import (
    Change, FastChange, FastStatement, Operand, Parameters, Row, are_exact, inserts, inserts_many, is_straight,
    values_of,
)
from phantomdb.core.query.fast_parts import Expressions, NotFast, Preparer, assigned, is_immutable, shape_of, unchecked
from phantomdb.core.tables.layout import TableLayout, picker, takes_values
from phantomdb.core.values import Type

if TYPE_CHECKING:
    from phantomdb.core._ext.transaction import TransactionCore
    from phantomdb.core.catalog.objects import Column

# (new row, old row or (), parameters) -> the row that RETURNING gives
Give = Callable[[Row, Row, Parameters], Row]


class ChangePreparer(Preparer):
    """Of one INSERT, UPDATE or DELETE."""

    def writable(self, table: int) -> TableLayout:
        """The layout of a table whose rows a RowWriter can keep."""
        layout = self.layout(table)
        if layout.writer is None or layout.generated or layout.table.foreign_keys or not all(
                is_immutable(check.condition.bound) for check in layout.table.checks):
            raise NotFast
        return layout

    def made(self, table: int, is_exact: bool, expressions: Expressions, returning: plan.Returning | None,
             apply: Change, apply_many: Callable[[TransactionCore, Sequence[Parameters]], Any] | None = None
             ) -> FastChange:
        names = None if returning is None else returning.names
        types = () if returning is None else tuple([item.column.type for item in returning.items])
        return FastChange(self.catalog, self.tag, is_exact and not expressions.has_parameters, table,
                          _guarded(apply, tuple(expressions.ints.items())), apply_many, names, types)

    def giver(self, returning: plan.Returning | None, layout: TableLayout, sources: dict[int, int],
              expressions: Expressions) -> Give | None:
        """`sources`: stored column of what RETURNING may name besides the new row, of the old one."""
        if returning is None:
            return None
        width = len(layout.table.columns)
        places = {item.column.id: layout.positions[item.source] for item in returning.stored if item.source > 0}
        places |= {number: width + layout.positions[source] for number, source in sources.items()
                   if source > 0 and number not in places}
        has_old = bool(sources)
        items = [expressions.compiled(item.expression, places, 2 * width if has_old else width)
                 for item in returning.items]

        def give(new: Row, old: Row, parameters: Parameters) -> Row:
            whole = (*new, *old, *parameters)
            return tuple([item(whole) for item in items])

        return give

    # ---- insert

    def insert(self, statement: plan.Insert) -> FastStatement:
        layout, source = self.writable(statement.table), statement.source
        if not isinstance(source, plan.Values) or len(source.rows) != 1:
            raise NotFast
        expressions = Expressions()
        give = self.giver(statement.returning, layout, {}, expressions)
        resolve = self.resolver(statement.on_conflict, layout, give, expressions)
        given = {column.id: expression for column, expression in zip(source.columns, source.rows[0], strict=True)}
        targets = {item.target: item.expression for item in statement.assignments}
        parts: list[tuple[plan.Expression | None, Column]] = []
        for column in layout.table.columns:
            expression = targets.get(column.id)
            if isinstance(expression, plan.Column):
                expression = given[expression.id]
            parts.append((None if isinstance(expression, plan.Default) else expression, column))
        operands = [self.stored(layout, *part, unchecked) for part in parts]
        next_ids = self.tables.sequences.next_row_ids
        if not are_exact(operands) or not all(takes_values(column.type) for _, column in parts):
            build = values_of([self.stored(layout, *part, assigned) for part in parts])
            return self.made(statement.table, False, expressions, statement.returning,
                             inserts(layout, next_ids, build, None, resolve, give))
        build = values_of(operands)
        assert layout.writer is not None
        apply = inserts(layout, next_ids, build, layout.writer.takes, resolve, give)
        if layout.checks or resolve is not None or give is not None:
            return self.made(statement.table, True, expressions, statement.returning, apply)
        many = inserts_many(layout, next_ids, None if is_straight(operands) else build)
        return self.made(statement.table, True, expressions, None, apply, many)

    def stored(self, layout: TableLayout, expression: plan.Expression | None, column: Column,
               operand: Callable[[plan.Expression, Type], Operand]) -> Operand:
        """What a new row has in the column, its default when there is no expression."""
        if expression is not None:
            return operand(expression, column.type)
        if column.default is not None:
            if not is_immutable(column.default.bound):
                raise NotFast
            evaluate = layout.defaults[layout.positions[column.id]]
            assert evaluate is not None
            return Operand(None, evaluate(()))
        if column.sequence is not None:
            sequence, take = self.catalog.sequence(column.sequence), self.tables.sequences.next
            return Operand(None, None, lambda _: take(sequence))
        return Operand(None)

    def resolver(self, clause: plan.OnConflict | None, layout: TableLayout, give: Give | None,
                 expressions: Expressions) -> Callable[[TransactionCore, Row, Parameters], Any] | None:
        """What an insert does where a unique key is taken: (transaction, row that was to be inserted, parameters)."""
        if clause is None:
            return None
        if clause.index is None and not clause.assignments:
            return lambda core, proposed, parameters: 0 if give is None else []
        if clause.index != layout.table.id or layout.has_hidden_key:
            raise NotFast
        pick_key = picker(layout.key_positions)
        reader = self.whole_rows(layout)
        replace = None if not clause.assignments else self.replacer(clause, layout, give, expressions)

        def resolve(core: TransactionCore, proposed: Row, parameters: Parameters) -> Any:
            found: Any = reader(core, pick_key(proposed))
            if not found:                                    # another unique key is taken: that is an error
                return None
            if replace is None:
                return 0 if give is None else []
            *values, row_key = found[0]
            existing = tuple(values)
            return replace(core, row_key, existing, (*existing, *proposed, *parameters), parameters)

        return resolve

    def replacer(self, clause: plan.OnConflict, layout: TableLayout, give: Give | None, expressions: Expressions
                 ) -> Callable[[TransactionCore, bytes, Row, Row, Parameters], Any]:
        """DO UPDATE: (transaction, row key, existing row, existing + proposed + parameters, parameters)."""
        width = len(layout.table.columns)
        places = {item.column.id: layout.positions[item.source] for item in clause.existing if item.source > 0}
        places |= {item.column.id: width + layout.positions[item.source] for item in clause.proposed if item.source > 0}
        condition = None if clause.condition is None else expressions.compiled(clause.condition, places, 2 * width)
        parts = [(layout.positions[item.target], expressions.compiled(item.expression, places, 2 * width))
                 for item in clause.assignments]
        write = writes(layout, give)

        def replace(core: TransactionCore, row_key: bytes, existing: Row, whole: Row, parameters: Parameters) -> Any:
            if condition is not None and condition(whole) is not True:
                return 0 if give is None else []
            values = list(existing)
            for position, evaluate in parts:
                values[position] = evaluate(whole)
            return write(core, row_key, existing, values, parameters)

        return replace

    # ---- update, delete

    def whole_rows(self, layout: TableLayout) -> Callable[[TransactionCore, Sequence[Any]], Any]:
        """(transaction, values of a key) -> a list of the row's values with its row key behind them, or of nothing."""
        columns = [column.id for column in layout.table.columns]
        return layout.reader(self.engine, [*columns, plan.ROW_KEY]).get

    def changed(self, statement: plan.Update | plan.Delete
                ) -> tuple[TableLayout, Callable[[TransactionCore, Parameters], Any], bool, dict[int, int]]:
        """The layout, what reads the row to change, whether that takes any classes, and the scan's columns."""
        layout = self.writable(statement.table)
        if self.catalog.referencing(statement.table):
            raise NotFast
        shape = shape_of(statement.source)
        if shape.scan.table != statement.table or shape.sources.get(statement.key.id) != plan.ROW_KEY:
            raise NotFast
        key = self.key_operands(shape)
        get, values = self.whole_rows(layout), values_of(key)
        return layout, lambda core, parameters: get(core, values(parameters)), are_exact(key), shape.sources

    def update(self, statement: plan.Update) -> FastStatement:
        layout, read, _, sources = self.changed(statement)
        expressions = Expressions()
        give = self.giver(statement.returning, layout, sources, expressions)
        columns = layout.table.columns
        places = {number: layout.positions[source] for number, source in sources.items() if source > 0}
        operands: list[tuple[int, Operand]] = []
        computed: list[tuple[int, Callable[[Row], Any]]] = []
        for item in statement.assignments:
            position = layout.positions[item.target]
            try:
                operands.append((position, assigned(item.expression, columns[position].type)))
            except NotFast:
                computed.append((position, expressions.compiled(item.expression, places, len(columns))))
        write = writes(layout, give)

        def apply(core: TransactionCore, parameters: Parameters) -> Any:
            found = read(core, parameters)
            if not found:
                return 0 if give is None else []
            values = list(found[0])
            row_key = values.pop()
            old = tuple(values)
            for position, operand in operands:
                values[position] = operand.of(parameters)
            if computed:
                whole = (*old, *parameters)
                for position, evaluate in computed:
                    values[position] = evaluate(whole)
            return write(core, row_key, old, values, parameters)

        # not exact: where no row is found, no codec would look at the values
        return self.made(statement.table, False, expressions, statement.returning, apply)

    def delete(self, statement: plan.Delete) -> FastStatement:
        layout, read, is_exact, sources = self.changed(statement)
        expressions = Expressions()
        give = self.giver(statement.returning, layout, sources, expressions)
        assert layout.writer is not None
        remove = layout.writer.delete

        def apply(core: TransactionCore, parameters: Parameters) -> Any:
            found = read(core, parameters)
            if not found:
                return 0 if give is None else []
            *values, row_key = found[0]
            old = tuple(values)
            remove(core, row_key, old)
            return 1 if give is None else [give(old, old, parameters)]

        return self.made(statement.table, is_exact, expressions, statement.returning, apply)


def writes(layout: TableLayout, give: Give | None
            ) -> Callable[[TransactionCore, bytes, Row, list[Any], Parameters], Any]:
    """What puts new values, once checked, in place of a row."""
    assert layout.writer is not None
    update, not_null, checks = layout.writer.update, layout.not_null, [holds for _, holds in layout.checks]

    def write(core: TransactionCore, row_key: bytes, old: Row, values: list[Any], parameters: Parameters) -> Any:
        for position in not_null:
            if values[position] is None:
                return None
        row = tuple(values)
        for holds in checks:
            if holds(row) is False:
                return None
        if not update(core, row_key, old, row):
            return None
        return 1 if give is None else [give(row, old, parameters)]

    return write


def _guarded(apply: Change, ints: Sequence[tuple[int, bool]]) -> Change:
    """Gives up where a whole number has not the size for which the expressions were made."""
    if not ints:
        return apply

    def guarded(core: TransactionCore, parameters: Parameters) -> Any:
        for index, is_small in ints:
            value = parameters[index]
            if value is not None and (not -1 << 63 <= value < 1 << 63 or (-1 << 31 <= value < 1 << 31) is not is_small):
                return None
        return apply(core, parameters)

    return guarded
