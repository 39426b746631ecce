"""A filter as MongoDB writes it, checked and made into the tree that core/_ext/matcher.pyx runs.

    compile_filter({"age": {"$gte": 18}, "tags": "red"})  ->  Filter: tree, matcher, conjuncts, equalities

What MongoDB refuses is refused with its number and a text that names the operator. Operators PhantomDB has not
($where, $text, the geographic ones) are a CommandNotSupported.
"""
from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from phantomdb.core._ext.matcher import Matcher
from phantomdb.frontends.document import values
from phantomdb.frontends.document.errors import BadValue, CommandNotSupported, InvalidRegex
from phantomdb.frontends.document.values import Document, Regex

Tree = tuple[Any, ...]
Path = tuple[str, ...]

TRUE: Tree = ("and",)
FALSE: Tree = ("or",)
_NESTED_MAX = 150
_GEOGRAPHIC = ("$geoWithin", "$geoIntersects", "$near", "$nearSphere", "$within", "$geoNear", "$maxDistance",
               "$minDistance", "$uniqueDocs")
_UNSUPPORTED = ("$where", "$text", "$search", "$sampleRate", *_GEOGRAPHIC)


@dataclass(frozen=True, slots=True)
class Conjunct:
    """A condition that must hold, of a kind an index can serve. The values an index gives are to be tested with the
    filter again. `operator`: eq, lt, lte, gt, gte; in, whose value is a list. The value None also means "missing"."""

    path: str
    operator: str
    value: Any


@dataclass(frozen=True)
class Filter:
    """A checked filter."""

    tree: Tree
    conjuncts: tuple[Conjunct, ...] = ()
    equalities: tuple[tuple[str, Any], ...] = ()        # path and value: what an upsert begins with
    is_whole: bool = field(default=False)               # it has $expr or $jsonSchema: those take the GIL

    @cached_property
    def matcher(self) -> Matcher:
        return Matcher(self.tree)

    def matches(self, document: Document) -> bool:
        """A decoded document; encoded ones are for `matcher`."""
        return self.matcher.matches(values.encode(document))

    def position(self, document: Document) -> int | None:
        """None: it does not match; else see Matcher.find."""
        return self.matcher.find(values.encode(document))


def compile_filter(filter_: Mapping[str, Any] | None, variables: Mapping[str, Any] | None = None) -> Filter:
    """TypeError: no mapping. BadValue and others: what MongoDB refuses. `variables`: of $expr (`let`), by
    name; they are read when the filter is run."""
    if filter_ is None:
        filter_ = {}
    if not isinstance(filter_, Mapping):
        raise TypeError(f"filter must be an instance of dict, not {type(filter_).__name__}")
    reader = _Reader({} if variables is None else variables)
    tree = reader.read(filter_, 0)
    conjuncts: list[Conjunct] = []
    equalities: list[tuple[str, Any]] = []
    _gather(filter_, conjuncts, equalities)
    return Filter(tree, tuple(conjuncts), tuple(equalities), reader.is_whole)


# -------------------------------------------------------------------- regular expressions

_OPTIONS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE, "u": re.UNICODE}


def compile_pattern(pattern: str, flags: int) -> re.Pattern[str]:
    """A regular expression of PCRE with Python's `re`. InvalidRegex: it cannot be read."""
    translated = re.sub(r"\(\?<(?![=!])", "(?P<", pattern)          # a named group
    translated = re.sub(r"(?<!\\)((?:\\\\)*)\\z", r"\1\\Z", translated)
    leading = re.match(r"\(\*[A-Z_]+\)", translated)                # (*UCP) and the like: how str is anyway
    try:
        return re.compile(translated[leading.end():] if leading else translated, flags & ~re.LOCALE)
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidRegex(f"Regular expression is invalid: {error}") from None


def option_flags(options: str, operator: str = "$options") -> int:
    flags = 0
    for letter in options:
        if letter not in _OPTIONS:
            raise BadValue(f" invalid flag in regex options: {letter} ({operator})")
        flags |= _OPTIONS[letter]
    return flags


def is_regex(value: Any) -> bool:
    return isinstance(value, Regex | re.Pattern)


def _regex_tree(path: Path, value: Any) -> Tree:
    pattern = value.pattern if isinstance(value.pattern, str) else value.pattern.decode()
    return ("regex", path, compile_pattern(pattern, value.flags).search, values.encode(value))


# -------------------------------------------------------------------- operators

def has_operators(value: Any) -> bool:
    """Whether it is an object of operators, not a value; a DBRef is a value."""
    if not isinstance(value, Mapping) or not value:
        return False
    first = next(iter(value))
    return isinstance(first, str) and first.startswith("$") and first not in ("$ref", "$id", "$db")


def whole(value: Any) -> int | None:
    """A number without a fraction, within 64 bits, as int; None: it is none."""
    if not values.is_number(value):
        return None
    number = values.number_of(value)
    if isinstance(number, float) and not math.isfinite(number):
        return None
    if not isinstance(number, int | float) and not number.is_finite():
        return None
    integer = int(number)
    return integer if integer == number and -1 << 63 <= integer < 1 << 63 else None


def is_true(value: Any) -> bool:
    """As MongoDB takes a value for a condition: all but false, null, missing and zero."""
    if value is None or value is values.MISSING or value is False:
        return False
    if values.is_number(value):
        return bool(values.number_of(value) != 0)
    return True


class _Reader:
    def __init__(self, variables: Mapping[str, Any]) -> None:
        self.variables = variables
        self.is_whole = False

    def read(self, filter_: Mapping[str, Any], depth: int) -> Tree:
        if depth > _NESTED_MAX:
            raise BadValue(f"the filter is nested more than {_NESTED_MAX} deep")
        parts = [part for name, value in filter_.items() if (part := self.member(name, value, depth)) is not None]
        return parts[0] if len(parts) == 1 else ("and", *parts)

    def member(self, name: str, value: Any, depth: int) -> Tree | None:
        if not isinstance(name, str):
            raise TypeError(f"a name in a filter must be str, not {type(name).__name__}")
        if not name.startswith("$"):
            return self.predicate(tuple(name.split(".")), value, depth)
        if name in ("$and", "$or", "$nor"):
            return (name[1:], *self.clauses(name, value, depth))
        if name == "$comment":
            return None
        if name == "$expr":
            return self.expression(value)
        if name == "$jsonSchema":
            return self.schema(value)
        if name in ("$alwaysTrue", "$alwaysFalse"):
            if whole(value) != 1:
                raise BadValue(f"{name} must be an integer value of 1")
            return TRUE if name == "$alwaysTrue" else FALSE
        if name in _UNSUPPORTED:
            raise CommandNotSupported(f"{name} is not supported")
        if name in ("$ref", "$id", "$db"):
            return self.predicate((name,), value, depth)
        raise BadValue(f"unknown top level operator: {name}. If you have a field name that starts with a '$' symbol, "
                       "consider using $getField or $setField.")

    def clauses(self, name: str, value: Any, depth: int) -> list[Tree]:
        if not isinstance(value, list | tuple):
            raise BadValue(f"{name} must be an array")
        if not value:
            raise BadValue(f"{name}: $and/$or/$nor must be a nonempty array")
        for item in value:
            if not isinstance(item, Mapping):
                raise BadValue(f"{name}: $or/$and/$nor entries need to be full objects")
        return [self.read(item, depth + 1) for item in value]

    def expression(self, value: Any) -> Tree:
        from phantomdb.frontends.document.expressions import compile_expression
        self.is_whole = True
        expression = compile_expression(value, self.variables)
        return ("whole", lambda document: is_true(expression(document)))

    def schema(self, value: Any) -> Tree:
        from phantomdb.frontends.document.validators import compile_schema
        self.is_whole = True
        return ("whole", compile_schema(value))

    def predicate(self, path: Path, value: Any, depth: int) -> Tree:
        if has_operators(value):
            return self.operators(path, value, depth)
        if is_regex(value):
            return _regex_tree(path, value)
        return ("eq", path, values.encode(value))

    def operators(self, path: Path, operators: Mapping[str, Any], depth: int) -> Tree:
        parts: list[Tree] = []
        for name, value in operators.items():
            if name == "$options":
                if "$regex" not in operators:
                    raise BadValue("$options needs a $regex")
                continue
            if name == "$regex":
                parts.append(self.regex(path, value, operators.get("$options")))
                continue
            if name == "$comment":
                continue
            method = _OPERATORS.get(name)
            if method is None:
                if name in _UNSUPPORTED or name.startswith("$geo"):
                    raise CommandNotSupported(f"{name} is not supported")
                raise BadValue(f"unknown operator: {name}")
            parts.append(method(self, path, value, depth))
        return parts[0] if len(parts) == 1 else ("and", *parts)

    # ---- comparison

    def compare(self, operator: str, path: Path, value: Any) -> Tree:
        if is_regex(value) and operator != "eq":
            raise BadValue(f"Can't have RegEx as arg to predicate over field '{'.'.join(path)}' (${operator}).")
        return (operator, path, values.encode(value))

    def not_equal(self, path: Path, value: Any, _depth: int) -> Tree:
        if is_regex(value):
            raise BadValue("Can't have regex as arg to $ne.")
        return ("not", ("eq", path, values.encode(value)))

    def in_(self, path: Path, value: Any, _depth: int, name: str = "$in") -> Tree:
        if not isinstance(value, list | tuple):
            raise BadValue(f"{name} needs an array")
        plain, regexes = [], []
        for item in value:
            if has_operators(item):
                raise BadValue(f"cannot nest $ under {name}")
            if is_regex(item):
                regexes.append(_regex_tree(path, item))
            else:
                plain.append(item)
        unique = dict(sorted(((values.order_key(item), item) for item in plain), key=lambda pair: pair[0]))
        tree: Tree = ("in", path, tuple(values.encode(item) for item in unique.values()))
        return ("or", tree, *regexes) if regexes else tree

    def not_in(self, path: Path, value: Any, depth: int) -> Tree:
        return ("not", self.in_(path, value, depth, "$nin"))

    # ---- element and evaluation

    def exists(self, path: Path, value: Any, _depth: int) -> Tree:
        tree: Tree = ("exists", path)
        return tree if is_true(value) else ("not", tree)

    def type_(self, path: Path, value: Any, _depth: int) -> Tree:
        return ("type", path, type_mask(value, "$type"))

    def mod(self, path: Path, value: Any, _depth: int) -> Tree:
        if not isinstance(value, list | tuple):
            raise BadValue("malformed mod, needs to be an array ($mod)")
        if len(value) != 2:
            raise BadValue(f"malformed mod, {'not enough' if len(value) < 2 else 'too many'} elements ($mod)")
        divisor, remainder = (_truncated(item) for item in value)
        if divisor is None or remainder is None:
            raise BadValue("malformed mod, divisor and remainder must be numbers of at most 64 bits ($mod)")
        if divisor == 0:
            raise BadValue("divisor cannot be 0 ($mod)")
        return ("mod", path, divisor, remainder)

    def regex(self, path: Path, value: Any, options: Any) -> Tree:
        if options is not None and not isinstance(options, str):
            raise BadValue("$options has to be a string")
        if is_regex(value):
            if options and value.flags & ~re.UNICODE:
                raise BadValue("options set in both $regex and $options")
            pattern, flags = value.pattern, value.flags
        elif isinstance(value, str):
            pattern, flags = value, 0
        else:
            raise BadValue("$regex has to be a string")
        return _regex_tree(path, Regex(pattern, flags | option_flags(options or "")))

    def not_(self, path: Path, value: Any, depth: int) -> Tree:
        if is_regex(value):
            return ("not", _regex_tree(path, value))
        if not isinstance(value, Mapping):
            raise BadValue("$not needs a regex or a document")
        if not value:
            raise BadValue("$not cannot be empty")
        if not has_operators(value):
            raise BadValue(f"unknown operator: {next(iter(value))} ($not needs operators)")
        return ("not", self.operators(path, value, depth + 1))

    # ---- arrays

    def all_(self, path: Path, value: Any, depth: int) -> Tree:
        if not isinstance(value, list | tuple):
            raise BadValue("$all needs an array")
        if not value:
            return FALSE
        are_matches = [isinstance(item, Mapping) and next(iter(item), None) == "$elemMatch" for item in value]
        if any(are_matches):
            if not all(are_matches) or any(len(item) > 1 for item in value):
                raise BadValue("$all/$elemMatch has to be consistent")
            return ("and", *(self.elements(path, item["$elemMatch"], depth + 1) for item in value))
        for item in value:
            if has_operators(item):
                raise BadValue("no $ expressions in $all")
        return ("and", *(_regex_tree(path, item) if is_regex(item) else ("eq", path, values.encode(item))
                         for item in value))

    def elements(self, path: Path, value: Any, depth: int) -> Tree:
        if not isinstance(value, Mapping):
            raise BadValue("$elemMatch needs an Object")
        first = next(iter(value), "")
        if has_operators(value) and first not in ("$and", "$or", "$nor", "$expr", "$jsonSchema", "$where"):
            return ("values", path, self.operators((), value, depth + 1))
        if "$expr" in value or "$jsonSchema" in value:
            raise BadValue("$expr and $jsonSchema can only be applied to the top-level document, not in $elemMatch")
        return ("objects", path, self.read(value, depth + 1))

    def size(self, path: Path, value: Any, _depth: int) -> Tree:
        length = whole(value)
        if length is None or length < 0:
            raise BadValue("Failed to parse $size. Expected a non-negative whole number")
        return ("size", path, length)

    # ---- bits

    def bits(self, how: str, name: str, path: Path, value: Any) -> Tree:
        if isinstance(value, list | tuple):
            positions = [whole(item) for item in value]
            if any(position is None or not 0 <= position < 1 << 31 for position in positions):
                raise BadValue(f"{name} takes bit positions that are whole numbers from 0 on")
        elif isinstance(value, bytes):
            positions = [8 * index + bit for index, byte in enumerate(value) for bit in range(8) if byte >> bit & 1]
        else:
            mask = whole(value)
            if mask is None or mask < 0:
                raise BadValue(f"{name} takes an array, a number, or a BinData; the number whole and not negative")
            positions = [bit for bit in range(64) if mask >> bit & 1]
        return ("bits", path, how, tuple(positions))


def _truncated(value: Any) -> int | None:
    if not values.is_number(value):
        return None
    number = values.number_of(value)
    if isinstance(number, float) and not math.isfinite(number):
        return None
    if not isinstance(number, int | float) and not number.is_finite():
        return None
    return int(number) if -1 << 63 <= int(number) < 1 << 63 else None


_Method = Callable[[_Reader, Path, Any, int], Tree]
_OPERATORS: dict[str, _Method] = {
    **{f"${name}": cast(_Method, lambda reader, path, value, _, name=name: reader.compare(name, path, value))
       for name in ("eq", "lt", "lte", "gt", "gte")},
    "$ne": _Reader.not_equal, "$in": _Reader.in_, "$nin": _Reader.not_in, "$exists": _Reader.exists,
    "$type": _Reader.type_, "$mod": _Reader.mod, "$not": _Reader.not_, "$all": _Reader.all_,
    "$elemMatch": _Reader.elements, "$size": _Reader.size,
    **{name: cast(_Method, lambda reader, path, value, _, how=how, name=name: reader.bits(how, name, path, value))
       for name, how in (("$bitsAllSet", "all set"), ("$bitsAnySet", "any set"), ("$bitsAllClear", "all clear"),
                         ("$bitsAnyClear", "any clear"))},
}
FILTER_OPERATORS: tuple[str, ...] = ("$and", "$or", "$nor", "$expr", "$jsonSchema", "$comment", "$alwaysTrue",
                                     "$alwaysFalse", "$regex", "$options", *_OPERATORS)
UNSUPPORTED_FILTER_OPERATORS = _UNSUPPORTED

# -------------------------------------------------------------------- types by name and number

TYPE_NUMBERS: dict[str, int] = {
    "double": 1, "string": 2, "object": 3, "array": 4, "binData": 5, "undefined": 6, "objectId": 7, "bool": 8,
    "date": 9, "null": 10, "regex": 11, "dbPointer": 12, "javascript": 13, "symbol": 14, "javascriptWithScope": 15,
    "int": 16, "timestamp": 17, "long": 18, "decimal": 19, "minKey": -1, "maxKey": 127}


def type_mask(value: Any, operator: str) -> int:
    """Bits of MongoDB's type numbers, 20 and 21 for minKey and maxKey: of a name, a number or a list of these."""
    if isinstance(value, list | tuple):
        if not value:
            raise BadValue(f"{operator} must match at least one type")
        mask = 0
        for item in value:
            mask |= type_mask(item, operator)
        return mask
    if isinstance(value, str):
        if value == "number":
            return 1 << 1 | 1 << 16 | 1 << 18 | 1 << 19
        if value not in TYPE_NUMBERS:
            raise BadValue(f"Unknown type name alias: {value} ({operator})")
        number = TYPE_NUMBERS[value]
    else:
        found = whole(value)
        if found is None or found not in TYPE_NUMBERS.values():
            raise BadValue(f"Invalid numerical type code: {value} ({operator})")
        number = found
    return 1 << {-1: 20, 127: 21}.get(number, number)


# -------------------------------------------------------------------- what an index and an upsert can use

_RANGES = {"$lt": "lt", "$lte": "lte", "$gt": "gt", "$gte": "gte"}


def _serves(value: Any) -> bool:
    """Whether an index can find it: no regex, no array (whose elements and whole both count), no NaN."""
    if is_regex(value) or isinstance(value, list | tuple):
        return False
    return not (values.is_number(value) and values.number_of(value) != values.number_of(value))


def _gather(filter_: Mapping[str, Any], conjuncts: list[Conjunct], equalities: list[tuple[str, Any]]) -> None:
    for name, value in filter_.items():
        if name == "$and" or (name == "$or" and len(value) == 1):
            for item in value:
                _gather(item, conjuncts, equalities)
        elif name.startswith("$"):
            continue
        elif has_operators(value):
            for operator, operand in value.items():
                _gather_operator(name, operator, operand, conjuncts, equalities)
        elif not is_regex(value):
            _gather_operator(name, "$eq", value, conjuncts, equalities)


def _gather_operator(path: str, operator: str, value: Any, conjuncts: list[Conjunct],
                     equalities: list[tuple[str, Any]]) -> None:
    if operator == "$eq":
        equalities.append((path, value))
        if _serves(value):
            conjuncts.append(Conjunct(path, "eq", value))
    elif operator in _RANGES:
        if _serves(value) and not isinstance(value, Mapping) and value is not None:
            conjuncts.append(Conjunct(path, _RANGES[operator], value))
    elif operator == "$in":
        if all(map(_serves, value)):
            conjuncts.append(Conjunct(path, "in", list(value)))
        if len(value) == 1 and not is_regex(value[0]):
            equalities.append((path, value[0]))
    elif operator == "$all" and len(value) == 1 and not has_operators(value[0]) and not is_regex(value[0]):
        equalities.append((path, value[0]))
