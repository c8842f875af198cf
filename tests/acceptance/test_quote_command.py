"""`tessera quote` as people and programs use it: a real process, no server, no network."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import image_files as files
from tessera.adapters.media.upright import convert

FIELDS = [
    "model",
    "detail",
    "detail_used",
    "width",
    "height",
    "rule",
    "sized_width",
    "sized_height",
    "patches",
    "tiles",
    "multiplier",
    "image_tokens",
    "image_tokens_max",
    "text_tokens",
    "price_max_nanos",
    "price_predicted_nanos",
    "confidence",
    "rule_source",
    "valid_from",
]
ROOT = Path(__file__).parents[2]


def run(*arguments: str, stdin: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """Runs the command with sockets forbidden: whatever it needs must be in the package."""
    script = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise RuntimeError('the network was used')\n"
        "socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse\n"
        "from tessera.cli import main\n"
        "sys.argv[0] = 'tessera'\n"
        "main()\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")}
    return subprocess.run(
        [sys.executable, "-c", script, "quote", *arguments],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env=environment,
        timeout=60,
    )


def quoted(*arguments: str, cwd: Path | None = None) -> list[dict[str, object]]:
    done = run(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def answered(lines: list[object], *arguments: str) -> list[dict[str, object]]:
    stdin = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    done = run("--jsonl", *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_json_has_exactly_the_contracts_fields_in_order():
    (found,) = quoted("--size", "1024x1024", "--model", "gpt-4o")
    assert list(found) == FIELDS
    assert found["image_tokens"] == 765
    assert found["tiles"] == 4
    assert found["patches"] is None


def test_the_default_model_is_the_founding_one():
    (found,) = quoted("--size", "1024x1024")
    assert (found["model"], found["detail"], found["detail_used"]) == ("gpt-5.2-pro", "auto", "high")


@pytest.mark.parametrize(
    ("model", "detail", "field", "value"),
    [
        ("gpt-4.1-mini", "high", "patches", 1024),
        ("gpt-5-mini", "high", "multiplier", "1.62"),
        ("gpt-4o", "low", "image_tokens", 85),
    ],
)
def test_the_founding_figures_as_of_january_2026(model, detail, field, value):
    (found,) = quoted("--size", "1024x1024", "--model", model, "--detail", detail, "--as-of", "2026-01-15")
    assert found[field] == value


def test_price_is_tokens_times_price_at_the_list():
    (found,) = quoted("--size", "1024x1024", "--max-output-tokens", "100", "--prompt", "What is this?")
    tokens = found["image_tokens"] + found["text_tokens"]
    assert found["text_tokens"] > 3
    assert found["price_predicted_nanos"] == tokens * 21_000 + 100 * 168_000
    assert found["price_max_nanos"] > found["price_predicted_nanos"]


def test_without_a_stated_length_the_predicted_price_is_the_input_and_the_maximum_has_the_models_default():
    (found,) = quoted("--size", "1024x1024")
    assert found["price_predicted_nanos"] == 1229 * 21_000
    assert found["price_max_nanos"] > 1230 * 21_000 + 1000 * 168_000


def test_a_tier_without_a_price_is_refused_by_name():
    done = run("--size", "10x10", "--tier", "flex")
    assert done.returncode == 1
    assert b"gpt-5.2-pro has no price for the flex tier" in done.stderr
    (batch,) = quoted("--size", "1000x1000", "--tier", "batch", "--max-output-tokens", "10")
    (default,) = quoted("--size", "1000x1000", "--max-output-tokens", "10")
    assert batch["price_max_nanos"] * 2 == default["price_max_nanos"]


def test_the_operators_discount_holds(tmp_path):
    (tmp_path / "tessera.toml").write_text('[prices]\ndiscount_percent = "30"\n', "utf-8")
    (found,) = quoted("--size", "1024x1024", "--max-output-tokens", "100", cwd=tmp_path)
    assert found["price_predicted_nanos"] == 1229 * 14_700 + 100 * 117_600


def test_files_are_measured_as_displayed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (300, 200)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGB", (300, 200)).save(tmp_path / "plain.png")
    turned, plain = quoted("turned.jpg", "plain.png", "--model", "gpt-5.4", cwd=tmp_path)
    assert (turned["width"], turned["height"]) == (200, 300)
    assert (plain["width"], plain["height"]) == (300, 200)
    assert turned["image_tokens"] == plain["image_tokens"]


def test_images_and_models_multiply_image_by_image():
    found = quoted("--size", "100x100", "--size", "200x200", "--model", "gpt-4o", "--model", "gpt-5.4")
    assert [(line["width"], line["model"]) for line in found] == [
        (100, "gpt-4o"),
        (100, "gpt-5.4"),
        (200, "gpt-4o"),
        (200, "gpt-5.4"),
    ]


def test_people_get_a_table_with_the_rules_and_a_cheaper_level():
    done = run("--size", "2048x2048", "--model", "gpt-5.4", "--detail", "low", "--model", "gpt-4o")
    text = done.stdout.decode()
    assert done.returncode == 0
    assert "gpt-5.4" in text
    assert "4,916" in text
    assert "openai.patch.gpt-5.4.2026-09" in text
    assert "detail high of gpt-5.4 takes 3,000 tokens" in text
    assert "detail" not in text.split("takes 3,000 tokens")[1]


def test_a_model_without_a_price_is_counted_and_its_price_left_open():
    (found,) = quoted("--size", "1024x1024", "--model", "qwen2.5-vl")
    assert found["image_tokens"] == 1371
    assert found["price_max_nanos"] is None
    assert found["price_predicted_nanos"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "--size 1024x768"),
        (("--size", "1024"), 2, "is not a size"),
        (("--size", "0x10"), 2, "is not a size"),
        (("--size", "10x10", "--as-of", "yesterday"), 2, "is not a day"),
        (("--size", "10x10", "--detail", "ultra"), 2, "--detail"),
        (("--size", "10x10", "--max-output-tokens", "0"), 2, "--max-output-tokens"),
        (("no-such-file.png",), 2, "no-such-file.png"),
        (("--jsonl", "no-such-file.jsonl"), 2, "no-such-file.jsonl"),
        (("--jsonl", "-", "--size", "10x10"), 2, "--jsonl"),
        (("--size", "10x10", "--model", "gpt-5.2-pr"), 1, "gpt-5.2-pro"),
        (("--size", "10x10", "--as-of", "2025-12-10"), 1, "2025-12-11"),
        (("--size", "10x10", "--detail", "original"), 1, "Use low, high or auto"),
        (("--size", "9000x9000", "--model", "gpt-6-astra"), 1, "5536x5536"),
        (("--size", "10x10", "--max-output-tokens", "999999999"), 1, "max_output_tokens"),
        (("--size", "10x10", "--model", "gpt-3.5-turbo"), 1, "no image token rule"),
    ],
)
def test_what_cannot_be_quoted_is_refused_with_its_exit_code(arguments, code, message):
    done = run(*arguments)
    assert done.returncode == code
    assert message in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""


def test_a_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "notes.png").write_text("not an image at all, just words", "utf-8")
    done = run(str(tmp_path / "notes.png"))
    assert done.returncode == 1
    assert "notes.png" in done.stderr.decode()


def test_json_lines_come_back_in_order_and_a_bad_line_does_not_stop_the_rest():
    lines: list[object] = [
        {"model": "gpt-4o", "width": 1024, "height": 1024, "detail": "low"},
        b"{not json",
        {"model": "nope", "width": 10, "height": 10},
        {"model": "gpt-4o", "width": 10},
        {"model": "gpt-4o", "width": -1, "height": 10},
        {"model": "gpt-5.2", "width": 10, "height": 10, "detail": "original"},
        {"model": "gpt-4o", "width": 10, "height": 10, "detail": "ultra"},
        {"model": "gpt-5.2-pro", "width": 10, "height": 10, "tier": "flex"},
        {"model": "gpt-4o", "width": 10, "height": 10, "tier": "gold"},
        {"model": "gpt-4o", "width": 10, "height": 10, "max_output_tokens": 0},
        {"model": "gpt-4o", "width": 10, "height": 10, "hight": 10},
        b"",
        b"[]",
        b"\xff\xfe",
        {"model": "gpt-5-mini", "width": 1024, "height": 1024, "detail": "auto", "as_of": "2026-01-15"},
    ]
    found = answered(lines)
    assert len(found) == len(lines)
    assert found[0]["image_tokens"] == 85
    assert found[-1]["multiplier"] == "1.62"
    assert list(found[0]) == list(found[-1]) == FIELDS
    codes = [line["error"]["code"] for line in found[1:-1]]  # type: ignore[index]
    assert codes == [
        "invalid_request",
        "model_not_found",
        "invalid_request",
        "invalid_request",
        "unsupported_detail",
        "invalid_request",
        "unsupported_service_tier",
        "unsupported_service_tier",
        "invalid_request",
        "invalid_request",
        "invalid_request",
        "invalid_request",
        "invalid_request",
    ]
    assert all(line["error"]["message"] for line in found[1:-1])  # type: ignore[index]


def test_a_json_line_equals_the_same_quote_by_options():
    line = {
        "model": "gpt-5.4",
        "width": 1500,
        "height": 700,
        "detail": "high",
        "prompt": "Describe it.",
        "max_output_tokens": 50,
        "tier": "batch",
        "as_of": "2026-11-22",
    }
    options = ("--size", "1500x700", "--model", "gpt-5.4", "--detail", "high", "--prompt", "Describe it.")
    options += ("--max-output-tokens", "50", "--tier", "batch", "--as-of", "2026-11-22")
    assert answered([line]) == quoted(*options)


def test_options_fill_what_a_line_leaves_out(tmp_path):
    (tmp_path / "in.jsonl").write_bytes(b'{"width":1024,"height":1024}\n{"width":1024,"height":1024,"model":"gpt-5.4"}')
    done = run("--jsonl", "in.jsonl", "--model", "gpt-4o", "--detail", "low", cwd=tmp_path)
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert (first["image_tokens"], second["image_tokens"]) == (85, 1229)


def test_many_lines_stream_through_in_order():
    lines = b"".join(b'{"model":"gpt-4o","width":%d,"height":9}\n' % width for width in range(1, 20_001))
    done = run("--jsonl", "-", stdin=lines)
    assert [json.loads(line)["width"] for line in done.stdout.splitlines()] == list(range(1, 20_001))


def test_an_answer_comes_before_the_next_line_is_sent():
    with subprocess.Popen(
        [sys.executable, "-m", "tessera", "quote", "--jsonl"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for width in (64, 128):
            process.stdin.write(b'{"model":"gpt-4o","width":%d,"height":64}\n' % width)
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["width"] == width
        process.stdin.close()
        assert process.wait(20) == 0


def documented_commands() -> list[tuple[str, str]]:
    """(command, what it prints) of the how-to's examples: an `sh` block and the `text` block after it."""
    text = (ROOT / "docs" / "how-to" / "quote.md").read_text("utf-8")
    found = re.findall(r"```sh\n(.*?)\n```\n\n```text\n(.*?)```", text, re.DOTALL)
    assert len(found) == 4
    return found


@pytest.mark.parametrize(("command", "output"), documented_commands(), ids=lambda value: value[:60])
def test_every_example_of_the_how_to_prints_what_it_shows(command, output, tmp_path):
    here = f"{shlex.quote(sys.executable)} -m tessera quote"
    command = command.replace("tessera quote", here, 1)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    shown = [line.rstrip() for line in output.strip().splitlines()]
    assert [line.rstrip() for line in done.stdout.strip().splitlines()] == shown


def test_a_heic_is_quoted_as_the_server_sends_it_on(tmp_path: Path) -> None:
    pytest.importorskip("pi_heif", reason="needs the heif extra")
    (tmp_path / "phone.heic").write_bytes(files.heic())
    (found,) = quoted("phone.heic", "--model", "gpt-4o", cwd=tmp_path)
    made = convert(files.heic())
    assert (found["width"], found["height"]) == (made.width, made.height)
