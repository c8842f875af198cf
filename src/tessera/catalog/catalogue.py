"""The catalogue in memory: models by id, their image rules, framing and list prices."""

from collections.abc import Iterable
from datetime import date
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from tessera.catalog.models import ConfiguredModel, Model, configured, load_models, refuse_double_ids
from tessera.catalog.prices import load_list_prices
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.pricing.book import OperatorRow, PriceBook
from tessera.domain.pricing.rows import PriceRow

if TYPE_CHECKING:
    from tessera.domain.tokens.framing import Framing
    from tessera.domain.tokens.rules import ImageRules


class Catalogue:
    """Every model a caller may name and what is known of it. Immutable; configured models stand beside listed ones."""

    def __init__(self, models: Iterable[Model], price_rows: Iterable[PriceRow]) -> None:
        """Raises ValueError when two models share a name."""
        self._models = tuple(models)
        refuse_double_ids(self._models)
        self._by_name = {alias: model for model in self._models for alias in model.aliases}
        self._by_name.update({model.id: model for model in self._models})
        self.price_rows = tuple(price_rows)
        self._framing: dict[str, Framing] = {}
        self._canonical = {name: model.canonical for name, model in self._by_name.items()}

    def models(self) -> tuple[Model, ...]:
        """All models: dated ids and shut-down ones included, in catalogue order."""
        return self._models

    def model(self, model_id: str) -> Model:
        """The model of an id or alias. Raises [model_not_found] naming the nearest ids."""
        found = self._by_name.get(model_id)
        if found is None:
            near = get_close_matches(model_id[:100], self._by_name, n=3, cutoff=0.6)
            hint = (
                f" Did you mean {' or '.join(near)}?" if near else " GET /v1/models and `tessera models list` list all."
            )
            raise TesseraError(
                ErrorCode.MODEL_NOT_FOUND, f"The model {model_id[:100]!r} does not exist.{hint}", param="model"
            )
        return found

    def canonical(self, model_id: str) -> str:
        """The undated id whose data an id or alias shares. Raises [model_not_found]."""
        return self.model(model_id).canonical

    def canonical_names(self) -> dict[str, str]:
        """Every id and alias with the model whose price rows it shares."""
        return dict(self._canonical)

    def has_model(self, name: str) -> bool:
        """Whether a model has this id or alias."""
        return name in self._by_name

    def is_same_model(self, name: str, other: str) -> bool:
        """Whether both are names of one model: ids, aliases, dated ids. A name nobody has is no model's."""
        return name in self._canonical and self._canonical[name] == self._canonical.get(other)

    def image_rules(self, model_id: str, as_of: date) -> "ImageRules":
        """How the model counts images on a day. Raises as `find_image_rules`."""
        from tessera.catalog.image_rules import find_image_rules
        from tessera.domain.tokens.images import flat_rules

        model = self.model(model_id)
        if model.image_tokens_max is not None:
            return flat_rules(model.id, model.image_tokens_max)
        rules = find_image_rules(self.canonical(model.like or model.id), as_of)
        # What is refused must name the model that was asked for, not the one it is like.
        return rules if model.like is None else msgspec.structs.replace(rules, model=model.id)

    def framing(self, model_id: str) -> "Framing":
        """How the model's text is counted. Raises as `find_framing`."""
        found = self._framing.get(model_id)
        if found is None:
            from tessera.catalog.framing import find_framing

            model = self.model(model_id)
            found = self._framing[model_id] = find_framing(self.canonical(model.like or model.id))
        return found

    def price_book(
        self,
        price_rows: Iterable[OperatorRow] = (),
        cost_rows: Iterable[OperatorRow] = (),
        *,
        discount_basis_points: int = 0,
    ) -> PriceBook:
        """The list prices with an operator's rows over them; a row may name its model by an alias."""
        return PriceBook(
            self.price_rows,
            tuple(self._by_id(row) for row in price_rows),
            tuple(self._by_id(row) for row in cost_rows),
            discount_basis_points=discount_basis_points,
            canonical=self.canonical_names(),
        )

    def _by_id(self, row: OperatorRow) -> OperatorRow:
        model = None if row.model is None else self._by_name.get(row.model)
        return row if model is None else msgspec.structs.replace(row, model=model.id)


def load_catalogue(extra_models: Iterable[ConfiguredModel] = (), extra_prices: Iterable[PriceRow] = ()) -> Catalogue:
    """The catalogue of the package, with the configuration's models and list rows added.

    Read once per process. Raises ValueError when a configured model has the id of a listed one, or is `like` a model
    that is not listed.
    """
    extra_models, extra_prices = tuple(extra_models), tuple(extra_prices)
    packaged = _packaged()
    if not extra_models and not extra_prices:
        return packaged
    for model in extra_models:
        if model.like is not None:
            _refuse_unknown_like(packaged, model.id, model.like)
    return Catalogue(
        (*packaged.models(), *(configured(model) for model in extra_models)),
        (*packaged.price_rows, *extra_prices),
    )


def _refuse_unknown_like(packaged: Catalogue, model_id: str, like: str) -> None:
    try:
        packaged.model(like)
    except TesseraError as error:
        raise ValueError(f"model {model_id} is like {like}, which is not in the catalogue: {error.message}") from error


@lru_cache(maxsize=1)
def _packaged() -> Catalogue:
    return Catalogue(load_models(), load_list_prices())
