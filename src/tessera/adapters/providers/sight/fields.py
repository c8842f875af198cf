"""Values for the properties of a JSON schema whose names say something sight can see.

`facts.py` knows what is true; here the first true value that a property's schema allows is chosen: its type, enum,
pattern, bounds and lengths. A property that is not known, or that no true value fits, gives None.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tessera.adapters.providers.sight.facts import Fact, facts_for
from tessera.adapters.providers.sight.observation import Observation

Schema = Mapping[str, Any]
SAME = {"gray": "grey", "color": "colour", "photograph": "photo", "centre": "center"}


def known_fields(observations: Sequence[Observation], property_name: str, property_schema: Schema) -> Any | None:
    """The best value for a property of this name, None when it is not known or nothing true fits the schema.

    Of several pictures the first speaks, but texts and descriptions are of all of them.
    """
    if not observations:
        return None
    fact = facts_for(observations, plain_name(property_name))
    return None if fact is None else fitting(fact, property_schema)


def plain_name(name: str) -> str:
    """`dominantColour`, `Dominant-Color` and `dominant_color` are one name."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    snake = re.sub(r"[^a-z0-9]+", "_", snake).strip("_")
    return snake.replace("colour", "color").replace("grey", "gray").replace("centre", "center")


def fitting(fact: Fact, schema: Schema) -> Any | None:
    """The first value of the fact that the schema allows."""
    for key in ("anyOf", "oneOf"):
        for choice in schema.get(key, ()):
            if isinstance(choice, Mapping) and (value := fitting(fact, {**choice})) is not None:
                return value
    if "anyOf" in schema or "oneOf" in schema:
        return None
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    types = schema.get("type")
    wanted = {types} if isinstance(types, str) else set(types or ())
    if allowed is not None:
        return from_enum(fact, [value for value in allowed if value is not None])
    if "array" in wanted or (not wanted and "items" in schema):
        return as_array(fact, schema)
    if "object" in wanted:
        return next((made for value in fact.rows if (made := as_object(value, schema)) is not None), None)
    for value in fact.values:
        fitted = fit_scalar(value, wanted, schema, prose=fact.prose)
        if fitted is not None:
            return fitted
    return None


def from_enum(fact: Fact, allowed: Sequence[Any]) -> Any | None:
    for value in (*fact.values, *fact.synonyms):
        for member in allowed:
            same_type = isinstance(value, bool) == isinstance(member, bool)
            if same_type and folded(value) == folded(member):
                return member
    return None


def folded(value: object) -> str:
    text = re.sub(r"[^a-z0-9#.:/]+", " ", str(value).lower()).strip()
    return " ".join(SAME.get(word, word) for word in text.split())


def fit_scalar(value: Any, wanted: set[str], schema: Schema, *, prose: bool) -> Any | None:
    if isinstance(value, bool):
        return value if not wanted or "boolean" in wanted else None
    if isinstance(value, str):
        return fit_text(value, schema, prose=prose) if not wanted or "string" in wanted else None
    if isinstance(value, float) and value.is_integer() and "integer" in wanted:
        value = int(value)
    kinds = {"integer", "number"} if isinstance(value, int) else {"number"}
    return value if (not wanted or wanted & kinds) and in_bounds(value, schema) else None


def fit_text(text: str, schema: Schema, *, prose: bool) -> str | None:
    longest = schema.get("maxLength")
    if isinstance(longest, int) and len(text) > longest:
        if not prose or longest < 12:
            return None
        text = text[: longest - 1].rsplit(" ", 1)[0].rstrip(" ,;:(") + "…"
    if len(text) < schema.get("minLength", 0):
        return None
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        try:
            if not re.search(pattern, text):
                return None
        except re.error:
            return None
    return None if "format" in schema else text


def in_bounds(value: float, schema: Schema) -> bool:
    low, high = schema.get("minimum", value), schema.get("maximum", value)
    above, below = schema.get("exclusiveMinimum", value - 1), schema.get("exclusiveMaximum", value + 1)
    step = schema.get("multipleOf")
    return bool(low <= value <= high and above < value < below and (not step or value % step == 0))


def as_array(fact: Fact, schema: Schema) -> list[Any] | None:
    if fact.items is None:
        return None
    items = schema.get("items")
    item_schema = items if isinstance(items, Mapping) else {}
    made: list[Any] = []
    for item in fact.items:
        value = fitting(item, item_schema)
        if value is not None and value not in made:
            made.append(value)
    made = made[: schema.get("maxItems", len(made))]
    if (fact.items and not made) or len(made) < schema.get("minItems", 0):
        return None
    return made


def as_object(row: Mapping[str, Fact], schema: Schema) -> dict[str, Any] | None:
    made = {}
    for name, inner in schema.get("properties", {}).items():
        fact = row.get(plain_name(name))
        value = fitting(fact, inner) if fact is not None and isinstance(inner, Mapping) else None
        if value is not None:
            made[name] = value
    # A required name need not be among the properties.
    return made if made and made.keys() >= set(schema.get("required", ())) else None
