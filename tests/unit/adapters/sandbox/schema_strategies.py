"""Hypothesis strategies that write JSON schemas, most of which can be satisfied and some of which cannot."""

from typing import Any

from hypothesis import strategies as st

NAMES = ["title", "colour", "count", "tags", "size", "a/b", "x~y", "é", "enum", "$ref", "items"]
FORMATS = ["date-time", "date", "time", "email", "uri", "uuid", "ipv4", "ipv6", "hostname", "duration", "strange"]
PATTERNS = [
    r"^[a-z]+$",
    r"^\d{3}-\d{4}$",
    r"^#[0-9a-fA-F]{6}$",
    r"[A-Z]{2,}",
    r"^(red|green|blue)( \w+)?$",
    r"^[^\s@]+@[^\s@]+\.[a-z]{2,4}$",
    r"\.(png|jpe?g)$",
    r"^(?=x)y$",
    r"^.{5}$",
    r"^[-+]?\d*\.?\d+$",
]

scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from([0.5, 1.0, -2.25]), st.sampled_from(["", "a", "red"])
)
counts = st.integers(0, 4)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A dictionary with any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


texts = some(minLength=st.integers(0, 12), maxLength=st.integers(0, 20), pattern=st.sampled_from(PATTERNS)) | some(
    format=st.sampled_from(FORMATS), minLength=st.integers(0, 12)
)
numbers = some(
    minimum=st.integers(-20, 20) | st.sampled_from([0.1, -1.5]),
    maximum=st.integers(-20, 20) | st.sampled_from([0.7, 9.99]),
    exclusiveMinimum=st.integers(-20, 20),
    exclusiveMaximum=st.integers(-20, 20) | st.sampled_from([0.25]),
    multipleOf=st.sampled_from([1, 2, 3, 5, 0.5, 0.1, 0.01, 0.3]),
)
leaves = st.one_of(
    st.booleans(),
    texts.map(lambda s: {"type": "string", **s}),
    numbers.map(lambda s: {"type": "number", **s}),
    numbers.map(lambda s: {"type": "integer", **s}),
    st.lists(scalars, min_size=1, max_size=4).map(lambda options: {"enum": options}),
    scalars.map(lambda value: {"const": value}),
    st.sampled_from([{"type": "null"}, {"type": "boolean"}, {}, {"type": ["string", "null"]}]),
    st.just({"$ref": "#/$defs/thing"}),
    st.just({"$ref": "#/$defs/tree"}),
    st.sampled_from([{"type": ["integer", "string"], "minimum": 3, "minLength": 2}, {"unevaluatedProperties": False}]),
)


def composite(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas made of schemas."""
    names = st.sampled_from(NAMES)
    objects = some(
        properties=st.dictionaries(names, inner, max_size=4),
        required=st.lists(names, max_size=3, unique=True),
        additionalProperties=inner,
        patternProperties=st.dictionaries(st.sampled_from(["^t", "o", r"^\w+$"]), inner, max_size=1),
        propertyNames=st.sampled_from([{"maxLength": 6}, {"pattern": "^[a-z]+$"}]),
        minProperties=counts,
        maxProperties=st.integers(2, 6),
        dependentRequired=st.just({"title": ["size"]}),
        dependentSchemas=st.dictionaries(names, inner, max_size=1),
    ).map(lambda s: {"type": "object", **s})
    arrays = some(
        items=inner,
        prefixItems=st.lists(inner, min_size=1, max_size=2),
        contains=inner,
        minContains=st.integers(0, 2),
        maxContains=st.integers(1, 3),
        minItems=counts,
        maxItems=st.integers(1, 6),
        uniqueItems=st.booleans(),
    ).map(lambda s: {"type": "array", **s})
    several = st.lists(inner, min_size=1, max_size=3)
    mixed = st.one_of(
        several.map(lambda s: {"anyOf": s}),
        several.map(lambda s: {"oneOf": s}),
        several.map(lambda s: {"allOf": s}),
        inner.map(lambda s: {"not": s}),
        st.tuples(inner, inner, inner).map(lambda s: {"if": s[0], "then": s[1], "else": s[2]}),
        st.tuples(inner, inner).map(lambda s: {"allOf": [s[0]], "anyOf": [s[1], {"type": "null"}]}),
    )
    return objects | arrays | mixed


DEFINITIONS = {
    "thing": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
    "tree": {
        "type": "object",
        "properties": {
            "value": {"type": "integer"},
            "left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
            "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
        },
        "required": ["value", "left"],
        "additionalProperties": False,
    },
}

schemas = st.recursive(leaves, composite, max_leaves=12).map(
    lambda schema: {**schema, "$defs": DEFINITIONS} if isinstance(schema, dict) else schema
)
