"""Files for the write-ahead log. No Python names: log calls it from C."""
