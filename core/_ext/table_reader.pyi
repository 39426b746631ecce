"""The open file of a sorted table; it has no Python face of its own (see table_file and table)."""
