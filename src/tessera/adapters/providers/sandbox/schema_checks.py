"""Whether a value satisfies a schema, and if not, which keyword it breaks.

The writer's own judge: nothing is answered that was not checked here against the whole schema. Where validators differ,
an answer has to pass either way: numbers by exact and by floating-point arithmetic, `format` unchecked, at a glance and
by its grammar.
"""

from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from tessera.adapters.providers.sandbox.patterns import Pattern, UnsupportedPatternError
from tessera.adapters.providers.sandbox.schema_keywords import (
    RefusedSchemaError,
    Schema,
    check_schema,
    is_number,
    is_whole,
)
from tessera.adapters.providers.sandbox.schema_scalars import Strictness, holds_format

STEPS_MAX = 60_000
DEPTH_MAX = 200


class SchemaDocument:
    """A checked schema with its definitions; counts the work done on it and refuses when it is too much."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self.steps = 0
        self._strictness = Strictness.OFF
        self._met_format = False
        self._targets: dict[str, Schema] = {}
        self._patterns: dict[str, Pattern] = {}

    def step(self, count: int = 1) -> None:
        """Counts steps. Raises RefusedSchemaError past the budget: no schema may keep the server busy."""
        self.steps += count
        if self.steps > STEPS_MAX:
            raise RefusedSchemaError("schema", "is too complex for the sandbox")

    def resolve(self, ref: str) -> Schema:
        """The schema a `$ref` of the form `#/a/b` points to. Raises RefusedSchemaError for any other."""
        if ref not in self._targets:
            self._targets[ref] = self.root if ref == "#" else check_schema(self._pointed_at(ref), is_root=False)
        return self._targets[ref]

    def _pointed_at(self, ref: str) -> object:
        if not ref.startswith("#/"):
            raise RefusedSchemaError("$ref", f"{ref!r} does not point to a place in the schema (#/…)")
        target: Any = self.root
        for part in ref[2:].split("/"):
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and name.isascii() and name.isdigit() and int(name) < len(target):
                target = target[int(name)]
            elif isinstance(target, dict) and name in target:
                target = target[name]
            else:
                raise RefusedSchemaError("$ref", f"{ref!r} points to nothing")
        return target

    def pattern(self, source: str) -> Pattern:
        """The pattern, read once. Raises RefusedSchemaError when it is not understood."""
        if source not in self._patterns:
            try:
                self._patterns[source] = Pattern(source)
            except UnsupportedPatternError as error:
                raise RefusedSchemaError("pattern", f"{error} is not supported by the sandbox") from None
        return self._patterns[source]

    def matches(self, source: str, text: str) -> bool:
        """Whether the pattern is found in the text. Raises RefusedSchemaError when that is too much work."""
        pattern = self.pattern(source)
        if pattern.ascii_only and not text.isascii():
            raise RefusedSchemaError("pattern", "meets letters beyond ASCII, on which validators disagree")
        self.step(len(text) * pattern.size // 50)
        return pattern.matches(text)

    def verdict(self, schema: Schema, value: object) -> str | None:
        """The keyword `value` breaks for some validator, or None when it satisfies `schema` for all of them."""
        try:
            for self._strictness in Strictness:
                broken = self.violation(schema, value)
                if broken is not None or not self._met_format:
                    return broken
            return None
        finally:
            self._strictness = Strictness.OFF

    def holds_format(self, name: str, text: str) -> bool:
        """Whether `text` is of that format, as strictly as this pass looks at formats."""
        self._met_format = True
        return holds_format(name, text, self._strictness)

    def violation(self, schema: Schema, value: object, depth: int = 0) -> str | None:
        """The keyword `value` breaks, or None when it satisfies `schema`."""
        self.step()
        if depth > DEPTH_MAX:
            raise RefusedSchemaError("$ref", "refers to itself without end")
        if isinstance(schema, bool):
            return None if schema else "false"
        for check in _CHECKS:
            broken = check(self, schema, value, depth + 1)
            if broken is not None:
                return broken
        return None

    def accepts(self, schema: Schema, value: object, depth: int) -> bool:
        """Whether `value` satisfies `schema`."""
        return self.violation(schema, value, depth) is None


def has_type(value: object, name: str) -> bool:
    """Whether a JSON value is of a JSON Schema type: 1.0 is an integer, true is no number."""
    match name:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case "integer":
            return is_whole(value)
    return is_number(value)


def same_json(left: object, right: object) -> bool:
    """Equality of JSON values: 1 is 1.0, but true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_json, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(left[name], right[name]) for name in left)
    return left == right


def _check_any(document: SchemaDocument, schema: dict[str, Any], value: object, depth: int) -> str | None:
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(has_type(value, name) for name in names):
            return "type"
    if "const" in schema and not same_json(schema["const"], value):
        return "const"
    if "enum" in schema and not any(same_json(option, value) for option in schema["enum"]):
        return "enum"
    if "$ref" in schema and not document.accepts(document.resolve(schema["$ref"]), value, depth):
        return "$ref"
    return None


def _check_branches(document: SchemaDocument, schema: dict[str, Any], value: object, depth: int) -> str | None:
    for inner in schema.get("allOf", ()):
        broken = document.violation(inner, value, depth)
        if broken is not None:
            return broken
    if "anyOf" in schema and not any(document.accepts(inner, value, depth) for inner in schema["anyOf"]):
        return "anyOf"
    if "oneOf" in schema and sum(document.accepts(inner, value, depth) for inner in schema["oneOf"]) != 1:
        return "oneOf"
    if "not" in schema and document.accepts(schema["not"], value, depth):
        return "not"
    if "if" in schema:
        branch = "then" if document.accepts(schema["if"], value, depth) else "else"
        if branch in schema:
            return document.violation(schema[branch], value, depth)
    return None


def _check_number(_document: SchemaDocument, schema: dict[str, Any], value: Any, _depth: int) -> str | None:
    if not is_number(value):
        return None
    if "minimum" in schema and value < schema["minimum"]:
        return "minimum"
    if "maximum" in schema and value > schema["maximum"]:
        return "maximum"
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        return "exclusiveMinimum"
    if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
        return "exclusiveMaximum"
    if "multipleOf" in schema and not _is_multiple(value, schema["multipleOf"]):
        return "multipleOf"
    return None


def _is_multiple(value: int | float, step: int | float) -> bool:
    try:
        by_float = (value / step).is_integer() if isinstance(step, float) else value % step == 0
        return by_float and Decimal(repr(value)) % Decimal(repr(step)) == 0
    except (ArithmeticError, ValueError):
        return False


def _check_size(_document: SchemaDocument, schema: dict[str, Any], value: object, _depth: int) -> str | None:
    for kind, word in ((str, "Length"), (list, "Items"), (dict, "Properties")):
        if isinstance(value, kind):
            if f"min{word}" in schema and len(value) < schema[f"min{word}"]:
                return f"min{word}"
            if f"max{word}" in schema and len(value) > schema[f"max{word}"]:
                return f"max{word}"
    return None


def _check_text(document: SchemaDocument, schema: dict[str, Any], value: object, _depth: int) -> str | None:
    if isinstance(value, str) and "pattern" in schema and not document.matches(schema["pattern"], value):
        return "pattern"
    if isinstance(value, str) and "format" in schema and not document.holds_format(schema["format"], value):
        return "format"
    return None


def _check_items(document: SchemaDocument, schema: dict[str, Any], value: object, depth: int) -> str | None:
    if not isinstance(value, list):
        return None
    first = schema.get("prefixItems", [])
    rest = [schema["items"]] * (len(value) - len(first)) if "items" in schema else []
    for inner, item in zip([*first, *rest], value, strict=False):
        broken = document.violation(inner, item, depth)
        if broken is not None:
            return broken
    return None


def _check_array(document: SchemaDocument, schema: dict[str, Any], value: object, depth: int) -> str | None:
    if not isinstance(value, list):
        return None
    if schema.get("uniqueItems"):
        document.step(len(value) ** 2 // 100)
        if any(same_json(item, other) for place, item in enumerate(value) for other in value[:place]):
            return "uniqueItems"
    if "contains" in schema:
        count = sum(document.accepts(schema["contains"], item, depth) for item in value)
        if count < schema.get("minContains", 1):
            return "contains"
        if count > schema.get("maxContains", count):
            return "maxContains"
    return None


def _check_names(document: SchemaDocument, schema: dict[str, Any], value: object, depth: int) -> str | None:
    if not isinstance(value, dict):
        return None
    if any(name not in value for name in schema.get("required", ())):
        return "required"
    for name, needed in schema.get("dependentRequired", {}).items():
        if name in value and any(other not in value for other in needed):
            return "dependentRequired"
    for name, inner in schema.get("dependentSchemas", {}).items():
        if name in value and not document.accepts(inner, value, depth):
            return "dependentSchemas"
    if "propertyNames" in schema and not all(document.accepts(schema["propertyNames"], name, depth) for name in value):
        return "propertyNames"
    return None


def _check_properties(document: SchemaDocument, schema: dict[str, Any], value: object, depth: int) -> str | None:
    if not isinstance(value, dict):
        return None
    for name, item in value.items():
        for inner in schemas_of_property(document, schema, name):
            broken = document.violation(inner, item, depth)
            if broken is not None:
                return "additionalProperties" if broken == "false" else broken
    return None


_CHECKS = (
    _check_any,
    _check_branches,
    _check_number,
    _check_size,
    _check_text,
    _check_items,
    _check_array,
    _check_names,
    _check_properties,
)


def schemas_of_property(document: SchemaDocument, schema: dict[str, Any], name: str) -> list[Schema]:
    """Every schema one object schema puts on the property `name`."""
    found: list[Schema] = []
    if name in schema.get("properties", {}):
        found.append(schema["properties"][name])
    found += [inner for source, inner in schema.get("patternProperties", {}).items() if document.matches(source, name)]
    if not found and "additionalProperties" in schema:
        found.append(schema["additionalProperties"])
    return found
