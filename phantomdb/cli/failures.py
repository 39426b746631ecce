"""An error as the shell shows it: where in the statement, and what may be meant.

    ERROR:  function uper(unknown) does not exist  [undefined_function, 42883]
    LINE 1: select uper('x')
                   ^
    HINT:  did you mean upper?
"""
from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from phantomdb.cli.drawing import shown, width_of
from phantomdb.cli.words import KEYWORDS
from phantomdb.core.errors import PhantomError
from phantomdb.core.query.errors import QueryError, SyntaxFailure, UndefinedColumn, UndefinedFunction, UndefinedTable

LINE_COLUMNS = 100                       # of a long line so much is shown, around the position
_FUNCTION = re.compile(r"function (\w+)")
# What lists the things an error is about.
_LISTED: dict[type[QueryError], str] = {
    UndefinedTable: "\\d lists what is there", UndefinedColumn: "\\d NAME shows the columns of a table",
    UndefinedFunction: "\\df NAME* lists functions"}


def described(error: PhantomError, text: str, functions: Iterable[str] = ()) -> str:
    """Some lines. `functions`: those that may have been meant."""
    state = f", {error.sqlstate}" if isinstance(error, QueryError) else ""
    lines = [f"ERROR:  {shown(str(error))}  [{error.code}{state}]"]
    if isinstance(error, QueryError):
        if error.position is not None:
            lines += placed(text, error.position)
        if error.detail:
            lines.append(f"DETAIL:  {shown(error.detail)}")
    if hint := hinted(error, text, functions):
        lines.append(f"HINT:  {hint}")
    return "\n".join(lines)


def placed(text: str, position: int) -> list[str]:
    """The line of a position (characters from 1), and a caret below it."""
    at = min(max(position - 1, 0), len(text))
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line = text[start:] if end < 0 else text[start:end]
    column = at - start
    if len(line) > LINE_COLUMNS:
        cut = max(0, min(column - LINE_COLUMNS // 2, len(line) - LINE_COLUMNS))
        line, column = ("..." if cut else "") + line[cut:cut + LINE_COLUMNS], column - cut + (3 if cut else 0)
    head = f"LINE {text.count(chr(10), 0, at) + 1}: "
    before = width_of(head) + width_of(shown(line[:column]))
    return [head + shown(line), " " * before + "^"]


def hinted(error: PhantomError, text: str, functions: Iterable[str]) -> str:
    """What may be meant, or may be done; "" where nothing is known."""
    message = str(error)
    if isinstance(error, SyntaxFailure):
        return _misspelt(error, text)
    if "did you mean" in message:
        return ""
    if isinstance(error, UndefinedFunction) and (found := _FUNCTION.search(message)):
        near = difflib.get_close_matches(found[1].lower(), list(functions), 1, 0.7)
        if near:
            return f"did you mean {near[0]}?"
    for kind, listed in _LISTED.items():
        if isinstance(error, kind):
            return listed
    return "the same statement may succeed when it is run again" if error.retry else ""


def _misspelt(error: SyntaxFailure, text: str) -> str:
    """The word at the position, or the one before it, may be a keyword with a slip."""
    if error.position is None:
        return ""
    before = re.findall(r"\w+", text[:error.position - 1])[-1:]
    here = re.findall(r"\w+", text[error.position - 1:])[:1]
    for word in (*here, *before):
        near = difflib.get_close_matches(word.upper(), KEYWORDS, 1, 0.75)
        if near and near[0] != word.upper() and word.upper() not in KEYWORDS:
            return f"did you mean {near[0]}?"
    return ""
