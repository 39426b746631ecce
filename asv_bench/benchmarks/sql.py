"""SQL statements as programs run them, through the DB-API: one statement a call, autocommit unless said otherwise.

The statements are those of an OLTP application: a table of `ROWS` rows with a primary key and an index, and a small one
that points to it. Each timed call runs `STATEMENTS` statements; divide by that for the time of one.
"""
from __future__ import annotations

import random
import shutil
import tempfile
from typing import Any

import phantomdb.dbapi

ROWS = 20_000
STATEMENTS = 1000
INSERT = "INSERT INTO item VALUES (?, ?, ?, ?, ?)"
Row = tuple[Any, ...]


def item(number: int) -> Row:
    return number, number * 7919 % (ROWS // 10), f"item number {number}", number * 1.5, "x" * 60


class _Database:
    def setup(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.db = phantomdb.dbapi.connect(self.folder, durability="none", autocommit=True)
        self.db.execute("CREATE TABLE item (id integer PRIMARY KEY, grp integer, name text, price double precision, "
                        "note text)")
        self.db.execute("CREATE INDEX item_grp ON item (grp)")
        self.db.execute("CREATE TABLE line (id integer PRIMARY KEY, item_id integer, qty integer)")
        rows = [item(number) for number in range(ROWS)]
        random.Random(1).shuffle(rows)
        self.db.executemany(INSERT, rows)
        choose = random.Random(2).randrange
        self.db.executemany("INSERT INTO line VALUES (?, ?, ?)", [(n, choose(ROWS), 1) for n in range(ROWS)])
        self.keys = [(choose(ROWS - 100),) for _ in range(STATEMENTS)]

    def teardown(self) -> None:
        self.db.close()
        shutil.rmtree(self.folder)


class Reads(_Database):
    def run(self, text: str, parameters: list[Row]) -> None:
        execute = self.db.execute
        for given in parameters:
            execute(text, given).fetchall()

    def time_point(self) -> None:
        self.run("SELECT id, grp, name, price FROM item WHERE id = ?", self.keys)

    def time_point_in_transaction(self) -> None:
        self.db.execute("BEGIN")
        self.time_point()
        self.db.execute("COMMIT")

    def time_10_rows_by_index(self) -> None:
        self.run("SELECT id, name, price FROM item WHERE grp = ?", [(key % (ROWS // 10),) for key, in self.keys])

    def time_join_by_key(self) -> None:
        self.run("SELECT line.qty, item.name FROM line JOIN item ON item.id = line.item_id "
                 "WHERE line.id = ?", self.keys)

    def time_100_rows(self) -> None:
        """A tenth as many statements."""
        self.run("SELECT id, name, price FROM item WHERE id >= ? ORDER BY id LIMIT 100", self.keys[::10])


class Writes(_Database):
    """Each call changes what the next one finds, but not how much."""

    number = 1
    warmup_time = 0.0

    def run(self, text: str, parameters: list[Row]) -> None:
        execute = self.db.execute
        for given in parameters:
            execute(text, given)

    def time_insert(self) -> None:
        self.run(INSERT, [item(ROWS + number) for number in range(STATEMENTS)])

    def time_update(self) -> None:
        self.run("UPDATE item SET price = ? WHERE id = ?", [(key + 0.5, key) for key, in self.keys])

    def time_update_in_transaction(self) -> None:
        self.db.execute("BEGIN")
        self.time_update()
        self.db.execute("COMMIT")

    def time_delete(self) -> None:
        self.run("DELETE FROM item WHERE id = ?", self.keys)

    def time_insert_many(self) -> None:
        self.db.executemany(INSERT, [item(ROWS + number) for number in range(STATEMENTS)])
