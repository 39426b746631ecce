"""A database with a few tables and a SQL session on it, for tests of the SQL frontend."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import phantomdb
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.frontends.sql.frontend import SqlSession

ITEMS = """
CREATE TABLE item (id integer PRIMARY KEY, grp integer, name text, price double precision);
INSERT INTO item VALUES (1, 10, 'one', 1.5), (2, 10, 'two', 3.5), (3, 20, 'three', NULL);
"""


@contextmanager
def sql_database(setup: str = ITEMS) -> Iterator[SqlSession]:
    """A session on a database in memory, after the statements of `setup`."""
    with phantomdb.open("/db", file_system=MemoryFileSystem(), durability="none") as db:
        session = SqlSession(db.session())
        if setup:
            session.execute(setup)
        yield session
        session.session.close()
