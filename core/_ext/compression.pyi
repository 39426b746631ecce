"""LZ4 for the other extensions, without the GIL; nothing here is called from Python."""
