"""to_char and to_number: numbers written and read by PostgreSQL's patterns.

    to_char(-1234.5, '9G999D00')   ->   '-1,234.50'          to_number('1,234.50-', '9G999D99S')   ->   -1234.50

A template is a row of places: 9 for a digit, 0 for a digit or a zero, and signs, points and text between them. What
stands where hangs on all of them, so the template is first summed up (_Template), then walked place by place. The
locale is always C: a point, commas, no currency.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache

from phantomdb.core.query.cast_numbers import EXACT, read_numeric, round_half_away
from phantomdb.core.query.errors import (
    FeatureNotSupported,
    InvalidTextRepresentation,
    NumericValueOutOfRange,
    SyntaxFailure,
)
from phantomdb.core.query.functions.format_patterns import Part, ordinal_suffix, parse

_UPPER = ", . 0 9 B C D EEEE FM G L MI PL PR RN SG SP S TH V".split()
_PATTERNS = tuple(sorted([*_UPPER, *(pattern.lower() for pattern in _UPPER if pattern.isalpha()), "rn", "th"],
                         key=len, reverse=True))
_ROMAN = ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"),
          (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))
_ROMAN_COLUMNS = 15
_FLOAT_DIGITS = {32: 6, 64: 15}          # that a float surely has
_DATA = "0123456789.,+-"                 # what to_number does not skip for a currency sign and the like


@dataclass(slots=True)
class _Template:
    """What the places add up to."""

    parts: tuple[Part, ...]
    before: int = 0                      # digits before the point
    after: int = 0                       # ... and after it
    shift: int = 0                       # digits after V
    first_zero: int | None = None        # position of the first 0 before the point, from 0
    last_zero: int = 0                   # digits up to the last 0
    has_point: bool = False
    has_shift: bool = False
    fills: bool = False                  # FM
    sign: str = ""                       # S before or after the number: "leading", "trailing"
    sign_position: int = 0               # digits before a leading S
    has_minus: bool = False              # MI, SG
    has_plus: bool = False               # PL, SG
    has_brackets: bool = False
    is_roman: bool = False
    is_scientific: bool = False
    is_blank: bool = False               # B before all digits: only EEEE minds

    @property
    def has_own_sign(self) -> bool:
        return self.has_minus or self.has_plus


def _refuse(text: str) -> SyntaxFailure:
    return SyntaxFailure(text)


@lru_cache(maxsize=512)
def _template(text: str) -> _Template:
    template = _Template(parse(text, _PATTERNS, has_modifiers=False))
    for part in template.parts:
        if part.is_pattern:
            if template.is_scientific:
                raise _refuse('"EEEE" must be the last pattern used')
            _TAKE.get(part.text.upper(), _take_nothing)(template)
    return template


def _take_nothing(_template: _Template) -> None:
    """Currency, groups, ordinals and blanks change nothing about the number."""


def _take_digit(template: _Template, *, is_zero: bool) -> None:
    if template.has_brackets:
        raise _refuse(f'"{0 if is_zero else 9}" must be ahead of "PR"')
    if template.has_shift and not is_zero:
        template.shift += 1
        return
    if is_zero and template.first_zero is None and not template.has_point:
        template.first_zero = template.before
    if template.has_point:
        template.after += 1
    else:
        template.before += 1
    if is_zero:
        template.last_zero = template.before + template.after


def _take_point(template: _Template) -> None:
    if template.has_point:
        raise _refuse("multiple decimal points")
    if template.has_shift:
        raise _refuse('cannot use "V" and decimal point together')
    template.has_point = True


def _take_shift(template: _Template) -> None:
    if template.has_point:
        raise _refuse('cannot use "V" and decimal point together')
    template.has_shift = True


def _take_sign(template: _Template) -> None:
    if template.sign:
        raise _refuse('cannot use "S" twice')
    if template.has_own_sign or template.has_brackets:
        raise _refuse('cannot use "S" and "PL"/"MI"/"SG"/"PR" together')
    template.sign = "trailing" if template.has_point else "leading"
    template.sign_position = template.before


def _own_sign(name: str, *, minus: bool, plus: bool) -> Callable[[_Template], None]:
    def take(template: _Template) -> None:
        if template.sign:
            raise _refuse(f'cannot use "S" and "{name}" together')
        template.has_minus |= minus
        template.has_plus |= plus
    return take


def _take_brackets(template: _Template) -> None:
    if template.sign or template.has_own_sign:
        raise _refuse('cannot use "PR" and "S"/"PL"/"MI"/"SG" together')
    template.has_brackets = True


def _take_scientific(template: _Template) -> None:
    if (template.fills or template.sign or template.has_brackets or template.has_own_sign or template.is_roman
            or template.has_shift or template.is_blank):
        raise _refuse('"EEEE" is incompatible with other formats')
    template.is_scientific = True


def _take_blank(template: _Template) -> None:
    template.is_blank |= not template.before and not template.after


def _take_fill(template: _Template) -> None:
    template.fills = True


def _take_roman(template: _Template) -> None:
    template.is_roman = True


_TAKE: dict[str, Callable[[_Template], None]] = {
    "9": lambda t: _take_digit(t, is_zero=False), "0": lambda t: _take_digit(t, is_zero=True), ".": _take_point,
    "D": _take_point, "V": _take_shift, "S": _take_sign, "MI": _own_sign("MI", minus=True, plus=False),
    "PL": _own_sign("PL", minus=False, plus=True), "SG": _own_sign("SG", minus=True, plus=True),
    "PR": _take_brackets, "EEEE": _take_scientific, "FM": _take_fill, "B": _take_blank, "RN": _take_roman,
}


# ---- to_char

def format_numeric(value: Decimal, text: str) -> str | None:
    template = _template(text)
    if not text:
        return None
    if template.is_roman:
        return _place(template, _roman(round_half_away(value, 0)), "")
    if template.is_scientific:
        return _signed(_scientific(value, template.after))
    if template.has_shift:
        value = EXACT.scaleb(value, template.shift)
    return _digits(template, f"{round_half_away(value, template.after):f}")


def format_int(value: int, text: str) -> str | None:
    return format_numeric(Decimal(value), text)


def format_float(value: float, text: str, bits: int = 64) -> str | None:
    template = _template(text)
    if not text:
        return None
    if template.is_roman:
        return _place(template, _roman(Decimal(round(value)) if math.isfinite(value) else Decimal(0)), "")
    if template.is_scientific:
        if not math.isfinite(value):
            return " " + "#" * template.before + "." + "#" * (template.after + 4)
        return _signed(f"{value:.{template.after}e}")
    if not math.isfinite(value):
        special = "NaN" if math.isnan(value) else "Infinity"
        return _digits(template, "-" + special if value < 0 else special)
    if template.has_shift:
        value *= 10.0 ** template.shift
    whole_digits, digits = len(f"{abs(value):.0f}"), _FLOAT_DIGITS[bits]
    # digits a float does not have are not shown
    after = 0 if whole_digits >= digits else min(template.after, digits - whole_digits)
    return _digits(replace(template, after=after), f"{value:.{after}f}")


def _signed(text: str) -> str:
    return text if text.startswith("-") else " " + text


def _scientific(value: Decimal, digits: int) -> str:
    exponent = value.adjusted() if value else 0
    mantissa = round_half_away(EXACT.scaleb(value, -exponent), digits)
    if abs(mantissa) >= 10:
        exponent, mantissa = exponent + 1, round_half_away(EXACT.scaleb(mantissa, -1), digits)
    return f"{mantissa:f}e{'-' if exponent < 0 else '+'}{abs(exponent):02}"


def _roman(value: Decimal) -> str:
    number = int(value)
    if not 1 <= number <= 3999:
        return "#" * _ROMAN_COLUMNS
    letters = ""
    for worth, sign in _ROMAN:
        letters, number = letters + sign * (number // worth), number % worth
    return letters


def _digits(template: _Template, text: str) -> str:
    """`text`: the number, rounded to the places there are."""
    sign, number = ("-", text[1:]) if text.startswith("-") else ("+", text)
    places = template.before + template.shift
    length = len(number.split(".")[0])
    if length > places:
        number = "#" * places + "." + "#" * template.after
    return _place(template, number, sign, max(places - length, 0))


def _place(template: _Template, number: str, sign: str, blanks: int = 0) -> str:
    return _Writer(template, number, sign, blanks).write()


class _Writer:
    """Walks the places once. `place` counts those of digits, `at` the digits of the number written so far."""

    def __init__(self, template: _Template, number: str, sign: str, blanks: int) -> None:
        self.template, self.number, self.sign, self.blanks = template, number, sign, blanks
        self.out: list[str] = []
        self.place = self.at = 0
        self.in_number = False
        self.leads = template.sign
        if self.leads == "leading" and template.sign_position == template.before + template.shift:
            self.leads = "trailing"
        self.brackets = template.has_brackets and not (template.fills and sign != "-")
        if template.has_own_sign:
            self.sign_done = not (template.has_plus and not template.has_minus)
        else:
            self.sign_done = sign == "+" and template.fills and not template.sign
        self.count = template.before + template.shift + template.after - 1
        self.last_relevant: int | None = None                # where the digits that count end, with FM
        if template.fills and template.has_point and "." in number:
            self.last_relevant = max(number.index("."), len(number.rstrip("0")) - 1)
            if template.last_zero > blanks:
                self.last_relevant = max(self.last_relevant, min(len(number) - 1, template.last_zero - blanks))
        if not self.sign_done and blanks == 0:
            self.count += 1

    def write(self) -> str:
        for part in self.template.parts:
            if not part.is_pattern:
                self.out.append(part.text)
            elif part.text.upper() in ("9", "0", ".", "D"):
                if not self.template.is_roman:
                    self.digit(part.text)
            else:
                self.out.append(self.sign_or_text(part))
        return "".join(self.out).split("\0")[0]

    def sign_or_text(self, part: Part) -> str:
        fills, sign = self.template.fills, self.sign
        match part.text.upper():
            case "," | "G":
                return "," if self.in_number else "" if fills else " "
            case "L":
                return " "
            case "MI":
                return "-" if sign == "-" else "" if fills else " "
            case "PL":
                return "+" if sign == "+" else "" if fills else " "
            case "SG":
                return sign or "\0"       # a Roman number has none, and ends there, as PostgreSQL's does
            case "RN":
                roman = self.number if part.text == "RN" else self.number.lower()
                return roman if fills else roman.rjust(_ROMAN_COLUMNS)
            case "TH":
                if self.template.is_roman or self.number[0] == "#" or sign == "-" or self.template.has_point:
                    return ""
                if not self.number[-1].isdigit():
                    raise InvalidTextRepresentation(f'"{self.number}" is not a number')
                suffix = ordinal_suffix(self.number)
                return suffix.upper() if part.text == "TH" else suffix
        return ""

    @property
    def is_hidden_zero(self) -> bool:
        """The zero of 0.5, where the template has no 0 before the point."""
        return (self.template.first_zero is None and self.at == 0 and self.number[:1] == "0"
                and self.template.after != 0)

    def ends_at(self, text: str) -> bool:
        return self.last_relevant is not None and self.number[self.last_relevant] == text

    def digit(self, pattern: str) -> None:
        zero_from = self.template.first_zero
        has_zero = zero_from is not None
        if not self.sign_done and (self.place >= self.blanks or zero_from == self.place) and (
                not self.is_hidden_zero or self.ends_at(".")):
            self.leading_sign()
        if self.place < self.blanks and (zero_from is None or zero_from > self.place):
            if not self.template.fills:
                self.out.append(" ")
        elif has_zero and self.place < self.blanks:
            self.out.append("0")
            self.in_number = True
        else:
            self.number_digit(pattern)
        end = self.count + (1 if self.blanks else 0) + (1 if self.template.has_point else 0)
        if self.last_relevant is not None and self.last_relevant == self.at:
            end = self.place
        if self.place + 1 == end:
            if self.sign_done and self.brackets:
                self.out.append(" " if self.sign == "+" else ">")
            elif self.leads == "trailing":
                self.out.append(self.sign)
        self.place += 1

    def leading_sign(self) -> None:
        if self.template.sign:
            if self.leads == "leading":
                self.out.append(self.sign)
                self.sign_done = True
            return
        if self.brackets:
            self.out.append(" " if self.sign == "+" else "<")
        elif self.sign == "-":
            self.out.append("-")
        elif not self.template.fills:
            self.out.append(" ")
        self.sign_done = True

    def number_digit(self, pattern: str) -> None:
        letter = self.number[self.at:self.at + 1]
        if letter == ".":
            self.out.append(".")
            self.in_number = False
        elif self.last_relevant is not None and self.at > self.last_relevant and pattern != "0":
            pass
        elif self.is_hidden_zero:
            if not self.template.fills:
                self.out.append(" ")
            elif self.ends_at("."):
                self.out.append("0")
        else:
            # a template with more places than a float has digits ends here, as PostgreSQL's does
            self.out.append(letter or "\0")
            self.in_number = True
        self.at += bool(letter)


# ---- to_number

def parse_number(text: str, template_text: str) -> Decimal | None:
    """InvalidTextRepresentation: no digit was found; NumericValueOutOfRange: more than the template has places."""
    template = _template(template_text)
    if not template_text:
        return None
    if template.is_scientific:
        raise FeatureNotSupported('"EEEE" not supported for input')
    if template.is_roman:
        raise FeatureNotSupported('"RN" not supported for input')
    digits, sign = _Reader(text, template).read()
    if not any(letter.isdigit() for letter in digits):
        raise InvalidTextRepresentation(f'invalid input syntax for type numeric: "{sign}{digits}"')
    value = read_numeric(sign + digits)
    if value and value.adjusted() >= template.before + template.shift:
        raise NumericValueOutOfRange("numeric field overflow")
    return EXACT.scaleb(value, -template.shift) if template.shift else value


class _Reader:
    def __init__(self, text: str, template: _Template) -> None:
        self.text, self.template = text, template
        self.at = 0
        self.digits: list[str] = []
        self.sign = ""
        self.before = self.after = 0
        self.has_point = False
        # a leading S that stands behind all digits is a trailing one only when writing
        self.leads = template.sign == "leading"

    def now(self) -> str:
        return self.text[self.at:self.at + 1]

    def read(self) -> tuple[str, str]:
        for part in self.template.parts:
            if self.at >= len(self.text):
                break
            if not part.is_pattern:
                self.at += 1
                continue
            match part.text.upper():
                case "9" | "0" | "." | "D":
                    self.digit(part.text.upper() in ("9", "0"))
                    self.at += 1
                case "," | "G":
                    if not self.template.fills and self.now() == ",":
                        self.at += 1
                case "L":
                    self.skip(1)
                case "TH":
                    self.skip(2)
                case "MI":
                    self.take_sign("-")
                case "PL":
                    self.take_sign("+")
                case "SG":
                    self.take_sign("+-")
        digits = "".join(self.digits)
        return digits.removesuffix("."), self.sign

    def take_sign(self, signs: str) -> None:
        if self.now() in signs:
            self.sign, self.at = self.now(), self.at + 1
        else:
            self.skip(1)

    def skip(self, count: int) -> None:
        while count and self.at < len(self.text) and self.now() not in _DATA:
            self.at, count = self.at + 1, count - 1

    def digit(self, is_digit_place: bool) -> None:
        """Leaves `at` on the last letter it took."""
        if self.now() == " ":
            self.at += 1
        if not self.now():
            return
        if not self.sign and is_digit_place and not self.before + self.after:
            letter = self.now()
            if self.leads:
                if letter in "+-":
                    self.sign, self.at = letter, self.at + 1
            elif letter == "-" or (self.template.has_brackets and letter == "<"):
                self.sign, self.at = "-", self.at + 1
            elif letter == "+":
                self.sign, self.at = "+", self.at + 1
        letter, was_read = self.now(), False
        if not letter:
            return
        if letter.isdigit() and letter.isascii():
            if self.has_point and self.after == self.template.after:
                return
            self.digits.append(letter)
            self.before, self.after = self.before + (not self.has_point), self.after + self.has_point
            was_read = True
        elif self.template.has_point and not self.has_point and letter == ".":
            self.digits.append(".")
            self.has_point = was_read = True
        if self.sign or not self.before + self.after:
            return
        following = self.text[self.at + 1:self.at + 2]
        if self.template.sign:
            if was_read and following and following in "+-":
                self.sign, self.at = following, self.at + 1
        elif not was_read and self.template.has_own_sign and letter in "+-":
            self.sign = letter
