"""Functions of documents that the vector executor calls with the bytes of the document: a field is read without the
rest. What they give is what the definitions in functions/json.py give.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phantomdb.core._ext.document import MISSING, encode, get
from phantomdb.core.query.functions.json_documents import text_of
from phantomdb.core.query.functions.registry import Resolved
from phantomdb.core.values import JSON, TEXT


def _field(document: bytes, name: str) -> bytes | None:
    found = get(document, (name,))
    return None if found is MISSING else encode(found)


def _field_text(document: bytes, name: str) -> str | None:
    found = get(document, (name,))
    return None if found is MISSING else text_of(found)


def on_bytes(resolved: Resolved) -> Callable[..., Any] | None:
    """The same function, taking and giving JSON as bytes; None: there is none."""
    if resolved.arguments == (JSON, TEXT) and resolved.overload.name in ("->", "->>"):
        return _field if resolved.overload.name == "->" else _field_text
    return None
