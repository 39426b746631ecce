"""Rows over the store: keys and records of tables, their indexes and constraints."""
