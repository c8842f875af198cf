"""`tessera describe`: with the embedded engine, and through a server."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

import image_files as files
from receipts import nanos
from servers import TesseraServer, tessera

PHOTOS = Path(__file__).parents[2] / "src/tessera/cli/photos"
PHOTO = str(PHOTOS / "coffee.webp")


@pytest.fixture
def through(server: TesseraServer) -> dict[str, str]:
    return {"TESSERA_BASE_URL": server.base_url, "TESSERA_API_KEY": server.account().key}


def test_without_a_server_the_embedded_engine_answers() -> None:
    shown = json.loads(tessera("describe", "--json", PHOTO).stdout)
    assert shown["model"] == "tessera/sight"
    assert "photograph, 600 × 400 pixels" in shown["description"]
    assert tessera("describe", PHOTO).stdout.strip() == shown["description"]


def test_another_model_needs_a_server() -> None:
    result = tessera("describe", "--model", "gpt-4o", PHOTO, check=False)
    assert result.returncode == 2
    assert "set TESSERA_BASE_URL and TESSERA_API_KEY" in result.stderr


def test_an_address_without_a_key_is_refused() -> None:
    assert tessera("describe", PHOTO, check=False, env={"TESSERA_BASE_URL": "http://127.0.0.1:1"}).returncode == 2


def test_a_server_is_asked_and_paid(through: dict[str, str]) -> None:
    shown = json.loads(tessera("describe", "--json", "--model", "gpt-4o", PHOTO, env=through).stdout)
    assert nanos(shown["charge"]) > 0
    assert "rust" in shown["description"]


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5.2-pro", "tessera/sight"])
def test_a_streamed_description_is_the_same_as_a_whole_one(through: dict[str, str], model: str) -> None:
    whole = tessera("describe", "--model", model, PHOTO, env=through).stdout
    assert tessera("describe", "--model", model, "--stream", PHOTO, env=through).stdout == whole


def test_a_server_that_is_not_there_is_named() -> None:
    env = {"TESSERA_BASE_URL": "http://127.0.0.1:1", "TESSERA_API_KEY": "any"}
    result = tessera("describe", str(PHOTO), check=False, env=env)
    assert (result.returncode, result.stdout) == (1, "")
    assert "http://127.0.0.1:1/v1/chat/completions cannot be reached" in result.stderr
    assert "refused" in result.stderr


def test_a_refusal_of_the_server_is_one_sentence(through: dict[str, str]) -> None:
    for arguments, env in (
        (("--model", "gpt-nonsense"), through),
        ((), {**through, "TESSERA_API_KEY": "sk-tess-test-nonsense"}),
        ((), {**through, "TESSERA_BASE_URL": "http://127.0.0.1:1"}),
    ):
        result = tessera("describe", *arguments, PHOTO, check=False, env=env)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: ")
        assert "Traceback" not in result.stderr


def test_a_file_that_is_no_picture_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "note.jpg").write_text("not a picture")
    result = tessera("describe", str(tmp_path / "note.jpg"), check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert "Traceback" not in result.stderr


def test_upright_turns_the_pixels_before_they_are_sent(tmp_path: Path, through: dict[str, str]) -> None:
    with Image.open(PHOTOS / "rocket.jpg") as image:
        exif = image.getexif()
        exif[0x0112] = 6
        turned = io.BytesIO()
        image.save(turned, "JPEG", exif=exif)
    path = tmp_path / "turned.jpg"
    path.write_bytes(turned.getvalue())
    upright = tessera("describe", "--upright", str(path)).stdout
    assert "427 × 640 pixels" in upright
    assert tessera("describe", "--upright", "--model", "gpt-4o", str(path), env=through).stdout.count("427 × 640") == 1


def test_several_pictures_are_described_together() -> None:
    said = tessera("describe", PHOTO, str(PHOTOS / "chelsea.png")).stdout
    assert "600 × 400" in said
    assert "451 × 300" in said


def test_without_a_server_files_are_taken_and_refused_as_a_server_does(tmp_path: Path, server: TesseraServer) -> None:
    through = {"TESSERA_BASE_URL": server.base_url, "TESSERA_API_KEY": server.account().key}
    for name, content in (("moving.gif", files.animated("GIF")), ("moving.webp", files.animated("WEBP"))):
        path = tmp_path / name
        path.write_bytes(content)
        refusals = [tessera("describe", str(path), check=False, env=env) for env in ({}, through)]
        assert [refused.returncode for refused in refusals] == [1, 1]
        assert all("animated" in refused.stderr for refused in refusals)


def test_a_heic_is_described_with_and_without_a_server(tmp_path: Path, server: TesseraServer) -> None:
    pytest.importorskip("pi_heif", reason="needs the heif extra")
    through = {"TESSERA_BASE_URL": server.base_url, "TESSERA_API_KEY": server.account().key}
    path = tmp_path / "phone.heic"
    path.write_bytes(files.heic())
    alone = tessera("describe", str(path)).stdout
    assert "Traceback" not in alone
    assert tessera("describe", "--upright", str(path)).stdout == alone
    assert tessera("describe", str(path), env=through).stdout == alone
