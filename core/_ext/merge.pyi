"""Merging cursors and the rule of visibility. Everything here is for C; see cursor_probe for a Python face."""
