"""`tessera models`, run as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

CONFIGURATION = """
[prices]
discount_percent = "30"

[[model]]
id = "my-vlm"
like = "qwen2.5-vl"
context_max = 32768
output_default = 1024

[[price]]
model = "my-vlm"
input = "0.20"
output = "0.60"
"""


def tessera(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")}
    return subprocess.run(
        [sys.executable, "-m", "tessera", "models", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_unknown_model_fails_with_the_nearest_name(tmp_path: Path) -> None:
    ran = tessera(tmp_path, "show", "gpt-5.2-pr0")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "gpt-5.2-pro" in ran.stderr


def test_a_broken_price_in_the_configuration_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "tessera.toml").write_text('[[price]]\nmodel = "gpt-5.2-pro"\ninput = "1e3"\noutput = "1"\n')
    ran = tessera(tmp_path, "show", "gpt-5.2-pro")
    assert ran.returncode == 2
    assert "price[0].input" in ran.stderr


def test_list_prints_every_model_with_dated_and_shut_down_ones(tmp_path: Path) -> None:
    ran = tessera(tmp_path, "list", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    models = {model["id"]: model for model in json.loads(ran.stdout)}
    assert models["gpt-5.2-pro-2025-12-11"]["list_price"]["default"]["input"] == "21"
    assert models["gpt-3.5-turbo"]["shutdown_date"] == "2026-10-23"
    assert models["gpt-6.2-sol"]["price"] == {}
    assert {"claude-opus-5-5", "gemini-3.8-flash", "tessera/sight", "gpt-image-2"} <= set(models)


def test_list_is_a_table_for_people(tmp_path: Path) -> None:
    lines = tessera(tmp_path, "list").stdout.splitlines()
    assert lines[0].split() == ["MODEL", "PROVIDER", "SURFACES", "CONTEXT", "OUTPUT", "INPUT", "$/M", "OUTPUT", "$/M",
                                "TIERS", "STATE"]  # fmt: skip
    row = next(line.split() for line in lines if line.startswith("gpt-5.2-pro "))
    assert row == ["gpt-5.2-pro", "openai", "responses", "400,000", "128,000", "21", "168", "default,batch"]


def test_show_follows_the_operator_s_discount_models_and_prices(tmp_path: Path) -> None:
    (tmp_path / "tessera.toml").write_text(CONFIGURATION)
    pro = json.loads(tessera(tmp_path, "show", "gpt-5.2-pro", "--json").stdout)
    assert (pro["list_price"]["default"]["output"], pro["price"]["default"]["output"]) == ("168", "117.6")
    own = json.loads(tessera(tmp_path, "show", "my-vlm", "--json").stdout)
    assert (own["list_price"], own["price"]["default"]["output"]) == ({}, "0.6")
    assert own["output_default"] == 1024
    assert own["image_rule"]


def test_show_tells_people_the_same(tmp_path: Path) -> None:
    ran = tessera(tmp_path, "show", "gpt-5.4")
    assert ran.returncode == 0
    assert "above (tokens 272,000; input 5; cached_input 0.5" in ran.stdout
