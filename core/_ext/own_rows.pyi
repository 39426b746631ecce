"""A transaction's own rows as a cursor. No Python names: transactions use the C functions."""
