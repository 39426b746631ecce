"""Sorts the nodes of a memtable that was filled without order; nothing public."""
