"""Which JSON Schema keywords are understood, and what each must look like.

Checked once before anything else, so that the checker and the writer can trust the shapes they meet. The vocabulary is
draft 2020-12 (json-schema.org), with draft 7's `definitions`.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

Schema: TypeAlias = "dict[str, Any] | bool"
SCHEMAS_MAX = 5000
NESTING_MAX = 60


class RefusedSchemaError(ValueError):
    """A schema that cannot be answered: `keyword` is what is not supported or cannot be satisfied."""

    def __init__(self, keyword: str, reason: str) -> None:
        super().__init__(f"{keyword}: {reason}")
        self.keyword = keyword
        self.reason = reason


TYPES = frozenset({"null", "boolean", "object", "array", "number", "integer", "string"})

REFUSED = frozenset(
    {"unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef", "dependencies", "extends", "disallow"}
)

_ONE = frozenset(
    {"additionalProperties", "propertyNames", "items", "contains", "not", "if", "then", "else"},
)
_MANY = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})


def is_number(value: object) -> bool:
    """A finite JSON number; a boolean is none."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and math.isfinite(value)
    )


def is_whole(value: object) -> bool:
    """A whole JSON number: 1 and 1.0."""
    return is_number(value) and (isinstance(value, int) or value.is_integer())  # type: ignore[attr-defined]


def _is_count(value: Any) -> bool:
    return is_whole(value) and bool(value >= 0)


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_types(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in TYPES for name in names)


_SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "type": (_is_types, "must be a JSON type or a list of them"),
    "enum": (lambda v: isinstance(v, list) and bool(v), "must be a list that is not empty"),
    "required": (_is_names, "must be a list of names"),
    "pattern": (lambda v: isinstance(v, str), "must be text"),
    "format": (lambda v: isinstance(v, str), "must be text"),
    "$ref": (lambda v: isinstance(v, str) and v.startswith("#"), "must point into the same schema (#/…)"),
    "multipleOf": (lambda v: is_number(v) and v > 0, "must be a number above 0"),
    "uniqueItems": (lambda v: isinstance(v, bool), "must be true or false"),
    "dependentRequired": (
        lambda v: isinstance(v, dict) and all(_is_names(names) for names in v.values()),
        "must map names to lists of names",
    ),
    **{
        name: (_is_count, "must be a whole number of 0 or more")
        for name in (
            "minLength",
            "maxLength",
            "minItems",
            "maxItems",
            "minContains",
            "maxContains",
            "minProperties",
            "maxProperties",
        )
    },
    **{
        name: (is_number, "must be a number") for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    },
}


def check_schema(schema: object, *, is_root: bool = True) -> Schema:
    """The same schema, every keyword in it understood and well formed. Only a root may have an `$id`.

    Raises RefusedSchemaError naming the first keyword that is not.
    """
    waiting: list[tuple[object, int]] = [(schema, 0)]
    seen = 0
    while waiting:
        current, depth = waiting.pop()
        seen += 1
        if seen > SCHEMAS_MAX or depth > NESTING_MAX:
            raise RefusedSchemaError("schema", "is too large or nested too deeply for the sandbox")
        if isinstance(current, bool):
            continue
        if not isinstance(current, dict):
            raise RefusedSchemaError("schema", "must be an object or a boolean wherever a schema is expected")
        waiting += [(inner, depth + 1) for inner in _check_one(current, is_root=is_root and depth == 0)]
    return schema  # type: ignore[return-value]


def _check_one(schema: dict[str, Any], *, is_root: bool) -> list[object]:
    inner: list[object] = []
    for keyword, value in schema.items():
        if keyword in REFUSED or (keyword == "$id" and not is_root):
            raise RefusedSchemaError(keyword, "is not supported by the sandbox")
        shape = _SHAPES.get(keyword)
        if shape is not None and not shape[0](value):
            raise RefusedSchemaError(keyword, shape[1])
        if keyword in _ONE:
            inner.append(value)
        elif keyword in _MANY:
            if not isinstance(value, list) or not value:
                raise RefusedSchemaError(keyword, "must be a list of schemas that is not empty")
            inner += value
        elif keyword in _NAMED:
            if not isinstance(value, dict):
                raise RefusedSchemaError(keyword, "must map names to schemas")
            inner += value.values()
    return inner
