"""Where statements end in a text that comes line by line: at semicolons outside of quotes and comments.

    scanner.feed("select ';' -- one;\n")    nothing yet
    scanner.feed("from t; select 2;\n")     two statements

This much of SQL's grammar, and no more, is known here: '...' with '' in it, E'...' with backslashes, "...",
$tag$...$tag$, -- to the end of the line, /* ... */ inside each other.
"""
from __future__ import annotations

import re

_OPENING = re.compile(r"""[;'"]|--|/\*|\$([A-Za-z_]\w*)?\$""")
_QUOTE, _DOUBLE_QUOTE, _LINE_END, _COMMENT = (re.compile(text) for text in ("'", '"', "\n", r"/\*|\*/"))
_ESCAPED_QUOTE = re.compile(r"(?:[^'\\]|\\.|'')*'(?!')", re.DOTALL)
_BLANK = re.compile(r"(\s|--[^\n]*(\n|$))*")


class StatementScanner:
    """Give it text in whole lines, or all of it."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forgets what is not ended."""
        self._parts: list[str] = []      # what was given and is not ended
        self._closing: re.Pattern[str] | None = None         # ends the quote or comment that is open
        self._is_escaping = False        # it is a quote with backslashes
        self._depth = 0                  # of block comments

    @property
    def pending(self) -> str:
        """What was given and is not ended."""
        return "".join(self._parts)

    @property
    def is_blank(self) -> bool:
        """Nothing but blanks and comments is pending."""
        return self._closing is None and _BLANK.fullmatch(self.pending) is not None

    @property
    def is_quoted(self) -> bool:
        """The end lies in a quote or a block comment."""
        return self._closing is not None

    def feed(self, text: str) -> list[str]:
        """The statements that end in it, with their semicolons."""
        found: list[str] = []
        start = at = 0
        while True:
            if self._closing is not None:
                at = self._close(text, at)
                if at < 0:
                    break
                continue
            opening = _OPENING.search(text, at)
            if opening is None:
                break
            at = opening.end()
            if opening[0] == ";":
                self._parts.append(text[start:at])
                found.append(self.pending.lstrip())
                self._parts.clear()
                start = at
            else:
                self._open(text, opening)
        self._parts.append(text[start:])
        return found

    def take(self) -> str:
        """What is pending, as if it had ended."""
        text = self.pending.strip()
        self.clear()
        return text

    def _open(self, text: str, opening: re.Match[str]) -> None:
        mark, start = opening[0], opening.start()
        self._is_escaping = False
        if mark == "'":
            before = text[max(start - 2, 0):start]
            self._is_escaping = before[-1:] in ("e", "E") and not (before[:-1].isalnum() or before[:-1] in ("_", "$"))
            self._closing = _ESCAPED_QUOTE if self._is_escaping else _QUOTE
        elif mark == '"':
            self._closing = _DOUBLE_QUOTE
        elif mark == "--":
            self._closing = _LINE_END
        elif mark == "/*":
            self._closing, self._depth = _COMMENT, 1
        elif not (start and (text[start - 1].isalnum() or text[start - 1] == "_")):      # a dollar inside of a name
            self._closing = re.compile(re.escape(mark))

    def _close(self, text: str, at: int) -> int:
        """Behind the end of the open quote or comment, or of a comment inside it; -1: not in this text."""
        assert self._closing is not None
        found = self._closing.match(text, at) if self._is_escaping else self._closing.search(text, at)
        if found is None:
            return -1
        if self._depth:
            self._depth += 1 if found[0] == "/*" else -1
        if not self._depth:
            self._closing, self._is_escaping = None, False
        return found.end()
