"""The tables of information_schema and pg_catalog, made from the catalog when they are read.

    find("pg_catalog", "pg_class").rows(VirtualContext(catalog, "main"))      tuples

They are what psql, SQLAlchemy and other clients ask. Tables of the system itself are not listed in them.
"""
from __future__ import annotations

from phantomdb.core.catalog import virtual_information, virtual_pg, virtual_statistics
from phantomdb.core.catalog.virtual_table import TABLES, VirtualContext, VirtualTable

__all__ = ["VirtualContext", "VirtualTable", "find"]

SCHEMAS = ("pg_catalog", "information_schema")
_LOADED = (virtual_pg, virtual_statistics, virtual_information)      # each has put its tables into TABLES


def find(schema: str, name: str) -> VirtualTable | None:
    """A virtual table; without a schema, of pg_catalog."""
    return TABLES.get(f"{schema or 'pg_catalog'}.{name}")
