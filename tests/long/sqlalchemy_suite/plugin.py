"""SQLAlchemy's pytest plugin with our dialect: what test_sqlalchemy_suite.py runs pytest with, as `-p plugin`.

The plugin changes how all tests of a run are collected, so the suite runs in a process of its own.
"""
from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.dialects import registry
from sqlalchemy.testing import provision

for _name in ("phantomdb", "phantomdb.phantomdb"):           # the suite asks with the driver's name as well
    registry.register(_name, "phantomdb.sqlalchemy", "PhantomDialect")
pytest.register_assert_rewrite("sqlalchemy.testing.assertions")

from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: E402, F403


@provision.set_default_schema_on_connection.for_db("phantomdb")
def _set_default_schema(_config: Any, connection: Any, schema: str) -> None:
    was_autocommit, connection.autocommit = connection.autocommit, True
    connection.execute(f"SET search_path = '{schema}'")
    connection.autocommit = was_autocommit


@provision.upsert.for_db("phantomdb")
def _upsert(_config: Any, table: Any, returning: Any, *, set_lambda: Any = None, sort_by_parameter_order: bool = False,
            index_elements: Any = None) -> Any:
    from sqlalchemy import inspect
    from sqlalchemy.dialects.postgresql import insert
    statement = insert(table)
    if set_lambda:
        keys = index_elements if index_elements is not None else inspect(table).selectable.primary_key
        statement = statement.on_conflict_do_update(index_elements=keys, set_=set_lambda(statement.excluded))
    else:
        statement = statement.on_conflict_do_nothing()
    return statement.returning(*returning, sort_by_parameter_order=sort_by_parameter_order)
