"""Arrow columns in the making, and their way out through the C data interface. For arrow_reader only."""
