"""Moves money between accounts, an SQL transaction each, and says so after each: the process that the demo kills.

    python flights_transfers.py FOLDER

The two updates of a transfer and its line in the journal are one transaction. Whenever the process dies, both accounts
have changed or none, and each transfer that was said is in the journal.
"""
from __future__ import annotations

import os
import random
import sys

import phantomdb

ACCOUNTS, START = 20, 1000
SCHEMA = f"""
CREATE TABLE account (id integer PRIMARY KEY, balance numeric(12,2) NOT NULL CHECK (balance >= 0));
CREATE TABLE journal (id integer PRIMARY KEY, source integer NOT NULL REFERENCES account,
    target integer NOT NULL REFERENCES account, amount numeric(12,2) NOT NULL);
INSERT INTO account SELECT id, {START} FROM generate_series(1, {ACCOUNTS}) AS g(id);
"""


def transfer(db: phantomdb.Database, number: int, source: int, target: int, amount: int) -> None:
    with db.transaction() as txn:
        txn.sql("UPDATE account SET balance = balance - ? WHERE id = ?", [amount, source])
        txn.sql("UPDATE account SET balance = balance + ? WHERE id = ?", [amount, target])
        txn.sql("INSERT INTO journal VALUES (?, ?, ?, ?)", [number, source, target, amount])


def main(folder: str) -> None:
    db = phantomdb.open(folder)
    db.sql(SCHEMA)
    chosen = random.Random(1)
    for number in range(1, 1_000_000):
        source, target = chosen.sample(range(1, ACCOUNTS + 1), 2)
        transfer(db, number, source, target, chosen.randrange(1, 10))
        os.write(1, b"%d\n" % number)


if __name__ == "__main__":
    main(sys.argv[1])
