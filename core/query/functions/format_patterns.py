"""Format strings of to_char and its kin, cut into their parts.

    'FMDD "of" Month'   ->   [DD with FM, ' ', 'o', 'f', ' ', Month]

A part is a pattern with its modifiers, or one character of other text. A backslash quotes a character between double
quotes; outside of them it only quotes a double quote.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """`text`: the pattern as it is written, or one character."""

    text: str
    is_pattern: bool
    fills: bool = False                  # FM: no blanks or zeros around
    translates: bool = False             # TM: names in the local language, which is always English here
    ordinal: str = ""                    # th, TH: 1st, 2nd
    is_quoted: bool = False

    @property
    def is_space(self) -> bool:
        return not self.is_pattern and not self.is_quoted and self.text.isspace()

    @property
    def is_separator(self) -> bool:
        """ASCII that is no letter, digit or blank."""
        return (not self.is_pattern and not self.is_quoted and "!" <= self.text <= "~" and not self.text.isalnum())


def parse(text: str, patterns: Sequence[str], *, has_modifiers: bool) -> tuple[Part, ...]:
    """`patterns`: the longer of two that begin alike stands first. `has_modifiers`: FM, TM before a pattern and TH
    after it are parts of the pattern; without, they may be patterns of their own."""
    parts, at = [], 0
    while at < len(text):
        fills = translates = False
        if has_modifiers:
            modifier = text[at:at + 2]
            if modifier in ("FM", "fm", "TM", "tm"):
                fills, translates, at = modifier in ("FM", "fm"), modifier in ("TM", "tm"), at + 2
        pattern = next((pattern for pattern in patterns if text.startswith(pattern, at)), None)
        if pattern is not None:
            at += len(pattern)
            ordinal = ""
            if has_modifiers and text[at:at + 2] in ("TH", "th"):
                ordinal, at = text[at:at + 2], at + 2
            elif has_modifiers and text[at:at + 2] == "SP":  # spelled out: accepted, without effect
                at += 2
            parts.append(Part(pattern, True, fills, translates, ordinal))
        elif text.startswith('"', at):
            at += 1
            while at < len(text) and text[at] != '"':
                at += text[at] == "\\" and at + 1 < len(text)
                parts.append(Part(text[at], False, is_quoted=True))
                at += 1
            at += 1
        elif at < len(text):
            at += text.startswith('\\"', at)
            parts.append(Part(text[at], False))
            at += 1
    return tuple(parts)


def ordinal_suffix(number: str) -> str:
    """st, nd, rd or th of a number written in digits."""
    if len(number) > 1 and number[-2] == "1":
        return "th"
    return {"1": "st", "2": "nd", "3": "rd"}.get(number[-1:], "th")
