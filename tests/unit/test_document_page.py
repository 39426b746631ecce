"""docs/documents.md says what the tables of the document frontend hold."""
from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_up_to_date() -> None:
    made = runpy.run_path(str(DOCS / "make_documents.py"))["page"]()
    assert (DOCS / "documents.md").read_text("utf-8") == made, "make it again: python docs/make_documents.py"


def test_the_page_names_every_expression() -> None:
    from phantomdb.frontends.document.expressions import OPERATORS
    text = (DOCS / "documents.md").read_text("utf-8")
    assert [name for name in OPERATORS if f"`{name}`" not in text] == []
