"""A regular expression that backtracks without end is stopped: by its limit, the statement's deadline, or cancel."""
from __future__ import annotations

import threading
from typing import Any

import pytest

from phantomdb.core.query import context
from phantomdb.core.query.cancellation import Cancellation
from phantomdb.core.query.errors import (
    InvalidRegularExpression,
    StatementCancelled,
    StatementTimeout,
    StatementTooComplex,
)
from phantomdb.core.query.functions import expressions, registry
from phantomdb.core.values import TEXT

# takes longer than the age of the world
PATTERN, TEXT_VALUE = "^(a|aa|b?a)+$", "a" * 60 + "!"


def call(name: str, *arguments: str) -> Any:
    return registry.resolve(name, [TEXT] * len(arguments)).overload.python(*arguments)


def test_limit_of_one_match(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expressions, "MATCH_SECONDS_MAX", 0.1)
    with pytest.raises(StatementTooComplex) as caught:
        call("~", TEXT_VALUE, PATTERN)
    assert caught.value.sqlstate == "54001" and PATTERN in str(caught.value)
    for name in ("regexp_count", "regexp_replace", "similar to"):
        arguments = ("x",) if name == "regexp_replace" else ()
        pattern = PATTERN.strip("^$") if name == "similar to" else PATTERN
        with pytest.raises(StatementTooComplex):
            call(name, TEXT_VALUE, pattern, *arguments)


def test_deadline_of_the_statement() -> None:
    with context.use(context.StatementContext(cancellation=Cancellation(0.1))), pytest.raises(StatementTimeout):
        call("~", TEXT_VALUE, PATTERN)


def test_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expressions, "MATCH_SECONDS_MAX", 1.0)
    cancellation = Cancellation()
    timer = threading.Timer(0.05, cancellation.cancel)
    timer.start()
    with context.use(context.StatementContext(cancellation=cancellation)), pytest.raises(StatementCancelled):
        call("~", TEXT_VALUE, PATTERN)
    timer.join()


def test_harmless_patterns_match() -> None:
    assert call("~", "a" * 60, "^(a+)+$")
    assert call("regexp_replace", "1 22 333", "[0-9]+", "<\\&>") == "<1> 22 333"
    assert call("regexp_replace", "1 22 333", "[0-9]+", "<\\&>", "g") == "<1> <22> <333>"


@pytest.mark.parametrize("pattern", ["^*", "$+", "a|^?"])
def test_no_quantifier_of_a_constraint(pattern: str) -> None:
    with pytest.raises(InvalidRegularExpression):
        call("~", "a", pattern)
