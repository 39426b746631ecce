"""Expressions: $sum, $avg, $min, $max and the deviations of an array's elements or of several arguments."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from phantomdb.frontends.document.expression_base import Compile, Evaluate, compile_named, fail, plain, special


def _gathering(name: str) -> None:
    @plain(name, 0, None)
    def function(*items: Any) -> Any:
        from phantomdb.frontends.document.accumulators import start_state
        state = start_state(name)
        for item in items[0] if len(items) == 1 and isinstance(items[0], list | tuple) else items:
            state.add(item)
        return state.result()


for _name in ("$sum", "$avg", "$min", "$max", "$stdDevPop", "$stdDevSamp"):
    _gathering(_name)


def _share(name: str) -> Callable[[Any, Compile], Evaluate]:
    def compile_share(argument: Any, compile_: Compile) -> Evaluate:
        from phantomdb.frontends.document.accumulators import percentile_shares
        from phantomdb.frontends.document.expressions_arrays import percentiles
        if not isinstance(argument, Mapping):
            raise fail(7436201, f"{name} requires an object as its argument")
        compile_named(name, argument, ("input", "method") if name == "$median" else ("input", "method", "p"), (),
                      compile_)
        shares, source = percentile_shares(name, argument), compile_(argument["input"])

        def evaluate(document: Any, variables: Any) -> Any:
            items = source(document, variables)
            found = percentiles(items if isinstance(items, list) else [items], shares)
            return found[0] if name == "$median" else found
        return evaluate
    return compile_share


special("$median")(_share("$median"))
special("$percentile")(_share("$percentile"))
