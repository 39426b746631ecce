"""$jsonSchema as MongoDB has it, draft 4 with bsonType, and validators of collections.

    compile_schema({"required": ["name"]})(document)  ->  bool
    Validator({"$jsonSchema": {...}}).check(document)     DocumentValidationFailure, with the rules that were broken

The package `jsonschema` does not fit: types, numbers, equality and order are BSON's, which leaves it no keyword to do.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from phantomdb.core._ext.document_order import compare
from phantomdb.frontends.document import values
from phantomdb.frontends.document.errors import DocumentValidationFailure, FailedToParse, TypeMismatch
from phantomdb.frontends.document.filters import TYPE_NUMBERS, compile_filter, compile_pattern, type_mask, whole
from phantomdb.frontends.document.values import Document, order_key

Test = Callable[[Any], bool]

_JSON_TYPES = {"object": "object", "array": "array", "number": "number", "boolean": "bool", "string": "string",
               "null": "null"}
_IGNORED = ("title", "description")
_UNSUPPORTED = ("$ref", "$schema", "default", "definitions", "format", "id", "encrypt", "encryptMetadata", "keyId",
                "algorithm")


class Rule:
    """One keyword: `test` is true where the value breaks nothing. `inner` names the schemas of members, to explain."""

    def __init__(self, keyword: str, specified: Any, test: Test, inner: Mapping[str, Schema] | None = None) -> None:
        self.keyword, self.specified, self.test, self.inner = keyword, specified, test, inner

    def explain(self, value: Any) -> Document:
        told: Document = {"operatorName": self.keyword, "specifiedAs": {self.keyword: self.specified}}
        if self.keyword == "required":
            told["missingProperties"] = [name for name in self.specified if name not in value]
        elif self.inner is not None:
            told = {"operatorName": self.keyword, "propertiesNotSatisfied": [
                {"propertyName": name, "details": schema.explain(value[name])}
                for name, schema in self.inner.items() if name in value and not schema.test(value[name])]}
        else:
            told["consideredValue"] = value
        return told


class Schema:
    def __init__(self, schema: Any) -> None:
        if not isinstance(schema, Mapping):
            raise TypeMismatch("$jsonSchema must be an object")
        self.rules = _Reader(schema).read()

    def test(self, value: Any) -> bool:
        return all(rule.test(value) for rule in self.rules)

    def explain(self, value: Any) -> list[Document]:
        return [rule.explain(value) for rule in self.rules if not rule.test(value)]


def compile_schema(schema: Any) -> Test:
    """FailedToParse: a keyword that is unknown, or not supported by MongoDB; TypeMismatch: a keyword's value."""
    return Schema(schema).test


def _type_test(mask: int) -> Test:
    bit_of = {name: 1 << {-1: 20, 127: 21}.get(number, number) for name, number in TYPE_NUMBERS.items()}
    return lambda value: bool(mask & bit_of[values.type_name(value)])


class _Reader:
    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema

    def read(self) -> list[Rule]:
        rules = []
        for keyword, specified in self.schema.items():
            if keyword in _IGNORED:
                if not isinstance(specified, str):
                    raise TypeMismatch(f"$jsonSchema keyword '{keyword}' must be of type string")
                continue
            if keyword in _UNSUPPORTED:
                raise FailedToParse(f"$jsonSchema keyword '{keyword}' is not currently supported")
            method = _KEYWORDS.get(keyword)
            if method is None:
                raise FailedToParse(f"Unknown $jsonSchema keyword: {keyword}")
            rule = method(self, keyword, specified)
            if rule is not None:
                rules.append(rule)
        if "type" in self.schema and "bsonType" in self.schema:
            raise FailedToParse("Cannot specify both $jsonSchema keywords 'type' and 'bsonType'")
        return rules

    # ---- any value

    def type_(self, keyword: str, specified: Any) -> Rule:
        names = specified if isinstance(specified, list | tuple) else [specified]
        for name in names:
            if not isinstance(name, str):
                raise TypeMismatch(f"$jsonSchema keyword '{keyword}' must be a string or an array of strings")
            if keyword == "type" and name == "integer":
                raise FailedToParse("$jsonSchema type 'integer' is not currently supported.")
            if keyword == "type" and name not in _JSON_TYPES:
                raise FailedToParse(f"Unknown type name alias: {name}")
        mask = type_mask([_JSON_TYPES[name] if keyword == "type" else name for name in names], keyword)
        return Rule(keyword, specified, _type_test(mask))

    def enum(self, keyword: str, specified: Any) -> Rule:
        if not isinstance(specified, list | tuple) or not specified:
            raise FailedToParse("$jsonSchema keyword 'enum' must be a non-empty array")
        keys = {order_key(item) for item in specified}
        return Rule(keyword, specified, lambda value: order_key(value) in keys)

    def combined(self, keyword: str, specified: Any) -> Rule:
        if not isinstance(specified, list | tuple) or not specified:
            raise FailedToParse(f"$jsonSchema keyword '{keyword}' must be a non-empty array")
        schemas = [Schema(item) for item in specified]
        if keyword == "allOf":
            return Rule(keyword, specified, lambda value: all(schema.test(value) for schema in schemas))
        if keyword == "anyOf":
            return Rule(keyword, specified, lambda value: any(schema.test(value) for schema in schemas))
        return Rule(keyword, specified, lambda value: sum(schema.test(value) for schema in schemas) == 1)

    def not_(self, keyword: str, specified: Any) -> Rule:
        schema = Schema(specified)
        return Rule(keyword, specified, lambda value: not schema.test(value))

    # ---- numbers

    def bound(self, keyword: str, specified: Any) -> Rule:
        if not values.is_number(specified):
            raise TypeMismatch(f"$jsonSchema keyword '{keyword}' must be a number")
        exclusive = self.schema.get("exclusiveMaximum" if keyword == "maximum" else "exclusiveMinimum", False)
        limit, sign = values.encode(specified), 1 if keyword == "maximum" else -1

        def test(value: Any) -> bool:
            if not values.is_number(value):
                return True
            order = compare(values.encode(value), limit) * sign
            return order < 0 or (order == 0 and not exclusive)
        return Rule(keyword, specified, test)

    def exclusive(self, keyword: str, specified: Any) -> None:
        if not isinstance(specified, bool):
            raise TypeMismatch(f"$jsonSchema keyword '{keyword}' must be a boolean")
        if keyword.replace("exclusive", "").lower() not in self.schema:
            raise FailedToParse(f"$jsonSchema keyword '{keyword[9:].lower()}' must be present if {keyword} is present")

    def multiple_of(self, keyword: str, specified: Any) -> Rule:
        if not values.is_number(specified) or not values.number_of(specified) > 0:
            raise FailedToParse("$jsonSchema keyword 'multipleOf' must be a number greater than 0")

        def test(value: Any) -> bool:
            if not values.is_number(value):
                return True
            number = values.to_decimal(value)
            return number.is_finite() and number % values.to_decimal(specified) == 0
        return Rule(keyword, specified, test)

    # ---- lengths

    def length(self, keyword: str, specified: Any) -> Rule:
        limit = whole(specified)
        if limit is None or limit < 0:
            raise FailedToParse(f"$jsonSchema keyword '{keyword}' must be a non-negative integer")
        kind: Any = {"Length": str, "Items": list, "Properties": dict}[keyword[3:]]
        is_most = keyword.startswith("max")

        def test(value: Any) -> bool:
            if not isinstance(value, kind):
                return True
            return len(value) <= limit if is_most else len(value) >= limit
        return Rule(keyword, specified, test)

    def pattern(self, keyword: str, specified: Any) -> Rule:
        if not isinstance(specified, str):
            raise TypeMismatch("$jsonSchema keyword 'pattern' must be a string")
        search = compile_pattern(specified, 0).search
        return Rule(keyword, specified, lambda value: not isinstance(value, str) or search(value) is not None)

    # ---- objects

    def required(self, keyword: str, specified: Any) -> Rule:
        if not isinstance(specified, list | tuple) or not specified or not all(
                isinstance(name, str) for name in specified) or len(set(specified)) < len(specified):
            raise FailedToParse("$jsonSchema keyword 'required' must be a non-empty array of different strings")
        names = list(specified)
        return Rule(keyword, names, lambda value: not isinstance(value, dict) or all(name in value for name in names))

    def properties(self, keyword: str, specified: Any) -> Rule:
        schemas = _schemas(keyword, specified)

        def test(value: Any) -> bool:
            return not isinstance(value, dict) or all(
                schema.test(value[name]) for name, schema in schemas.items() if name in value)
        return Rule(keyword, specified, test, schemas)

    def pattern_properties(self, keyword: str, specified: Any) -> Rule:
        schemas = [(compile_pattern(pattern, 0), schema) for pattern, schema in _schemas(keyword, specified).items()]
        return Rule(keyword, specified, lambda value: not isinstance(value, dict) or all(
            schema.test(item) for pattern, schema in schemas for name, item in value.items() if pattern.search(name)))

    def additional_properties(self, keyword: str, specified: Any) -> Rule | None:
        if specified is True:
            return None
        known = set(self.schema.get("properties", {}))
        patterns = [compile_pattern(pattern, 0) for pattern in self.schema.get("patternProperties", {})]
        schema = _bool_or_schema(keyword, specified)
        return Rule(keyword, specified, lambda value: not isinstance(value, dict) or all(
            name in known or _is_covered(name, patterns) or (schema is not None and schema.test(item))
            for name, item in value.items()))

    def dependencies(self, keyword: str, specified: Any) -> Rule:
        if not isinstance(specified, Mapping):
            raise TypeMismatch("$jsonSchema keyword 'dependencies' must be an object")
        tests: dict[str, Test] = {}
        for name, needed in specified.items():
            if isinstance(needed, Mapping):
                tests[name] = Schema(needed).test
            else:
                tests[name] = self.required("dependencies", needed).test
        return Rule(keyword, specified, lambda value: not isinstance(value, dict) or all(
            test(value) for name, test in tests.items() if name in value))

    # ---- arrays

    def unique(self, keyword: str, specified: Any) -> Rule | None:
        if not isinstance(specified, bool):
            raise TypeMismatch("$jsonSchema keyword 'uniqueItems' must be a boolean")
        if not specified:
            return None
        return Rule(keyword, specified, lambda value: not isinstance(value, list)
                    or len({order_key(item) for item in value}) == len(value))

    def items(self, keyword: str, specified: Any) -> Rule:
        if isinstance(specified, list | tuple):
            schemas = [Schema(item) for item in specified]
            return Rule(keyword, specified, lambda value: not isinstance(value, list) or all(
                schema.test(item) for schema, item in zip(schemas, value, strict=False)))
        every = Schema(specified)
        return Rule(keyword, specified, lambda value: not isinstance(value, list) or all(map(every.test, value)))

    def additional_items(self, keyword: str, specified: Any) -> Rule | None:
        first = self.schema.get("items")
        schema = _bool_or_schema(keyword, specified)
        if not isinstance(first, list | tuple) or specified is True:
            return None
        count = len(first)
        return Rule(keyword, specified, lambda value: not isinstance(value, list) or all(
            schema is not None and schema.test(item) for item in value[count:]))


def _schemas(keyword: str, specified: Any) -> dict[str, Schema]:
    if not isinstance(specified, Mapping):
        raise TypeMismatch(f"$jsonSchema keyword '{keyword}' must be an object")
    return {name: Schema(item) for name, item in specified.items()}


def _bool_or_schema(keyword: str, specified: Any) -> Schema | None:
    if isinstance(specified, bool):
        return None
    if not isinstance(specified, Mapping):
        raise TypeMismatch(f"$jsonSchema keyword '{keyword}' must be either an object or a boolean")
    return Schema(specified)


def _is_covered(name: str, patterns: list[re.Pattern[str]]) -> bool:
    return any(pattern.search(name) for pattern in patterns)


_KEYWORDS: dict[str, Callable[[_Reader, str, Any], Rule | None]] = {
    "type": _Reader.type_, "bsonType": _Reader.type_, "enum": _Reader.enum, "allOf": _Reader.combined,
    "anyOf": _Reader.combined, "oneOf": _Reader.combined, "not": _Reader.not_, "minimum": _Reader.bound,
    "maximum": _Reader.bound, "exclusiveMinimum": _Reader.exclusive, "exclusiveMaximum": _Reader.exclusive,
    "multipleOf": _Reader.multiple_of, "minLength": _Reader.length, "maxLength": _Reader.length,
    "minItems": _Reader.length, "maxItems": _Reader.length, "minProperties": _Reader.length,
    "maxProperties": _Reader.length, "pattern": _Reader.pattern, "required": _Reader.required,
    "properties": _Reader.properties, "patternProperties": _Reader.pattern_properties,
    "additionalProperties": _Reader.additional_properties, "dependencies": _Reader.dependencies,
    "uniqueItems": _Reader.unique, "items": _Reader.items, "additionalItems": _Reader.additional_items}
SCHEMA_KEYWORDS: tuple[str, ...] = (*_KEYWORDS, *_IGNORED)
UNSUPPORTED_SCHEMA_KEYWORDS = _UNSUPPORTED


class Validator:
    """The validator of a collection: a filter, with $jsonSchema among it or not."""

    def __init__(self, validator: Mapping[str, Any]) -> None:
        self.filter = compile_filter(validator)
        self.specification = dict(validator)
        schema = validator.get("$jsonSchema")
        self.schema = Schema(schema) if schema is not None else None

    def is_valid(self, document: Document) -> bool:
        return self.filter.matches(document)

    def check(self, document: Document) -> None:
        """DocumentValidationFailure, whose details name the rules the document breaks."""
        if self.is_valid(document):
            return
        details: Document = {"operatorName": next(iter(self.specification), ""), "specifiedAs": self.specification}
        if self.schema is not None and not self.schema.test(document):
            details = {"operatorName": "$jsonSchema", "schemaRulesNotSatisfied": self.schema.explain(document)}
        raise DocumentValidationFailure(details={
            "index": 0, "code": 121, "errmsg": "Document failed validation",
            "errInfo": {"failingDocumentId": document.get("_id"), "details": details}})
