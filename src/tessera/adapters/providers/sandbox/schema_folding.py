"""Ways through a schema: references and `allOf` folded in, one branch of each alternative at a time."""

from collections.abc import Iterator
from typing import Any

from tessera.adapters.providers.sandbox.schema_checks import SchemaDocument
from tessera.adapters.providers.sandbox.schema_keywords import RefusedSchemaError, Schema


def branches(document: SchemaDocument, asked: list[Schema], *, cheap_first: bool) -> Iterator[list[dict[str, Any]]]:
    """Each way through `anyOf`, `oneOf`, `if` and `dependentSchemas`, as schemas without any of them.

    `cheap_first` tries branches that write little before others, so that recursion ends.
    """
    document.step()
    plain = fold(document, asked)
    if plain is None:
        return
    for place, schema in enumerate(plain):
        options = _options(schema)
        if options is None:
            continue
        rest, choices = options
        for choice in sorted(choices, key=_cost) if cheap_first else choices:
            others: list[Schema] = [*plain[:place], rest, choice, *plain[place + 1 :]]
            yield from branches(document, others, cheap_first=cheap_first)
        return
    yield plain


def fold(document: SchemaDocument, asked: list[Schema]) -> list[dict[str, Any]] | None:
    """The schemas with `$ref` and `allOf` replaced by what they stand for; None when one of them is `false`."""
    plain: list[dict[str, Any]] = []
    waiting: list[tuple[Schema, tuple[str, ...]]] = [(schema, ()) for schema in reversed(asked)]
    while waiting:
        document.step()
        schema, path = waiting.pop()
        if isinstance(schema, bool):
            if not schema:
                return None
            continue
        inner: list[tuple[Schema, tuple[str, ...]]] = [(part, path) for part in schema.get("allOf", ())]
        if "$ref" in schema:
            if schema["$ref"] in path:
                raise RefusedSchemaError("$ref", "refers to itself without end")
            inner.append((document.resolve(schema["$ref"]), (*path, schema["$ref"])))
        plain.append({key: value for key, value in schema.items() if key not in ("allOf", "$ref")})
        waiting += reversed(inner)
    return plain


def guess_types(plain: list[dict[str, Any]]) -> list[str]:
    """The types to try where none is named, the one the keywords speak of first."""
    for kind, keywords in _TYPICAL.items():
        if any(keyword in schema for schema in plain for keyword in keywords):
            return [kind, *_ANY_TYPE]
    return list(_ANY_TYPE)


_ANY_TYPE = ("string", "object", "array", "number", "boolean", "null")

_TYPICAL = {
    "object": (
        "properties",
        "required",
        "additionalProperties",
        "patternProperties",
        "propertyNames",
        "minProperties",
        "dependentRequired",
    ),
    "array": ("items", "prefixItems", "contains", "minItems", "uniqueItems"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def _options(schema: dict[str, Any]) -> tuple[dict[str, Any], list[Schema]] | None:
    """The first alternative of a schema: what remains without it, and its ways on."""
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            return _without(schema, keyword), list(schema[keyword])
    if "if" in schema:
        return _without(schema, "if", "then", "else"), [
            {"allOf": [schema["if"], schema.get("then", True)]},
            {"allOf": [{"not": schema["if"]}, schema.get("else", True)]},
        ]
    for name, inner in schema.get("dependentSchemas", {}).items():
        others = {key: value for key, value in schema["dependentSchemas"].items() if key != name}
        rest = _without(schema, "dependentSchemas") | ({"dependentSchemas": others} if others else {})
        return rest, [{"allOf": [{"required": [name]}, inner]}, {"properties": {name: False}}]
    return None


def _without(schema: dict[str, Any], *keywords: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in keywords}


def _cost(schema: Schema) -> int:
    """How much a branch is likely to write: null, then scalars, then composites, then references."""
    if isinstance(schema, bool):
        return 1
    if schema.get("type") == "null" or "const" in schema or "enum" in schema:
        return 0
    if "$ref" in schema:
        return 3
    return 2 if schema.get("type") in ("object", "array") or "type" not in schema else 1
