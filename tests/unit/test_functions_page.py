"""docs/functions.md says what the registry has."""
from __future__ import annotations

import runpy
from pathlib import Path

from phantomdb.core.query.functions import registry

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_page_is_up_to_date() -> None:
    made = runpy.run_path(str(DOCS / "make_functions.py"))["page"]()
    assert (DOCS / "functions.md").read_text("utf-8") == made, "make it again: python docs/make_functions.py"


def test_page_names_all() -> None:
    page = (DOCS / "functions.md").read_text("utf-8").replace("\\|", "|")
    for overload in registry.all_overloads():
        assert f"| `{overload.name}` |" in page
