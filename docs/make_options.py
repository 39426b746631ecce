"""Writes docs/options.md from the declarations in core/options.py: `python docs/make_options.py`."""
from __future__ import annotations

from pathlib import Path

from phantomdb.core.options import Options

HEAD = """# Options

Made by `python docs/make_options.py` from `core/options.py`; `tests/unit/test_docs.py` fails when it is out of date.

All are keyword arguments of `phantomdb.open`. Only `partitions` is fixed when a database is made; the others may differ
at each opening. [operations.md](operations.md) says when to change which.

"""

if __name__ == "__main__":
    Path(__file__).with_name("options.md").write_text(HEAD + Options.table(), "utf-8")
