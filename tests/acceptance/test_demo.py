"""`tessera demo` and `make demo`: what a newcomer sees first, and what a script reads."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from receipts import assert_sound, nanos, recompute
from servers import clean_environment, tessera

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "src/tessera/cli/photos"


def check(shown: dict[str, Any]) -> None:
    """Everything the JSON of a demo promises, from its own figures."""
    assert list(shown) == ["description", "quote", "charge", "request_id", "receipt"]
    quote, charge, receipt = shown["quote"], shown["charge"], shown["receipt"]
    assert len(shown["description"]) > 100
    assert shown["request_id"] == receipt["id"]
    assert charge == receipt["charge"]
    assert_sound(receipt)
    assert charge["nanos"] <= quote["price"]["max_nanos"] == nanos(quote["price"]["max"])
    assert receipt["usage"]["input_tokens"] == quote["input"]["total_tokens"]["predicted"]
    assert receipt["usage"]["input_image_tokens"] == quote["images"][0]["tokens"]["predicted"]
    assert receipt["waived_nanos"] == 0
    prices = {line["unit"]: line["price_per_million"] for line in charge["lines"]}
    assert prices == {"input": "21", "output": "168"}
    usage = receipt["usage"]
    assert recompute(charge) == usage["input_tokens"] * 21_000 + usage["output_tokens"] * 168_000 == charge["nanos"]


def test_the_demo_prints_one_json_object_whose_quote_and_charge_agree() -> None:
    result = tessera("demo", "--once", "--json")
    assert result.stdout.count("\n") == 1
    shown = json.loads(result.stdout)
    check(shown)
    assert shown["quote"]["model"] == "gpt-5.2-pro"
    assert shown["quote"]["images"][0]["format"] == "webp"
    assert result.stderr == ""


def test_make_demo_prints_nothing_but_the_json_on_standard_output() -> None:
    if not (ROOT / ".venv/installed-runtime").exists():
        pytest.skip("the checkout was not installed with make")
    result = subprocess.run(
        ["make", "demo", "ARGS=--once --json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in clean_environment().items() if not name.startswith("MAKE")},
    )
    check(json.loads(result.stdout))


@pytest.mark.parametrize("name", ["astronaut.jpg", "chelsea.png"])
def test_the_demo_takes_a_picture_of_the_readers_own(name: str) -> None:
    shown = json.loads(tessera("demo", "--once", "--json", str(PHOTOS / name)).stdout)
    check(shown)
    with Image.open(PHOTOS / name) as image:
        assert (shown["quote"]["images"][0]["width"], shown["quote"]["images"][0]["height"]) == image.size


def test_the_demo_refuses_what_is_no_picture_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("not a picture")
    result = tessera("demo", "--once", str(tmp_path / "note.txt"), check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: The file is a text file, which vision models do not accept. Send PNG, JPEG, WebP or a GIF that is not "
        "animated.\n"
    )
    assert "Traceback" not in result.stderr


def test_the_demo_shows_a_person_description_quote_and_charge() -> None:
    said = tessera("demo", "--once").stdout
    for words in (
        "gpt-5.2-pro on coffee.webp",
        "Quoted before the call",
        "Charged after the call",
        "GET /v1/requests/req_",
    ):
        assert words in said
    assert "\x1b[" not in said


def test_the_demo_ignores_settings_that_lie_about(tmp_path: Path) -> None:
    (tmp_path / "tessera.toml").write_text("no = settings")
    result = subprocess.run(
        [sys.executable, "-m", "tessera", "demo", "--once", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**clean_environment(), "TESSERA_LISTEN": "nonsense", "OPENAI_API_KEY": "sk-not-used"},
    )
    check(json.loads(result.stdout))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tessera.toml"]


def test_without_once_the_demo_serves_on_with_the_key_it_shows(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "tessera", "demo"],
        stdout=subprocess.PIPE,
        text=True,
        env={**clean_environment(), "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    try:
        said = ""
        while "tessera describe" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        found = re.search(r"TESSERA_BASE_URL=(\S+) TESSERA_API_KEY=(\S+)", said)
        assert found is not None
        described = tessera(
            *("describe", "--json", str(PHOTOS / "rocket.jpg")),
            env={"TESSERA_BASE_URL": found[1], "TESSERA_API_KEY": found[2]},
        )
        assert nanos(json.loads(described.stdout)["charge"]) > 0
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        process.stdout.close()
    assert not list(tmp_path.iterdir()), "the demo left its data behind"
