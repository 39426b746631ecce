"""Which tables, columns and indexes there are, and how they change."""
