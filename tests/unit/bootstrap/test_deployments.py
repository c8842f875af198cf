"""What the composition root makes of an operator's providers."""

from pathlib import Path

import pytest

from tessera.bootstrap.providers import deployments_of, unserved
from tessera.catalog.catalogue import load_catalogue
from tessera.domain.request import Surface
from tessera.settings import Settings, SettingsError, load_settings

CATALOGUE = load_catalogue()
CHAT = (Surface.CHAT,)
LAB = '[[deployment]]\nmodel = "gpt-4o"\nprovider = "lab"\nupstream_model = "own"\n'


def settings(folder: Path, text: str = "") -> Settings:
    config = folder / "tessera.toml"
    config.write_text(text)
    return load_settings({}, config=config, data_dir=folder)


def test_openai_is_told_the_tier_and_is_not_left_to_choose_a_dearer_one(tmp_path: Path) -> None:
    found = deployments_of(settings(tmp_path), CATALOGUE, {"OPENAI_API_KEY": "sk-x"})
    assert all(way.explicit_tier for way in found["gpt-4o"])
    assert not any(way.explicit_tier for way in found["tessera/sight"])


def test_a_stored_credential_of_openai_serves_what_its_key_in_the_environment_would(tmp_path: Path) -> None:
    by_environment = deployments_of(settings(tmp_path), CATALOGUE, {"OPENAI_API_KEY": "sk-x"})
    assert deployments_of(settings(tmp_path), CATALOGUE, {}, {"openai": (Surface.CHAT, Surface.RESPONSES)}) == (
        by_environment
    )
    assert "gpt-4o" not in deployments_of(settings(tmp_path), CATALOGUE, {})


def test_a_row_serves_once_the_credential_of_its_provider_is_stored(tmp_path: Path) -> None:
    found = settings(tmp_path, LAB)
    assert "gpt-4o" not in deployments_of(found, CATALOGUE, {})
    assert unserved(found, {"sight"}) == (
        "deployment[0] serves nothing yet: there is no [[provider]] 'lab', and no credential is stored for it. Set one "
        "with `tessera providers set lab`.",
    )
    (way,) = deployments_of(found, CATALOGUE, {}, {"lab": CHAT})["gpt-4o"]
    assert (way.name, way.provider, way.upstream_model, way.surfaces) == ("lab/own", "lab", "own", CHAT)
    assert unserved(found, {"lab"}) == ()


def test_what_the_file_says_of_a_provider_stands_over_what_is_stored(tmp_path: Path) -> None:
    row = '[[provider]]\nname = "lab"\nbase_url = "http://h/v1"\nsurfaces = ["responses"]\n'
    (way,) = deployments_of(settings(tmp_path, row + LAB), CATALOGUE, {}, {"lab": CHAT})["gpt-4o"]
    assert way.surfaces == (Surface.RESPONSES,)


PRO = '[[deployment]]\nmodel = "gpt-5.2-pro"\nprovider = "openai"\n'
GATEWAY = '[[provider]]\nname = "openai"\nbase_url = "http://h/v1"\n'


def test_a_row_of_a_model_at_its_own_provider_speaks_what_the_provider_serves_it_on(tmp_path: Path) -> None:
    for text in (PRO, GATEWAY + PRO, GATEWAY + 'surfaces = ["responses", "chat"]\n' + PRO):
        found = deployments_of(settings(tmp_path, text), CATALOGUE, {"OPENAI_API_KEY": "sk-x"})
        assert [way.surfaces for way in found["gpt-5.2-pro"]] == [(Surface.RESPONSES,)]
    elsewhere = PRO.replace('"openai"', '"lab"')
    (way,) = deployments_of(settings(tmp_path, elsewhere), CATALOGUE, {}, {"lab": CHAT})["gpt-5.2-pro"]
    assert way.surfaces == CHAT


def test_no_model_is_asked_for_on_a_surface_that_the_file_says_its_provider_lacks(tmp_path: Path) -> None:
    chat_only = GATEWAY + 'surfaces = ["chat"]\n'
    found = deployments_of(settings(tmp_path, chat_only), CATALOGUE, {})
    assert [way.surfaces for way in found["gpt-4o"]] == [CHAT]
    assert "gpt-5.2-pro" not in found
    assert deployments_of(settings(tmp_path), CATALOGUE, {}, {"openai": CHAT}) == found
    # A row says that it is there all the same.
    (way,) = deployments_of(settings(tmp_path, chat_only + PRO), CATALOGUE, {})["gpt-5.2-pro"]
    assert way.surfaces == CHAT


def test_a_deployment_of_a_row_is_not_asked_again_as_openais_own(tmp_path: Path) -> None:
    row = PRO.replace("gpt-5.2-pro", "gpt-4o")
    (way,) = deployments_of(settings(tmp_path, row), CATALOGUE, {"OPENAI_API_KEY": "sk-x"})["gpt-4o"]
    assert way.name == "openai/gpt-4o"


def test_a_row_of_an_unknown_model_is_refused_whoever_serves_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"deployment\[0\].model"):
        deployments_of(settings(tmp_path, LAB.replace("gpt-4o", "gpt-4z")), CATALOGUE, {})
