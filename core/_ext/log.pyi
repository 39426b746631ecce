"""The write-ahead log. No Python names: the engine calls it from C; log_probe has the face for tests and tools."""
