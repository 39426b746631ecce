"""Lists of operations that made a database give a wrong answer once, shrunk, by what was wrong."""
from __future__ import annotations

from model import Operation

REGRESSIONS: dict[str, list[Operation]] = {
    # the newest timestamp was 0 in a new database, which readers take for "the newest, whenever"
    "a snapshot of an empty database": [
        ("snapshot", ("snapshot", 0), None), ("put", None, b"a", b"1"), ("get", ("snapshot", 0), b"a"),
        ("scan", ("snapshot", 0), None, None, False, None, None)],
    "a transaction on an empty database": [
        ("begin", ("transaction", 0), "serializable"), ("put", None, b"a", b"1"), ("get", ("transaction", 0), b"a"),
        ("put", ("transaction", 0), b"b", b"1"), ("commit", ("transaction", 0))],
    # a scan waited for the newest timestamp to differ from 0
    "a scan of an empty database": [("scan", None, None, None, True, None, None)],
    # a range delete around an empty range counted as a change in it
    "an empty range never conflicts": [
        ("begin", ("transaction", 0), "serializable"), ("scan", ("transaction", 0), b"b", b"b", False, None, None),
        ("scan", ("transaction", 0), b"b", b"a", True, None, None),
        ("scan", ("transaction", 0), b"b", None, False, None, 0), ("delete_range", None, b"a", b"c"),
        ("put", ("transaction", 0), b"x", b"1"), ("commit", ("transaction", 0))],
    # and an empty range delete inside a range that was written
    "an empty range delete changes nothing": [
        ("begin", ("transaction", 0), "snapshot"), ("delete_range", None, b"d", b"b"),
        ("delete_range", ("transaction", 0), b"a", b"x"), ("commit", ("transaction", 0))],
}
