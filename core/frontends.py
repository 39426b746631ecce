"""Frontends by name: languages over the same rows (SQL, documents, GraphQL), each in a package that core does not know.

    entry point group phantomdb.frontends       sql = phantomdb.frontends.sql.frontend:SqlFrontend

A frontend is a class with a `name` and a method `session(core session)`, which gives what programs talk to. A package
with such an entry point, once installed, adds one.
"""
from __future__ import annotations

from functools import cache
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, Protocol

from phantomdb.core.query.errors import FeatureNotSupported

if TYPE_CHECKING:
    from phantomdb.core.query.session import Session

GROUP = "phantomdb.frontends"


class Frontend(Protocol):
    """One language."""

    name: str

    def session(self, session: Session) -> Any:
        """The language over one session of the core."""


@cache
def frontend(name: str) -> Frontend:
    """FeatureNotSupported: none of this name is installed."""
    for entry in metadata.entry_points(group=GROUP, name=name):
        made: Frontend = entry.load()()
        return made
    # A source tree that was not installed has no entry points. Its own frontends are where their names say; they are
    # imported by that name, because core, which stands below them, may not import them.
    place = f"phantomdb.frontends.{name}"
    try:
        module = import_module(f"{place}.frontend")
    except ModuleNotFoundError as error:
        if error.name not in (place, f"{place}.frontend"):
            raise
        raise FeatureNotSupported(f'no frontend "{name}" is installed') from None
    own: Frontend = getattr(module, f"{name.capitalize()}Frontend")()
    return own
