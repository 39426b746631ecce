"""A user's keys and values as bytes in memory. No Python names: the keyspaces use the C functions."""
