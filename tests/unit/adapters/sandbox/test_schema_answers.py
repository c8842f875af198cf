"""Structured answers satisfy the caller's schema, or the keyword in the way is named."""

import time
from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from pydantic import BaseModel, Field

from tessera.adapters.providers.sandbox.schema_answers import generate
from tessera.adapters.providers.sandbox.schema_keywords import RefusedSchemaError
from unit.adapters.sandbox.schema_strategies import schemas

CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER
FUZZ: Any = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def assert_valid(schema: Any, value: object) -> None:
    """By the reference validator, with formats checked and not."""
    jsonschema.Draft202012Validator(schema, format_checker=CHECKER).validate(value)
    jsonschema.Draft202012Validator(schema).validate(value)


def refused(schema: Any) -> str:
    with pytest.raises(RefusedSchemaError) as caught:
        generate(schema, 1)
    assert caught.value.reason
    return caught.value.keyword


def answer_or_refuse(schema: Any, *, invent: bool = True) -> None:
    """Answers validly, or refuses with a keyword and a reason."""
    try:
        value = generate(schema, 7, invent=invent)
    except RefusedSchemaError as error:
        keyword, reason = error.keyword, error.reason
    else:
        return assert_valid(schema, value)
    assert keyword
    assert reason


@settings(max_examples=300, **FUZZ)
@given(schemas)
def test_every_schema_is_answered_validly_or_refused_by_name(schema: Any) -> None:
    answer_or_refuse(schema)


@settings(max_examples=150, **FUZZ)
@given(schemas)
def test_the_answer_that_invents_nothing_is_valid_too(schema: Any) -> None:
    answer_or_refuse(schema, invent=False)


class Shape(BaseModel):
    kind: Literal["circle", "square"]
    size: float = Field(gt=0, le=9.5)


class Scene(BaseModel):
    """What people send with `client.chat.completions.parse`."""

    title: str = Field(min_length=3, max_length=40)
    shapes: list[Shape] = Field(min_length=1, max_length=5)
    parent: "Scene | None" = None
    labels: dict[str, int] = Field(default_factory=dict)
    code: str = Field(pattern=r"^[A-Z]{3}-\d{4}$")
    rating: int | None = Field(default=None, ge=1, le=5)
    when: str = Field(json_schema_extra={"format": "date-time"})
    pair: tuple[int, str]


def test_the_schema_of_a_typical_model_is_filled_and_parses() -> None:
    for seed in range(20):
        value = generate(Scene.model_json_schema(), seed)
        Scene.model_validate(value, strict=False)
        assert_valid(Scene.model_json_schema(), value)


ANSWERED: list[Any] = [
    {"type": "string", "minLength": 30, "maxLength": 30},
    {"type": "string", "maxLength": 0},
    {"type": "string", "pattern": "^[a-z]{2,5}$", "minLength": 4},
    {"type": "string", "format": "email", "maxLength": 6},
    {"type": "string", "format": "uri", "minLength": 60},
    {"type": "string", "format": "made-up"},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
    {"type": "number", "multipleOf": 0.01, "minimum": 0.07, "maximum": 0.08},
    {"type": "integer", "minimum": -8, "maximum": -8},
    {"type": "integer", "multipleOf": 7, "minimum": 50, "maximum": 60},
    {"type": "integer", "minimum": 10**30},
    {"allOf": [{"multipleOf": 4}, {"multipleOf": 6}, {"type": "integer", "minimum": 1}]},
    {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"const": 1}, {"type": "string"}], "items": False, "minItems": 2},
    {"type": "array", "contains": {"const": 5}, "minContains": 2, "items": {"type": "integer"}},
    {"type": "object", "minProperties": 3, "additionalProperties": {"type": "integer"}},
    {"type": "object", "minProperties": 2, "propertyNames": {"pattern": "^k[0-9]$"}},
    {
        "type": "object",
        "patternProperties": {"^x_": {"type": "null"}},
        "additionalProperties": False,
        "minProperties": 2,
    },
    {"type": "object", "required": ["a"], "dependentRequired": {"a": ["b"]}, "properties": {"b": {"const": 1}}},
    {"type": "object", "required": ["a"], "dependentSchemas": {"a": {"required": ["c"]}}},
    {"if": {"type": "string"}, "then": {"minLength": 5}, "else": {"type": "null"}},
    {"not": {"type": "string"}},
    {"type": "string", "pattern": "^[^\\s@]+@[^\\s@]+$", "not": {"not": {"format": "email"}}},
    {"oneOf": [{"type": "string", "format": "date"}, {"type": "integer"}]},
    {"type": "string", "not": {"enum": ["a", "b"]}},
    {"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 2}]},
    {"anyOf": [{"type": "string", "pattern": "(?=x)"}, {"type": "integer"}][1:]},
    {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 3}}},
    {"$ref": "#/$defs/a%25b", "$defs": {"a%b": {"const": 3}}},
    {"definitions": {"x": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/definitions/x"}, "minItems": 1},
    {"type": ["null", "integer"], "nullable": True},
    {"const": {"a": [1, {"b": None}]}},
    {"default": 5, "type": "integer", "examples": ["wrong"]},
    {"type": "object", "properties": {"$ref": {"type": "string"}}, "required": ["$ref"]},
    {"$id": "https://example.com/x", "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "integer"},
    {"type": "string", "format": "date", "enum": ["2026-11-22"]},
    {},
    True,
]


@pytest.mark.parametrize("schema", ANSWERED, ids=str)
def test_these_schemas_are_answered_validly(schema: Any) -> None:
    for seed in range(5):
        assert_valid(schema, generate(schema, seed))
        assert_valid(schema, generate(schema, seed, invent=False))


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"unevaluatedProperties": False}, "unevaluatedProperties"),
        ({"properties": {"a": {"unevaluatedItems": False}}}, "unevaluatedItems"),
        ({"$dynamicRef": "#x"}, "$dynamicRef"),
        ({"dependencies": {"a": ["b"]}}, "dependencies"),
        ({"properties": {"a": {"$id": "https://x"}}}, "$id"),
        ({"$ref": "https://example.com/schema"}, "$ref"),
        ({"$ref": "#/$defs/missing"}, "$ref"),
        ({"$ref": "#anchor"}, "$ref"),
        ({"$ref": "#"}, "$ref"),
        ({"$ref": "#/other", "other": {"type": 5}}, "type"),
        ({"$ref": "#/required", "required": ["a"]}, "schema"),
        ({"$ref": "#/"}, "$ref"),
        ({"type": "string", "pattern": "(?<=a)b"}, "pattern"),
        ({"type": "string", "pattern": "^a$", "minLength": 2}, "pattern"),
        ({"type": "strnig"}, "type"),
        ({"type": []}, "type"),
        ({"enum": []}, "enum"),
        ({"minLength": -1}, "minLength"),
        ({"exclusiveMinimum": True}, "exclusiveMinimum"),
        ({"multipleOf": 0}, "multipleOf"),
        ({"required": "a"}, "required"),
        ({"anyOf": []}, "anyOf"),
        ({"properties": ["a"]}, "properties"),
        ({"items": [{"type": "string"}]}, "schema"),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "maximum"),
        ({"type": "integer", "minimum": 0.1, "maximum": 0.9}, "maximum"),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 3, "uniqueItems": True}, "uniqueItems"),
        ({"type": "array", "minItems": 10**9}, "minItems"),
        ({"type": "string", "minLength": 10**9}, "minLength"),
        ({"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}}, "$ref"),
        ({"enum": ["é"], "pattern": r"^\w$"}, "pattern"),
        ({"type": "object", "required": ["é"], "patternProperties": {r"^\w$": {"type": "null"}}}, "pattern"),
        ("text", "schema"),
        (None, "schema"),
    ],
    ids=str,
)
def test_what_cannot_be_answered_is_refused_by_its_keyword(schema: Any, keyword: str) -> None:
    assert refused(schema) == keyword


TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "left": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                "right": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["value", "left", "right", "children"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}


def test_a_recursive_schema_gets_an_answer_that_ends() -> None:
    value = generate(TREE, 3)
    assert_valid(TREE, value)
    assert len(str(value)) < 200_000


def doubling(levels: int) -> dict[str, Any]:
    """A schema whose size doubles with every reference that is followed."""
    defs: dict[str, Any] = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{levels}": {"type": "integer"}}}


@pytest.mark.parametrize(
    "schema",
    [
        doubling(30),
        {"anyOf": [{"anyOf": [{"anyOf": [{"not": {}}] * 20}] * 20}] * 20},
        {"allOf": [{"anyOf": [{"required": [f"a{n}"]}, {"required": [f"b{n}"]}, {"not": {}}]} for n in range(30)]},
        {"type": "array", "minItems": 1000, "maxItems": 1000, "uniqueItems": True, "items": {"type": "string"}},
        {"type": "array", "minItems": 900, "items": {"type": "array", "minItems": 900, "items": {"type": "null"}}},
        {"type": "string", "pattern": "^(a{20}){20}$", "minLength": 90_000},
        {"properties": {f"p{n}": {"pattern": "(a|b)*c"} for n in range(900)}},
    ],
    ids=["doubling", "any of any", "many choices", "unique", "grid", "pattern", "wide"],
)
def test_no_schema_keeps_the_server_busy(schema: Any) -> None:
    started = time.process_time()
    answer_or_refuse(schema)
    assert time.process_time() - started < 10


def test_the_same_seed_gives_the_same_answer_and_another_seed_another() -> None:
    schema = Scene.model_json_schema()
    assert generate(schema, 5) == generate(schema, 5)
    assert len({str(generate(schema, seed)) for seed in range(10)}) > 5


def test_what_is_known_is_used_where_the_schema_allows_it() -> None:
    schema = {
        "type": "object",
        "properties": {"width": {"type": "integer"}, "inner": {"$ref": "#/$defs/i"}, "height": {"type": "string"}},
        "required": ["width", "inner", "height"],
        "$defs": {"i": {"type": "object", "properties": {"width": {"enum": [1, 640]}}, "required": ["width"]}},
    }
    facts = {"width": 640, "height": 480}
    value: Any = generate(schema, 1, lambda name, _: facts.get(name))
    assert value["width"] == 640
    assert value["inner"] == {"width": 640}
    assert isinstance(value["height"], str)


def test_what_is_not_known_stays_empty_when_nothing_may_be_invented() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": ["string", "null"]},
            "b": {"type": "string"},
            "c": {"type": "number"},
            "d": {"type": "array", "items": {"type": "string"}},
            "e": {"enum": ["red", "unknown"]},
            "f": {"type": "string"},
            "g": {"type": "string"},
        },
        "required": ["a", "b", "c", "d", "e"],
    }
    value = generate(schema, 1, lambda name, _: "seen" if name == "g" else None, invent=False)
    assert value == {"a": None, "b": "", "c": 0, "d": [], "e": "unknown", "g": "seen"}
