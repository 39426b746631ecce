"""$jsonSchema and validators of collections."""

from __future__ import annotations

from typing import Any

import pymongo.errors
import pytest
from bson import Decimal128, ObjectId

from phantomdb.frontends.document.errors import DocumentError, DocumentValidationFailure
from phantomdb.frontends.document.validators import (
    SCHEMA_KEYWORDS,
    UNSUPPORTED_SCHEMA_KEYWORDS,
    Validator,
    compile_schema,
)

CASES: list[tuple[dict[str, Any], list[Any], list[Any]]] = [  # schema, what is valid, what is not
    ({"bsonType": "object"}, [{}], [1, "x", []]),
    ({"bsonType": ["int", "null"]}, [1, None], [1.5, 2**40, "x"]),
    ({"type": "number"}, [1, 1.5, Decimal128("1"), 2**40], ["1", True]),
    ({"type": ["string", "array"]}, ["x", []], [{}]),
    ({"bsonType": "objectId"}, [ObjectId()], ["x"]),
    ({"type": "boolean"}, [True], [1]),
    ({"enum": [1, "a", None]}, [1.0, "a", None], [2, []]),
    ({"minimum": 5}, [5, 6.5, "x"], [4, Decimal128("4.9")]),
    ({"minimum": 5, "exclusiveMinimum": True}, [6], [5]),
    ({"maximum": 5}, [5, None], [5.1]),
    ({"maximum": 5, "exclusiveMaximum": True}, [4], [5.0]),
    ({"multipleOf": 3}, [9, 0, "x", -3.0], [4, 3.5]),
    ({"multipleOf": 0.1}, [0.3, Decimal128("0.5")], [0.25]),
    ({"minLength": 2, "maxLength": 3}, ["ab", "éèà", 5], ["a", "abcd"]),
    ({"pattern": "^a.c$"}, ["abc", 1], ["xabc"]),
    ({"required": ["a", "b"]}, [{"a": 1, "b": None}, 5], [{"a": 1}]),
    ({"properties": {"a": {"bsonType": "int"}}}, [{"a": 1}, {}, {"b": "x"}, 5], [{"a": "x"}]),
    ({"minProperties": 1, "maxProperties": 2}, [{"a": 1}], [{}, {"a": 1, "b": 2, "c": 3}]),
    ({"properties": {"a": {}}, "additionalProperties": False}, [{"a": 1}, {}], [{"b": 1}]),
    ({"additionalProperties": {"type": "string"}}, [{"a": "x"}], [{"a": 1}]),
    ({"additionalProperties": True}, [{"a": 1}], []),
    (
        {"patternProperties": {"^x": {"type": "number"}}, "additionalProperties": False},
        [{"x1": 1}],
        [{"x1": "y"}, {"y": 1}],
    ),
    ({"dependencies": {"a": ["b"]}}, [{"a": 1, "b": 1}, {"b": 1}], [{"a": 1}]),
    ({"dependencies": {"a": {"required": ["c"]}}}, [{"c": 1, "a": 1}], [{"a": 1}]),
    ({"minItems": 1, "maxItems": 2}, [[1], "x"], [[], [1, 2, 3]]),
    ({"uniqueItems": True}, [[1, 2], 5], [[1, 1.0]]),
    ({"uniqueItems": False}, [[1, 1]], []),
    ({"items": {"type": "number"}}, [[1, 2.5], []], [[1, "x"]]),
    (
        {"items": [{"type": "number"}, {"type": "string"}], "additionalItems": False},
        [[1, "x"], [1]],
        [["x"], [1, "x", 2]],
    ),
    ({"items": [{}], "additionalItems": {"type": "string"}}, [[1, "x"]], [[1, 2]]),
    ({"allOf": [{"minimum": 1}, {"maximum": 3}]}, [2], [0, 4]),
    ({"anyOf": [{"type": "string"}, {"minimum": 5}]}, ["x", 6], [1]),
    ({"oneOf": [{"minimum": 1}, {"maximum": 3}]}, [0, 4], [2]),
    ({"not": {"type": "string"}}, [1], ["x"]),
    ({"title": "t", "description": "d"}, [1], []),
]


@pytest.mark.parametrize(("schema", "valid", "invalid"), CASES, ids=str)
def test_keywords(schema: dict[str, Any], valid: list[Any], invalid: list[Any]) -> None:
    test = compile_schema(schema)
    assert [value for value in valid if not test(value)] == []
    assert [value for value in invalid if test(value)] == []


def test_every_keyword_has_an_example() -> None:
    assert set(SCHEMA_KEYWORDS) == {name for schema, _, _ in CASES for name in schema}


@pytest.mark.parametrize(
    ("schema", "number", "text"),
    [
        ({"nope": 1}, 9, "nope"),
        ({"type": "integer"}, 9, "integer"),
        ({"type": "foo"}, 9, "foo"),
        ({"bsonType": "foo"}, 2, "foo"),
        ({"type": 5}, 14, "type"),
        ({"minimum": "x"}, 14, "minimum"),
        ({"minLength": -1}, 9, "minLength"),
        ({"required": []}, 9, "required"),
        ({"exclusiveMinimum": True}, 9, "minimum"),
        ({"multipleOf": 0}, 9, "multipleOf"),
        ({"properties": 5}, 14, "properties"),
        ({"allOf": []}, 9, "allOf"),
        ({"enum": []}, 9, "enum"),
        ({"pattern": 5}, 14, "pattern"),
        ({"uniqueItems": 1}, 14, "uniqueItems"),
        ({"type": "string", "bsonType": "string"}, 9, "both"),
        (5, 14, "object"),
        *(({name: 1}, 9, name) for name in UNSUPPORTED_SCHEMA_KEYWORDS),
    ],
)
def test_errors(schema: Any, number: int, text: str) -> None:
    with pytest.raises(DocumentError) as caught:
        compile_schema(schema)
    assert caught.value.code == number
    assert text in str(caught.value)


def test_a_validator_says_what_is_wrong() -> None:
    validator = Validator(
        {"$jsonSchema": {"required": ["name", "year"], "properties": {"year": {"bsonType": "int", "minimum": 2017}}}}
    )
    validator.check({"_id": 1, "name": "x", "year": 2020})
    with pytest.raises(pymongo.errors.WriteError) as caught:
        validator.check({"_id": 7, "year": 1900})
    assert isinstance(caught.value, DocumentValidationFailure) and caught.value.code == 121
    assert caught.value.details is not None
    assert caught.value.details["errInfo"]["failingDocumentId"] == 7
    rules = caught.value.details["errInfo"]["details"]["schemaRulesNotSatisfied"]
    assert rules[0]["missingProperties"] == ["name"]
    assert rules[1]["propertiesNotSatisfied"][0]["propertyName"] == "year"
    assert rules[1]["propertiesNotSatisfied"][0]["details"][0]["operatorName"] == "minimum"


def test_a_validator_may_be_any_filter() -> None:
    validator = Validator({"a": {"$gt": 5}})
    assert validator.is_valid({"a": 6})
    with pytest.raises(DocumentValidationFailure):
        validator.check({"a": 5})
