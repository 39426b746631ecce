"""JSON operators and functions: values are those PostgreSQL 15 gives."""
from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomdb.core.query.cast_json import read_json, write_json
from phantomdb.core.query.errors import (
    ArraySubscriptError,
    InvalidParameterValue,
    InvalidTextRepresentation,
    NullValueNotAllowed,
    QueryError,
)
from phantomdb.core.query.functions import registry
from phantomdb.core.values import (
    BIGINT,
    BOOL,
    BYTES,
    DATE,
    DOUBLE,
    INT,
    INTERVAL,
    JSON,
    JSON_NULL,
    NUMERIC,
    REAL,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    Interval,
    Type,
    array,
    decimal,
)

TEXTS = array(TEXT)


def call(name: str, *arguments: tuple[Type, Any]) -> Any:
    """JSON values are given as JSON text."""
    overload = registry.resolve(name, [type_ for type_, _ in arguments]).overload
    values = [read_json(value) if type_ == JSON and value is not None else value for type_, value in arguments]
    if overload.is_strict and None in values:
        return None
    return overload.python(*values)


def shown(value: Any) -> str | None:
    return None if value is None else write_json(value)


@pytest.mark.parametrize(("document", "operator", "argument", "expected"), [
    ('[{"a":"foo"},{"b":"bar"},{"c":"baz"}]', "->", 2, '{"c": "baz"}'), ('[1,2,3]', "->", -3, "1"),
    ("[1]", "->", 1, None),
    ('{"a": {"b":"foo"}}', "->", "a", '{"b": "foo"}'), ('{"a": null}', "->", "a", "null"),
    ('{"a": 1}', "->", "b", None),
    ('[1,2]', "->", "1", None), ('{"1": 2}', "->", 1, None), ("5", "->", 0, "5"), ("5", "->", "a", None),
    ('{"a": {"b": ["foo","bar"]}}', "#>", ["a", "b", "1"], '"bar"'), ('{"a": [1,2]}', "#>", ["a", "-1"], "2"),
    ('{"a": 1}', "#>", [], '{"a": 1}'), ('{"a": 1}', "#>", ["a", "b"], None), ('{"a": [1]}', "#>", ["a", "x"], None),
    ("5", "#>", ["0"], None), ('{"a": null}', "#>", ["a"], "null"), ('{"a": {"b": 1}}', "#>", ["a", None], None),
])
def test_parts(document: str, operator: str, argument: Any, expected: str | None) -> None:
    type_ = INT if isinstance(argument, int) else TEXT if isinstance(argument, str) else TEXTS
    found = call(operator, (JSON, document), (type_, argument))
    assert shown(found) == expected
    text = call(operator + ">" if operator == "->" else "#>>", (JSON, document), (type_, argument))
    assert text == (None if expected in (None, "null") else json.loads(expected) if expected[0] == '"' else expected)


def test_json_null_is_a_value() -> None:
    assert call("->", (JSON, '{"a": null}'), (TEXT, "a")) is JSON_NULL
    assert call("->", (JSON, None), (TEXT, "a")) is None
    assert call("jsonb_extract_path", (JSON, '{"a": [null]}'), (TEXT, "a"), (TEXT, "0")) is JSON_NULL
    assert call("jsonb_extract_path_text", (JSON, '{"a": [null, 1.50]}'), (TEXT, "a"), (TEXT, "1")) == "1.50"
    assert call("jsonb_typeof", (JSON, "null")) == "null"


@pytest.mark.parametrize(("document", "part", "expected"), [
    ('{"a":1, "b":2}', '{"b":2}', True), ('{"a":{"b":1}}', '{"a":{}}', True), ("[[1,2]]", "[[1]]", True),
    ("[1,1]", "[1,1,1]", True), ("[]", "[]", True), ('{"a":[1]}', '{"a":1}', False), ('["x"]', '"x"', True),
    ('"x"', '["x"]', False), ("1.0", "1", True), ("null", "null", True), ("[1]", "{}", False), ("{}", "[]", False),
    ("[1,[2]]", "[2]", False), ("[1]", "[true]", False), ('{"a":null}', '{"a":null}', True),
    ("{}", '{"a":null}', False),
])
def test_containment(document: str, part: str, expected: bool) -> None:
    assert call("@>", (JSON, document), (JSON, part)) is expected
    assert call("<@", (JSON, part), (JSON, document)) is expected


@pytest.mark.parametrize(("document", "operator", "keys", "expected"), [
    ('{"a":1, "b":2}', "?", "b", True), ('["a", "b", "c"]', "?", "b", True), ('"b"', "?", "b", True),
    ("[1]", "?", "1", False),
    ("5", "?", "5", False), ('{"a":{"b":1}}', "?", "b", False), ('{"a":1, "b":2, "c":3}', "?|", ["b", "d"], True),
    ('["a", "b", "c"]', "?&", ["a", "b"], True), ('["a"]', "?&", ["a", "b"], False), ("{}", "?&", [], True),
    ("{}", "?|", [], False), ('{"a":1}', "?|", [None, "a"], True), ('{"a":1}', "?&", [None, "a"], True),
])
def test_keys(document: str, operator: str, keys: Any, expected: bool) -> None:
    assert call(operator, (JSON, document), (TEXT if isinstance(keys, str) else TEXTS, keys)) is expected


@pytest.mark.parametrize(("a", "b", "expected"), [
    ('["a", "b"]', '["a", "d"]', '["a", "b", "a", "d"]'), ('{"a": "b"}', '{"c": "d"}', '{"a": "b", "c": "d"}'),
    ("[1, 2]", "3", "[1, 2, 3]"), ('{"a": 1}', "42", '[{"a": 1}, 42]'), ('{"a": 1}', '{"a": 2}', '{"a": 2}'),
    ("1", "null", "[1, null]"), ("[1]", '{"a": 1}', '[1, {"a": 1}]')])
def test_concatenation(a: str, b: str, expected: str) -> None:
    assert shown(call("||", (JSON, a), (JSON, b))) == expected


@pytest.mark.parametrize(("document", "operator", "argument", "expected"), [
    ('{"a": "b", "c": "d"}', "-", "a", '{"c": "d"}'), ('["a", "b", "c", "b"]', "-", "b", '["a", "c"]'),
    ("[1, 2, 3]", "-", -1, "[1, 2]"),
    ("[1, 2, 3]", "-", 7, "[1, 2, 3]"), ('{"a": 1, "c": 2}', "-", ["a", "c", "x"], "{}"),
    ('["a", {"b":1}]', "#-", ["1", "b"], '["a", {}]'),
    ('{"a": 1}', "#-", [], '{"a": 1}'), ('{"a":[1]}', "#-", ["a", "5"], '{"a": [1]}'), ("[1, 2]", "#-", ["-2"], "[2]"),
    ("[]", "#-", ["x"], "[]"),
])
def test_removal(document: str, operator: str, argument: Any, expected: str) -> None:
    type_ = INT if isinstance(argument, int) else TEXT if isinstance(argument, str) else TEXTS
    assert shown(call(operator, (JSON, document), (type_, argument))) == expected


@pytest.mark.parametrize(("document", "path", "value", "creates", "expected"), [
    ('[{"f1":1,"f2":null},2,null,3]', ["0", "f1"], "[2,3,4]", False, '[{"f1": [2, 3, 4], "f2": null}, 2, null, 3]'),
    ('[{"f1":1,"f2":null},2]', ["0", "f3"], "[2]", True, '[{"f1": 1, "f2": null, "f3": [2]}, 2]'),
    ('{"a":1}', ["b"], "2", False, '{"a": 1}'), ('{"a":1}', ["b", "c"], "2", True, '{"a": 1}'),
    ("[1,2]", ["-1"], "9", True, "[1, 9]"),
    ("[1,2]", ["-5"], "9", True, "[9, 1, 2]"), ("[1,2]", ["5"], "9", True, "[1, 2, 9]"),
    ("[1,2]", ["5"], "9", False, "[1, 2]"),
    ('{"a":1}', ["a", "b"], "2", True, '{"a": 1}'), ("{}", [], "1", True, "{}"),
    ('{"a":1}', ["a"], "null", True, '{"a": null}'),
])
def test_jsonb_set(document: str, path: list[str], value: str, creates: bool, expected: str) -> None:
    assert shown(call("jsonb_set", (JSON, document), (TEXTS, path), (JSON, value), (BOOL, creates))) == expected


@pytest.mark.parametrize(("document", "path", "is_after", "expected"), [
    ('{"a": [0,1,2]}', ["a", "1"], False, '{"a": [0, 9, 1, 2]}'),
    ('{"a": [0,1,2]}', ["a", "1"], True, '{"a": [0, 1, 9, 2]}'),
    ("[1,2]", ["-1"], True, "[1, 2, 9]"), ("[1,2]", ["-9"], False, "[9, 1, 2]"), ("[1,2]", ["7"], False, "[1, 2, 9]"),
    ('{"a":1}', ["b"], False, '{"a": 1, "b": 9}')])
def test_jsonb_insert(document: str, path: list[str], is_after: bool, expected: str) -> None:
    assert shown(call("jsonb_insert", (JSON, document), (TEXTS, path), (JSON, "9"), (BOOL, is_after))) == expected


def test_jsonb_set_lax() -> None:
    document, path, null = (JSON, '{"a": 1}'), (TEXTS, ["a"]), (JSON, None)
    assert shown(call("jsonb_set_lax", document, path, null)) == '{"a": null}'
    assert shown(call("jsonb_set_lax", document, path, (JSON, "2"))) == '{"a": 2}'
    for treatment, expected in (("delete_key", "{}"), ("return_target", '{"a": 1}')):
        assert shown(call("jsonb_set_lax", document, path, null, (BOOL, True), (TEXT, treatment))) == expected
    assert call("jsonb_set_lax", (JSON, None), path, null) is None
    with pytest.raises(NullValueNotAllowed):
        call("jsonb_set_lax", document, path, null, (BOOL, True), (TEXT, "raise_exception"))
    with pytest.raises(InvalidParameterValue):
        call("jsonb_set_lax", document, path, null, (BOOL, True), (TEXT, "other"))


@pytest.mark.parametrize(("name", "arguments", "error"), [
    ("jsonb_set", ((JSON, "5"), (TEXTS, ["a"]), (JSON, "1")), InvalidParameterValue),
    ("jsonb_set", ((JSON, "[1]"), (TEXTS, ["x"]), (JSON, "1")), InvalidTextRepresentation),
    ("jsonb_set", ((JSON, "{}"), (TEXTS, [None]), (JSON, "1")), NullValueNotAllowed),
    ("jsonb_insert", ((JSON, '{"a":1}'), (TEXTS, ["a"]), (JSON, "1")), InvalidParameterValue),
    ("-", ((JSON, "5"), (TEXT, "a")), InvalidParameterValue),
    ("-", ((JSON, '{"a":1}'), (INT, 1)), InvalidParameterValue),
    ("-", ((JSON, "5"), (INT, 1)), InvalidParameterValue), ("#-", ((JSON, "5"), (TEXTS, ["a"])), InvalidParameterValue),
    ("jsonb_array_length", ((JSON, "{}"),), InvalidParameterValue),
    ("jsonb_array_length", ((JSON, "5"),), InvalidParameterValue),
    ("jsonb_array_elements", ((JSON, "{}"),), InvalidParameterValue),
    ("jsonb_each", ((JSON, "[]"),), InvalidParameterValue),
    ("jsonb_object_keys", ((JSON, "[]"),), InvalidParameterValue),
    ("jsonb_build_object", ((TEXT, "a"),), InvalidParameterValue),
    ("jsonb_build_object", ((TEXT, None), (INT, 1)), InvalidParameterValue),
    ("jsonb_build_object", ((JSON, "{}"), (INT, 1)), InvalidParameterValue),
    ("jsonb_object", ((TEXTS, ["a"]),), ArraySubscriptError),
    ("jsonb_object", ((TEXTS, ["a", "b"]), (TEXTS, ["c"])), ArraySubscriptError),
    ("jsonb_object", ((TEXTS, [None, "b"]),), NullValueNotAllowed),
    ("jsonb_object", ((array(TEXTS), [["a"]]),), ArraySubscriptError),
])
def test_refusals(name: str, arguments: tuple[tuple[Type, Any], ...], error: type[QueryError]) -> None:
    with pytest.raises(error):
        call(name, *arguments)


@pytest.mark.parametrize(("type_", "value", "expected"), [
    (INT, 5, "5"), (NUMERIC, Decimal("1.50"), "1.5"),
    (decimal(5, 2), Decimal("1.50"), "1.50"), (NUMERIC, Decimal("1E+3"), "1000"),
    (DOUBLE, 1e20, "100000000000000000000"),
    (DOUBLE, float("nan"), '"NaN"'), (DOUBLE, float("-inf"), '"-Infinity"'), (REAL, 0.10000000149011612, "0.1"),
    (BOOL, True, "true"),
    (TEXT, 'a"b', '"a\\"b"'), (DATE, date(2020, 1, 2), '"2020-01-02"'), (TIME, time(10), '"10:00:00"'),
    (TIMESTAMP, datetime(2020, 1, 2, 10, 0, 0, 500_000), '"2020-01-02T10:00:00.5"'),
    (TIMESTAMPTZ, datetime(2020, 1, 2, 10, tzinfo=UTC), '"2020-01-02T10:00:00+00:00"'),
    (INTERVAL, Interval(0, 1), '"1 day"'),
    (BYTES, b"\0\xff", '"\\\\x00ff"'), (array(INT), [1, None], "[1, null]"),
    (array(array(INT)), [[1], [2]], "[[1], [2]]"),
    (JSON, '{"b": [1]}', '{"b": [1]}'), (JSON, "null", "null"),
])
def test_to_jsonb(type_: Type, value: Any, expected: str) -> None:
    assert shown(call("to_jsonb", (type_, value))) == shown(call("to_json", (type_, value))) == expected
    assert shown(call("jsonb_build_array", (type_, value))) == f"[{expected}]"


def test_builders() -> None:
    pairs = (TEXT, "foo"), (INT, 1), (INT, 2), (JSON, "null"), (BOOL, True), (TEXT, None)
    assert call("jsonb_build_object", *pairs) == {"foo": 1, "2": None, "true": None}
    assert call("jsonb_build_object") == {} and call("json_build_array") == []
    assert call("jsonb_object", (TEXTS, ["a", "1", "b", None])) == {"a": "1", "b": None}
    assert call("jsonb_object", (array(TEXTS), [["a", "1"], ["b", "2"]])) == {"a": "1", "b": "2"}
    assert call("json_object", (TEXTS, ["a", "b"]), (TEXTS, ["1", "2"])) == {"a": "1", "b": "2"}
    assert call("array_to_json", (array(array(INT)), [[1, 5], [99, 100]])) == [[1, 5], [99, 100]]


def test_the_rest() -> None:
    document = (JSON, '{"a":null,"b":[null,{"c":null}]}')
    assert shown(call("jsonb_strip_nulls", document)) == '{"b": [null, {}]}'
    assert call("jsonb_pretty", (JSON, '{"a":[1,{}],"b":[]}')) == (
        '{\n    "a": [\n        1,\n        {\n        }\n    ],\n    "b": [\n    ]\n}')
    assert call("jsonb_array_length", (JSON, "[1,2,[3]]")) == 3
    assert [call("json_typeof", (JSON, text)) for text in ("{}", "[]", '"a"', "1.5", "true")] == [
        "object", "array", "string", "number", "boolean"]


@pytest.mark.parametrize(("text", "kinds"), [("123", {"value", "scalar"}), ('"abc"', {"value", "scalar"}),
                                             ('{"a": "b"}', {"value", "object"}),
                                             ("[1,2]", {"value", "array"}), ("abc", set()),
                                             ("null", {"value", "scalar"})])
def test_is_json(text: str, kinds: set[str]) -> None:
    found = {kind for kind in ("value", "scalar", "object", "array") if call(f"is json {kind}", (TEXT, text))}
    assert found == kinds and call("is json", (TEXT, text)) is bool(kinds)
    if kinds:
        assert call("is json object", (JSON, text)) is ("object" in kinds)


def test_rows() -> None:
    assert [shown(row) for row in call("jsonb_array_elements", (JSON, '[1,true, [2,null], null]'))] == [
        "1", "true", "[2, null]", "null"]
    assert call("jsonb_array_elements_text", (JSON, '["foo", null, 1.0, [1]]')) == ["foo", None, "1.0", "[1]"]
    assert call("jsonb_each", (JSON, '{"bb":null,"a":"foo"}')) == [("a", "foo"), ("bb", JSON_NULL)]
    assert call("json_each_text", (JSON, '{"a":"foo", "b":{"c":1}, "d":null}')) == [
        ("a", "foo"), ("b", '{"c": 1}'), ("d", None)]
    assert call("jsonb_object_keys", (JSON, '{"bb":1,"a":2}')) == ["a", "bb"]
    assert registry.resolve("jsonb_each_text", (JSON,)).overload.columns == (("key", TEXT), ("value", TEXT))


TEXT_OF_JSON = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)
DOCUMENTS = st.recursive(st.none() | st.booleans() | st.integers() | TEXT_OF_JSON, lambda inner: st.lists(
    inner, max_size=3) | st.dictionaries(TEXT_OF_JSON, inner, max_size=3), max_leaves=8)


@given(DOCUMENTS)
def test_a_document_contains_itself_and_its_parts(value: Any) -> None:
    text = json.dumps(value)
    assert call("@>", (JSON, text), (JSON, text))
    if isinstance(value, dict):
        for key in value:
            part = call("->", (JSON, text), (TEXT, key))
            assert call("#>", (JSON, text), (TEXTS, [key])) == part
            assert call("@>", (JSON, text), (JSON, json.dumps({key: value[key]})))
            without = call("-", (JSON, text), (TEXT, key))
            assert not call("?", (JSON, write_json(without)), (TEXT, key))
            assert call("jsonb_set", (JSON, write_json(without)), (TEXTS, [key]), (JSON, write_json(part))) == value
    if isinstance(value, list):
        for index in range(len(value)):
            assert shown(call("->", (JSON, text), (INT, index))) == write_json(value[index])
            without = write_json(call("-", (JSON, text), (INT, index)))
            assert call("jsonb_insert", (JSON, without), (TEXTS, [str(index)]),
                        (JSON, json.dumps(value[index]))) == value


def test_arguments_are_not_changed() -> None:
    document = {"a": {"b": [1]}}
    for name, types, arguments in (("jsonb_set", (JSON, TEXTS, JSON), (document, ["a", "b", "0"], 2)),
                                   ("jsonb_insert", (JSON, TEXTS, JSON), (document, ["a", "b", "0"], 2)),
                                   ("#-", (JSON, TEXTS), (document, ["a", "b"])), ("-", (JSON, TEXT), (document, "a")),
                                   ("||", (JSON, JSON), (document, {"c": 1}))):
        registry.resolve(name, types).overload.python(*arguments)
    assert document == {"a": {"b": [1]}}


def test_numbers_stay_exact() -> None:
    assert call("->>", (JSON, '{"a": 12345678901234567890.12345678901234567890}'), (TEXT, "a")) == (
        "12345678901234567890.12345678901234567890")
    assert call("to_jsonb", (BIGINT, 2**63 - 1)) == 2**63 - 1
