"""Calls from code without the GIL to Python objects that stand in for files; nothing for Python."""
