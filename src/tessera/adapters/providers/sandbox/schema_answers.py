"""A value that satisfies a JSON schema, or a refusal that names the keyword.

Writes candidates top down (`$ref` and `allOf` folded in, one branch of `anyOf`, `oneOf` and `if` at a time) and lets
`schema_checks` judge each against everything asked at its place, so that a wrong value is never returned. Bounded in
steps and depth. The same schema and seed give the same value.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from tessera.adapters.providers.sandbox.schema_checks import (
    SchemaDocument,
    same_json,
    schemas_of_property,
)
from tessera.adapters.providers.sandbox.schema_folding import branches, fold, guess_types
from tessera.adapters.providers.sandbox.schema_keywords import RefusedSchemaError, Schema, check_schema
from tessera.adapters.providers.sandbox.schema_scalars import FORMATS, format_texts, numbers, plain_texts

Known = Callable[[str, dict[str, Any]], object | None]
"""What is known of a property, by its name and schema: a value, or None."""

DEPTH_MAX = 24
BRANCHES_MAX = 64
ITEMS_MAX = 1000
SPARSE_DEPTH = 5
SPARSE_STEPS = 3000


def generate(schema: object, seed: int, known: Known | None = None, *, invent: bool = True) -> object:
    """A JSON value that satisfies `schema`.

    `known` fills the properties it knows; what it gives is used only where the schema allows it. With `invent` False,
    everything else is left as empty as the schema lets it: null, "", 0, no optional properties, no items.
    Raises RefusedSchemaError naming the keyword that is not supported or cannot be satisfied.
    """
    document = SchemaDocument(check_schema(schema))
    return _Writer(document, Random(seed), known, invent).value([document.root], "", 0)  # noqa: S311 - reproducible


class _ImpossibleError(Exception):
    def __init__(self, keyword: str) -> None:
        super().__init__(keyword)
        self.keyword = keyword


class _Writer:
    def __init__(self, document: SchemaDocument, random: Random, known: Known | None, invent: bool) -> None:
        self._document = document
        self._random = random
        self._known = known
        self._invent = invent

    def value(self, asked: list[Schema], name: str, depth: int) -> object:
        """A value every schema of `asked` accepts, or RefusedSchemaError."""
        try:
            return self._value(asked, name, depth, ())
        except _ImpossibleError as error:
            raise RefusedSchemaError(error.keyword, "cannot be satisfied by the sandbox") from None
        except RecursionError:
            raise RefusedSchemaError("$ref", "is nested too deeply for the sandbox") from None

    def _value(self, asked: list[Schema], name: str, depth: int, avoid: Sequence[object]) -> object:
        if depth > DEPTH_MAX:
            raise _ImpossibleError("$ref")
        broken = "uniqueItems" if avoid else "type"
        ways = branches(self._document, asked, cheap_first=self._sparse(depth))
        for plain in itertools.islice(ways, BRANCHES_MAX):
            try:
                for candidate in self._candidates(plain, name, depth):
                    found = self._first_violation(asked, candidate)
                    if found is None and not any(same_json(candidate, other) for other in avoid):
                        return candidate
                    broken = found or broken
            except _ImpossibleError as error:
                broken = error.keyword
        raise _ImpossibleError(broken)

    def _first_violation(self, asked: list[Schema], candidate: object) -> str | None:
        for schema in asked:
            broken = self._document.verdict(schema, candidate)
            if broken is not None:
                return broken
        return None

    def _sparse(self, depth: int) -> bool:
        """Whether to write as little as possible: asked for, deep inside, or after much work."""
        return not self._invent or depth > SPARSE_DEPTH or self._document.steps > SPARSE_STEPS

    # ---- candidates ------------------------------------------------------------------------------------------

    def _candidates(self, plain: list[dict[str, Any]], name: str, depth: int) -> Iterator[object]:
        self._document.step()
        if self._known is not None and name:
            known = self._known(name, {key: value for schema in plain for key, value in schema.items()})
            if known is not None:
                yield known
        listed = [schema for schema in plain if "enum" in schema or "const" in schema]
        if listed:
            yield from self._listed(listed[0])
            return
        if self._invent:
            for schema in plain:
                yield from schema.get("examples", []) if isinstance(schema.get("examples"), list) else []
                if "default" in schema:
                    yield schema["default"]
        failure: _ImpossibleError | None = None
        for kind in self._types(plain, depth):
            try:
                yield from self._of_type(kind, plain, name, depth)
            except _ImpossibleError as error:
                failure = error
        if failure is not None:
            raise failure

    def _listed(self, schema: dict[str, Any]) -> Iterator[object]:
        if "const" in schema:
            yield schema["const"]
            return
        options = list(schema["enum"])
        if self._invent:
            self._random.shuffle(options)
        else:
            options.sort(key=lambda option: option is not None and str(option).lower() not in _UNSURE)
        yield from options

    def _types(self, plain: list[dict[str, Any]], depth: int) -> list[str]:
        allowed: list[str] | None = None
        for schema in plain:
            if "type" in schema:
                names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
                allowed = names if allowed is None else _both(allowed, names)
        if allowed is None:
            return guess_types(plain) if self._invent else ["null", *guess_types(plain)]
        null_first = self._sparse(depth)
        return sorted(allowed, key=lambda kind: (kind == "null") is not null_first)

    def _of_type(self, kind: str, plain: list[dict[str, Any]], name: str, depth: int) -> Iterator[object]:
        match kind:
            case "null":
                yield None
            case "boolean":
                first = self._invent and self._random.random() < 0.5
                yield from (first, not first)
            case "integer" | "number":
                yield from numbers(kind, plain, self._random, invent=self._invent)
            case "string":
                yield from self._texts(plain, name, depth)
            case "array":
                yield from self._arrays(plain, name, depth)
            case "object":
                yield from self._objects(plain, depth)

    # ---- scalars ---------------------------------------------------------------------------------------------

    def _texts(self, plain: list[dict[str, Any]], name: str, depth: int) -> Iterator[object]:
        least = max((math.ceil(schema["minLength"]) for schema in plain if "minLength" in schema), default=0)
        most = min((math.floor(schema["maxLength"]) for schema in plain if "maxLength" in schema), default=None)
        if least > 100_000 or (most is not None and most < least):
            raise _ImpossibleError("minLength")
        if not self._invent and not any(schema.get("format") in FORMATS for schema in plain):
            yield ""
        formats = {schema["format"] for schema in plain if schema.get("format") in FORMATS}
        if len(formats) > 1:
            raise _ImpossibleError("format")
        if formats:
            yield from format_texts(formats.pop(), self._random, least, most)
            return
        patterns = [schema["pattern"] for schema in plain if "pattern" in schema]
        for source in patterns:
            yield from self._document.pattern(source).examples(self._random, least, most)
        if not patterns:
            label = name if self._invent and not self._sparse(depth) else ""
            yield from plain_texts(label, self._random, least, most)

    # ---- arrays ----------------------------------------------------------------------------------------------

    def _arrays(self, plain: list[dict[str, Any]], name: str, depth: int) -> Iterator[object]:
        least = max((math.ceil(schema.get("minItems", 0)) for schema in plain), default=0)
        most = min((math.floor(schema["maxItems"]) for schema in plain if "maxItems" in schema), default=ITEMS_MAX)
        needed = [(s["contains"], math.ceil(s.get("minContains", 1))) for s in plain if "contains" in s]
        least = max([least, *(count for _, count in needed)])
        if least > ITEMS_MAX or least > most:
            raise _ImpossibleError("minItems")
        prefix = max((len(schema.get("prefixItems", ())) for schema in plain), default=0)
        full = max(prefix, self._random.randint(1, 3))
        for length in dict.fromkeys([least] if self._sparse(depth) else [min(max(least, full), most), least, most]):
            try:
                yield self._items(plain, name, depth, length, least, needed)
            except _ImpossibleError as error:
                if length == least:
                    raise
                del error

    def _items(
        self,
        plain: list[dict[str, Any]],
        name: str,
        depth: int,
        length: int,
        least: int,
        needed: list[tuple[Schema, int]],
    ) -> list[object]:
        unique = any(schema.get("uniqueItems") for schema in plain)
        wanted = [schema for schema, count in needed for _ in range(count)]
        prefix = max((len(schema.get("prefixItems", ())) for schema in plain), default=0)
        items: list[object] = []
        for place in range(length):
            asked = [schema for one in plain for schema in _item_schemas(one, place)]
            if wanted and place >= min(prefix, length - len(wanted)):
                asked.append(wanted.pop())
            try:
                items.append(self._value(asked, _singular(name), depth + 1, items if unique else ()))
            except _ImpossibleError:
                if place < least:
                    raise
                break
        return items

    # ---- objects ---------------------------------------------------------------------------------------------

    def _objects(self, plain: list[dict[str, Any]], depth: int) -> Iterator[object]:
        required = list(dict.fromkeys(name for schema in plain for name in schema.get("required", ())))
        named = list(dict.fromkeys(name for schema in plain for name in schema.get("properties", {})))
        optional = [name for name in named if name not in required]
        most = min((math.floor(schema["maxProperties"]) for schema in plain if "maxProperties" in schema), default=None)
        tries: list[list[str]] = [optional, [], optional[: len(optional) // 2]]
        if not self._invent and self._known is not None:
            tries = [[name for name in optional if self._is_known(plain, name)], [], optional]
        elif self._sparse(depth):
            tries = [[], optional]
        failure: _ImpossibleError | None = None
        room = None if most is None else max(most - len(required), 0)
        for extra in dict.fromkeys(tuple(names[:room]) for names in tries):
            try:
                yield self._object(plain, named, required, extra, depth)
            except _ImpossibleError as error:
                failure = error
        if failure is not None:
            raise failure

    def _is_known(self, plain: list[dict[str, Any]], name: str) -> bool:
        folded = fold(
            self._document, [inner for schema in plain for inner in schemas_of_property(self._document, schema, name)]
        )
        merged = {key: value for schema in folded or () for key, value in schema.items()}
        return self._known is not None and self._known(name, merged) is not None

    def _object(
        self, plain: list[dict[str, Any]], named: list[str], required: list[str], extra: tuple[str, ...], depth: int
    ) -> dict[str, object]:
        chosen = set(required) | set(extra)
        while True:
            more = {
                other
                for schema in plain
                for name, others in schema.get("dependentRequired", {}).items()
                if name in chosen
                for other in others
            } - chosen
            if not more:
                break
            chosen |= more
        written: dict[str, object] = {}
        order = [*named, *(name for name in required if name not in named), *sorted(chosen - {*named, *required})]
        for name in order:
            if name in chosen:
                self._property(plain, name, depth, written, must=name not in extra)
        least = max((math.ceil(schema["minProperties"]) for schema in plain if "minProperties" in schema), default=0)
        for name in self._spare_names(plain, named, least):
            if len(written) >= least:
                break
            if name not in written:
                self._property(plain, name, depth, written, must=False)
        return written

    def _property(
        self, plain: list[dict[str, Any]], name: str, depth: int, written: dict[str, object], *, must: bool
    ) -> None:
        asked = [inner for schema in plain for inner in schemas_of_property(self._document, schema, name)]
        try:
            written[name] = self._value(asked, name, depth + 1, ())
        except _ImpossibleError:
            if must:
                raise

    def _spare_names(self, plain: list[dict[str, Any]], named: list[str], least: int) -> Iterator[str]:
        """Names for properties nobody named, where `minProperties` asks for more."""
        if least > ITEMS_MAX:
            raise _ImpossibleError("minProperties")
        yield from named
        sources = [source for schema in plain for source in schema.get("patternProperties", {})]
        asked: list[Schema] = [schema["propertyNames"] for schema in plain if "propertyNames" in schema]
        made: list[object] = []
        for source in sources:
            for length in range(1, least + 8):
                yield from itertools.islice(self._document.pattern(source).examples(self._random, length, None), 2)
        for number in range(1, least + 1):
            if not asked:
                yield f"extra_{number}"
                continue
            try:
                made.append(self._value([{"type": "string"}, *asked], "", DEPTH_MAX, made))
            except _ImpossibleError:
                return
            yield str(made[-1])


def _both(left: list[str], right: list[str]) -> list[str]:
    """The types in both lists; an integer is a number."""
    shared = [name for name in left if name in right]
    if "integer" in left + right and "number" in left + right and "integer" not in shared:
        shared = [*(name for name in shared if name != "number"), "integer"]
    return shared


_UNSURE = {"unknown", "unsure", "uncertain", "undetermined", "none", "n/a", "na", "other", "unspecified", ""}


def _item_schemas(schema: dict[str, Any], place: int) -> list[Schema]:
    first = schema.get("prefixItems", ())
    if place < len(first):
        return [first[place]]
    return [schema["items"]] if "items" in schema else []


def _singular(name: str) -> str:
    return name[:-1] if name.endswith("s") and len(name) > 3 else name
