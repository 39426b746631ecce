"""Writes the last part of docs/documents.md from the tables of frontends/document: `python docs/make_documents.py`."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from phantomdb.frontends.document import (
    accumulators,
    expressions,
    filters,
    stages,
    stages_windows,
    update_operators,
    validators,
)

PAGE = Path(__file__).with_name("documents.md")
MARK = "## What is there\n"
INTRODUCTION = """
Made by `python docs/make_documents.py` from the tables in `frontends/document`; `tests/unit/test_document_page.py`
fails when it is out of date. Each name has a test: `tests/unit/test_document_*.py` fail where one has no example.
"""

FAMILIES = {"logic": "boolean, comparison, conditional, literal, variables",
            "numbers": "arithmetic, bits, trigonometry", "strings": "strings", "arrays": "arrays, sets",
            "objects": "objects", "dates": "dates", "types": "types, sizes, timestamps",
            "accumulators": "accumulators as expressions"}


def row(title: str, names: Iterable[str], missing: Iterable[str] = ()) -> str:
    shown = " ".join(f"`{name}`" for name in sorted(names))
    return f"| {title} | {shown} | {' '.join(f'`{name}`' for name in sorted(missing))} |"


def rows() -> Iterator[str]:
    yield row("query operators", filters.FILTER_OPERATORS, filters.UNSUPPORTED_FILTER_OPERATORS)
    yield row("update operators", update_operators.UPDATE_OPERATORS)
    yield row("in updates", ["$", "$[]", "$[name]", "arrayFilters", "pipelines", "$each", "$slice", "$sort",
                             "$position"])
    yield row("projections", ["$", "$elemMatch", "$slice", "expressions"], ["$meta"])
    yield row("stages", stages.STAGES, stages.UNSUPPORTED)
    yield row("accumulators", accumulators.ACCUMULATORS, accumulators.UNSUPPORTED_ACCUMULATORS)
    yield row("window functions, beside accumulators", stages_windows.WINDOW_FUNCTIONS,
              stages_windows.UNSUPPORTED_WINDOW_FUNCTIONS)
    for family, title in FAMILIES.items():
        yield row(f"expressions: {title}",
                  [operator.name for operator in expressions.OPERATORS.values() if operator.family == family])
    yield row("expressions that are not there", [], expressions.UNSUPPORTED)
    yield row("keywords of $jsonSchema", validators.SCHEMA_KEYWORDS, validators.UNSUPPORTED_SCHEMA_KEYWORDS)


def page() -> str:
    table = "\n".join(["| | there | an error that names it |", "|---|---|---|", *rows()])
    return f"{PAGE.read_text('utf-8').partition(MARK)[0]}{MARK}{INTRODUCTION}\n{table}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
