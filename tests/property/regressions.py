"""Lists of operations that made a database give a wrong answer once, shrunk, by what was wrong."""
from __future__ import annotations

from model import Operation

REGRESSIONS: dict[str, list[Operation]] = {}
