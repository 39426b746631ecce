"""A regular expression that may be stopped: compiled by the package `regex`, whose matches take a time limit.

    Expression(pattern, text of it as the user wrote it).search(text)      also fullmatch, matches

Backtracking may take longer than anyone waits: '^(a+)+$' against many letters a and one other. A match is given until
the statement's deadline, without one MATCH_SECONDS_MAX. It begins with the interpreter to itself, as most end within
microseconds; one that takes longer begins again and lets other threads run beside it.
"""
from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from phantomdb.core.query import context
from phantomdb.core.query.errors import InvalidRegularExpression, StatementTooComplex

if TYPE_CHECKING:
    import regex

MATCH_SECONDS_MAX = 10.0
_ALONE_SECONDS = 0.02
_SHOWN_CHARACTERS = 80
_Found = TypeVar("_Found")


class Expression:
    """`source` is the translated pattern, `pattern` what the user wrote. InvalidRegularExpression."""

    __slots__ = ("_compiled", "_pattern")

    def __init__(self, source: str, flags: int, pattern: str) -> None:
        import regex
        try:
            self._compiled = regex.compile(source, flags | regex.VERSION0, cache_pattern=False)
        except (regex.error, OverflowError, RecursionError, ValueError) as error:
            raise InvalidRegularExpression(f"invalid regular expression: {error}") from None
        self._pattern = pattern

    def search(self, text: str) -> regex.Match[str] | None:
        """The first match. StatementTooComplex: it takes too long. StatementTimeout, StatementCancelled."""
        try:
            return self._compiled.search(text, timeout=_ALONE_SECONDS)
        except TimeoutError:
            return self._longer(lambda **limits: self._compiled.search(text, **limits))

    def fullmatch(self, text: str) -> regex.Match[str] | None:
        """The match of the whole text; errors as of search()."""
        try:
            return self._compiled.fullmatch(text, timeout=_ALONE_SECONDS)
        except TimeoutError:
            return self._longer(lambda **limits: self._compiled.fullmatch(text, **limits))

    def matches(self, text: str, start: int = 0, count: int | None = None) -> list[regex.Match[str]]:
        """The first `count` matches (None: all) from a place on, one after the other; errors as of search()."""
        def find(**limits: Any) -> list[regex.Match[str]]:
            found = []
            for match in self._compiled.finditer(text, start, **limits):
                found.append(match)
                if len(found) == count:
                    break
            return found
        try:
            return find(timeout=_ALONE_SECONDS)
        except TimeoutError:
            return self._longer(find)

    def _longer(self, match: Callable[..., _Found]) -> _Found:
        cancellation = context.current().cancellation
        limit = MATCH_SECONDS_MAX
        if cancellation is not None:
            cancellation.check()
            if cancellation.deadline is not None:
                limit = max(cancellation.deadline - time.monotonic(), _ALONE_SECONDS)
        try:
            return match(timeout=limit, concurrent=True)
        except TimeoutError:
            if cancellation is not None:
                cancellation.check()
            raise StatementTooComplex("the regular expression takes too long to match: "
                                      f'"{self._pattern[:_SHOWN_CHARACTERS]}"') from None
