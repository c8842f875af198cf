"""What the composition root makes of an operator's providers."""

from pathlib import Path

from tessera.bootstrap_providers import deployments_of
from tessera.catalog.catalogue import load_catalogue
from tessera.settings import load_settings


def test_openai_is_told_the_tier_and_is_not_left_to_choose_a_dearer_one(tmp_path: Path) -> None:
    config = tmp_path / "tessera.toml"
    config.touch()
    settings = load_settings({}, config=config, data_dir=tmp_path)
    found = deployments_of(settings, load_catalogue(), {"OPENAI_API_KEY": "sk-x"})
    assert all(way.explicit_tier for way in found["gpt-4o"])
    assert not any(way.explicit_tier for way in found["tessera/sight"])
