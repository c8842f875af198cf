"""The models a caller can name: ids, limits, surfaces, dates. One TOML file per provider in `models/`."""

import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from importlib.resources import files
from typing import Any

import msgspec

from tessera.domain.request import Surface


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model id. Dated ids are models of their own whose `canonical` is the undated one; they share its data.

    `aliases` are other names for the same model, its dated ids among them. `surfaces` are what the provider serves it
    on. `context_max` bounds input and output together, `output_max` the output, both in tokens and None where nobody
    publishes it. `output_default` is the output cap of a call that sets none (docs/reference/models.md says why).
    `released_on` is the day its first price holds from; from `shutdown_date` on the provider no longer serves it, but
    it stays listed. `like` names the model whose image rule and framing it has, `image_tokens_max` a flat ceiling per
    image instead; both are for models from the configuration.
    """

    id: str
    canonical: str
    provider: str
    output_default: int
    aliases: tuple[str, ...] = ()
    input_modalities: tuple[str, ...] = ("text",)
    output_modalities: tuple[str, ...] = ("text",)
    surfaces: tuple[Surface, ...] = ()
    context_max: int | None = None
    output_max: int | None = None
    released_on: date | None = None
    shutdown_date: date | None = None
    reasoning: bool = False
    like: str | None = None
    image_tokens_max: int | None = None

    @property
    def sees_images(self) -> bool:
        """Whether the model takes images as input."""
        return "image" in self.input_modalities

    def serves_on(self, day: date) -> bool:
        """Whether the provider still serves it on `day`."""
        return self.shutdown_date is None or day < self.shutdown_date


class ModelRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[model]]` of a catalogue file, before its dated ids are spread out; defaults stand in the file's head."""

    id: str
    dated: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    input: tuple[str, ...] = ("text", "image")
    output: tuple[str, ...] = ("text",)
    surfaces: tuple[Surface, ...] | None = None
    context_max: int | None = None
    output_max: int | None = None
    output_default: int | None = None
    released_on: date
    shutdown_date: date | None = None
    reasoning: bool = False


class ConfiguredModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[model]]` row of the configuration: a model that is not in the catalogue.

    Either `like` (image rule and framing of a model or family of the catalogue, such as `qwen2.5-vl`) or
    `image_tokens_max` (a flat ceiling of tokens per image); with neither it takes text only.
    """

    id: str
    like: str | None = None
    image_tokens_max: int | None = None
    context_max: int | None = None
    output_max: int | None = None
    output_default: int | None = None

    def __post_init__(self) -> None:
        if not self.id or len(self.id) > 200:
            raise ValueError("a [[model]] needs an id of 1 to 200 characters")
        if self.like is not None and self.image_tokens_max is not None:
            raise ValueError(f"model {self.id}: give like or image_tokens_max, not both")
        for name in ("image_tokens_max", "context_max", "output_max", "output_default"):
            limit = getattr(self, name)
            if limit is not None and not 1 <= limit <= 2**31:
                raise ValueError(f"model {self.id}: {name} must be between 1 and 2147483648")
        if self.output_default is not None and self.output_max is not None and self.output_default > self.output_max:
            raise ValueError(f"model {self.id}: output_default is more than output_max")


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The head of a catalogue file: whose models they are, and what most of them have in common."""

    provider: str
    surfaces: tuple[Surface, ...]
    output_default: int
    output_default_reasoning: int
    source: str
    model: tuple[ModelRow, ...]


def load_models() -> tuple[Model, ...]:
    """Every model of the catalogue, dated ids included. Raises ValueError for a file that breaks its schema."""
    found: list[Model] = []
    for file in sorted(files(__package__).joinpath("models").iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".toml"):
            found.extend(_read(file.name, tomllib.loads(file.read_text("utf-8"))))
    return tuple(found)


OUTPUT_DEFAULT_CONFIGURED = 1024
"""The output cap of a configured model that states none: small, because nothing is known of it."""


def configured(model: ConfiguredModel) -> Model:
    """A configured model as a model of the catalogue. It is served by the operator's own deployments."""
    sees = model.like is not None or model.image_tokens_max is not None
    output_default = model.output_default or min(OUTPUT_DEFAULT_CONFIGURED, model.output_max or 2**31)
    return Model(
        id=model.id,
        canonical=model.id,
        provider="configuration",
        input_modalities=("text", "image") if sees else ("text",),
        surfaces=(Surface.CHAT, Surface.RESPONSES),
        context_max=model.context_max,
        output_max=model.output_max,
        output_default=output_default,
        like=model.like,
        image_tokens_max=model.image_tokens_max,
    )


def refuse_double_ids(models: Iterable[Model]) -> None:
    """Raises ValueError when two models share an id, or an alias is the id of another model."""
    ids: dict[str, Model] = {}
    for model in models:
        if model.id in ids:
            raise ValueError(f"two models have the id {model.id}")
        ids[model.id] = model
    for model in ids.values():
        for alias in model.aliases:
            other = ids.get(alias)
            if other is not None and other.canonical != model.canonical:
                raise ValueError(f"{alias} is an alias of {model.id} and the id of another model")


def _read(name: str, document: Mapping[str, Any]) -> list[Model]:
    try:
        head = msgspec.convert(document, _Head)
    except msgspec.ValidationError as error:
        raise ValueError(f"catalogue file models/{name}: {error}") from error
    return [model for row in head.model for model in _spread(row, head)]


def _spread(row: ModelRow, head: _Head) -> list[Model]:
    """The model itself, and one model for each of its dated ids."""
    names = (row.id, *row.dated)
    default = head.output_default_reasoning if row.reasoning else head.output_default
    if row.output_max is not None:
        default = min(default, row.output_max)
    return [
        Model(
            id=name,
            canonical=row.id,
            provider=head.provider,
            aliases=tuple(other for other in (*names, *row.aliases) if other != name),
            input_modalities=row.input,
            output_modalities=row.output,
            surfaces=head.surfaces if row.surfaces is None else row.surfaces,
            context_max=row.context_max,
            output_max=row.output_max,
            output_default=row.output_default or default,
            released_on=row.released_on,
            shutdown_date=row.shutdown_date,
            reasoning=row.reasoning,
        )
        for name in names
    ]
