"""The models of the catalogue."""

from datetime import date

import pytest

from tessera.catalog.catalogue import Catalogue, load_catalogue
from tessera.catalog.models import ConfiguredModel, Model, refuse_double_ids
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Detail, Surface, Tier
from tessera.domain.tokens import count_image

DAY = date(2026, 11, 22)
CATALOGUE = load_catalogue()
PRO = ("gpt-5.2-pro", "gpt-5-pro", "gpt-5.4-pro", "gpt-5.5-pro", "o1-pro", "o3-pro")
# openai package 3.54.0, docstrings of its model names; image models also from OpenAI's deprecations page.
SHUTDOWN = {
    "2026-05-12": ("dall-e-2", "dall-e-3"),
    "2026-07-23": (
        "gpt-5.1-codex", "gpt-5.1-chat-latest", "gpt-5-chat-latest", "gpt-4o-search-preview",
        "gpt-4o-mini-search-preview",
    ),
    "2026-08-10": ("gpt-5.2-chat-latest", "gpt-5.3-chat-latest"),
    "2026-10-23": (
        "o1", "o3-mini", "o4-mini", "gpt-4.1-nano", "gpt-4o-2024-05-13", "gpt-4-turbo", "gpt-4", "gpt-3.5-turbo",
        "gpt-image-1",
    ),
    "2026-12-01": ("gpt-image-1.5", "gpt-image-1-mini", "chatgpt-image-latest"),
    "2026-12-11": ("gpt-5", "gpt-5-mini", "gpt-5-nano", "o3", "gpt-5-2025-08-07", "o3-2025-04-16"),
    "2027-01-14": ("gpt-4.1", "gpt-4.1-mini", "gpt-4o", "gpt-4o-mini", "gpt-4o-2024-08-06", "gpt-4o-2024-11-20"),
    "2027-04-01": ("gpt-5.1", "gpt-5.4-nano", "gpt-5.1-2025-11-13"),
}  # fmt: skip
DATED = {
    "gpt-5.2-pro-2025-12-11": "gpt-5.2-pro",
    "gpt-5.2-2025-12-11": "gpt-5.2",
    "gpt-5-pro-2025-10-06": "gpt-5-pro",
    "gpt-5.4-2026-03-05": "gpt-5.4",
    "gpt-5.4-pro-2026-03-05": "gpt-5.4-pro",
    "gpt-5.4-mini-2026-03-17": "gpt-5.4-mini",
    "gpt-5.5-pro-2026-04-23": "gpt-5.5-pro",
    "gpt-4.1-mini-2025-04-14": "gpt-4.1-mini",
    "gpt-image-2-2026-04-21": "gpt-image-2",
    "gpt-image-2.5-flare-2026-09-08": "gpt-image-2.5-flare",
    "computer-use-preview-2025-03-11": "computer-use-preview",
    "claude-sonnet-4-5-20250929": "claude-sonnet-4-5",
}


@pytest.mark.parametrize("name", ["", "gpt-5.2-pr0", "GPT-5.2-PRO", "gpt-5.2-pro ", "x" * 10_000, "../../etc/passwd"])
def test_an_unknown_name_is_refused_without_guessing(name: str) -> None:
    with pytest.raises(TesseraError) as refused:
        CATALOGUE.model(name)
    assert refused.value.code is ErrorCode.MODEL_NOT_FOUND
    assert refused.value.param == "model"
    assert len(refused.value.message) < 400


def test_an_unknown_name_is_answered_with_the_nearest_ones() -> None:
    with pytest.raises(TesseraError, match=r"Did you mean gpt-5\.2-pro"):
        CATALOGUE.model("gpt-5.2-pr0")


@pytest.mark.parametrize("dated", DATED)
def test_a_dated_id_is_a_listed_model_that_shares_its_model_s_data(dated: str) -> None:
    snapshot, model = CATALOGUE.model(dated), CATALOGUE.model(DATED[dated])
    assert snapshot.id == dated
    assert snapshot.canonical == CATALOGUE.canonical(dated) == model.id
    assert dated in model.aliases
    assert model.id in snapshot.aliases
    shared = ("provider", "surfaces", "context_max", "output_max", "output_default", "shutdown_date")
    assert all(getattr(snapshot, name) == getattr(model, name) for name in shared)


def test_the_snapshot_with_a_price_of_its_own_is_its_own_model() -> None:
    assert CATALOGUE.canonical("gpt-4o-2024-05-13") == "gpt-4o-2024-05-13"


def test_an_alias_finds_its_model() -> None:
    assert CATALOGUE.model("gpt-5.6").id == "gpt-5.6-sol"
    assert CATALOGUE.model("gemini-flash-latest").id == "gemini-3.8-flash"


@pytest.mark.parametrize(("day", "model"), [(day, model) for day, models in SHUTDOWN.items() for model in models])
def test_shut_down_models_stay_listed_with_their_published_date(day: str, model: str) -> None:
    found = CATALOGUE.model(model)
    assert found.shutdown_date == date.fromisoformat(day)
    assert found.serves_on(DAY) == (day > DAY.isoformat())


@pytest.mark.parametrize(
    "model", ["gpt-5.2", "gpt-5.2-pro", "gpt-5.4", "gpt-5.4-mini", "gpt-5.5", "gpt-5.6-sol", "gpt-6-astra"]
)
def test_models_without_an_announced_end_have_none(model: str) -> None:
    assert CATALOGUE.model(model).shutdown_date is None


@pytest.mark.parametrize("model", PRO)
def test_pro_models_are_served_on_responses_only(model: str) -> None:
    assert CATALOGUE.model(model).surfaces == (Surface.RESPONSES,)


def test_ids_are_unique_and_no_alias_names_another_model() -> None:
    models = CATALOGUE.models()
    assert len({model.id for model in models}) == len(models) > 150
    refuse_double_ids(models)


@pytest.mark.parametrize("model", CATALOGUE.models(), ids=lambda model: model.id)
def test_limits_fit_into_each_other(model: Model) -> None:
    assert 1 <= model.output_default <= (model.output_max or 10**9) <= (model.context_max or 10**9)
    assert model.released_on is not None
    assert model.shutdown_date is None or model.shutdown_date > model.released_on


def test_the_default_cap_keeps_a_hold_moderate() -> None:
    model = CATALOGUE.model("gpt-5.2-pro")
    row = CATALOGUE.price_book().price(model.id, Tier.DEFAULT, as_of=DAY)
    assert model.output_default * row.rates.output // 10**6 < 1_400_000_000


def test_configured_models_stand_beside_the_listed_ones() -> None:
    catalogue = load_catalogue(
        [
            ConfiguredModel(id="my-vlm", like="qwen2.5-vl", context_max=32_768, output_default=1_024),
            ConfiguredModel(id="flat", image_tokens_max=2_048),
            ConfiguredModel(id="text-only"),
        ]
    )
    vlm = catalogue.model("my-vlm")
    assert (vlm.like, vlm.context_max, vlm.output_default, vlm.sees_images) == ("qwen2.5-vl", 32_768, 1_024, True)
    assert catalogue.image_rules("my-vlm", DAY).rule.id == catalogue.image_rules("qwen2.5-vl", DAY).rule.id
    assert catalogue.image_rules("flat", DAY).rule.tokens_max == 2_048
    assert not catalogue.model("text-only").sees_images
    assert catalogue.model("gpt-5.2-pro") == CATALOGUE.model("gpt-5.2-pro")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id": ""}, "id"),
        ({"id": "x", "like": "a", "image_tokens_max": 1}, "not both"),
        ({"id": "x", "image_tokens_max": 0}, "image_tokens_max"),
        ({"id": "x", "context_max": -1}, "context_max"),
        ({"id": "x", "output_default": 2**40}, "output_default"),
    ],
)
def test_a_configured_model_that_makes_no_sense_is_refused(row: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ConfiguredModel(**row)  # type: ignore[arg-type]


def test_a_configured_model_cannot_take_a_listed_name() -> None:
    with pytest.raises(ValueError, match=r"gpt-5\.2-pro"):
        load_catalogue([ConfiguredModel(id="gpt-5.2-pro")])
    with pytest.raises(ValueError, match=r"gpt-5\.6"):
        load_catalogue([ConfiguredModel(id="gpt-5.6")])


def test_a_configured_model_like_nothing_known_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"my-vlm is like qwen2\.5.*qwen2\.5-vl"):
        load_catalogue([ConfiguredModel(id="my-vlm", like="qwen2.5")])


def test_the_packaged_catalogue_is_read_once() -> None:
    assert load_catalogue() is CATALOGUE
    assert isinstance(CATALOGUE, Catalogue)


def test_every_vision_model_that_can_be_called_counts_images() -> None:
    book = CATALOGUE.price_book()
    uncounted = []
    for model in CATALOGUE.models():
        if not (model.sees_images and "text" in model.output_modalities and book.tiers(model.id, DAY)):
            continue
        try:
            CATALOGUE.image_rules(model.id, DAY)
        except TesseraError:
            uncounted.append(model.id)
    assert uncounted == []


def test_what_a_configured_model_refuses_names_the_model_that_was_asked_for() -> None:
    rules = load_catalogue((ConfiguredModel(id="my-vlm", like="claude-opus-4-7"),)).image_rules("my-vlm", DAY)
    assert rules.rule == CATALOGUE.image_rules("claude-opus-4-7", DAY).rule
    with pytest.raises(TesseraError) as refused:
        count_image(rules, 100, 100, Detail.ORIGINAL)
    assert refused.value.code is ErrorCode.UNSUPPORTED_DETAIL
    assert refused.value.message.startswith("my-vlm does not support")
