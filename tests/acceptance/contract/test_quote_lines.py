"""`tessera quote --jsonl`: a line is refused alone, and nothing it does not say is guessed."""

import json
from pathlib import Path

from servers import tessera


def lines(folder: Path, *written: str, options: tuple[str, ...] = ()) -> list[dict]:
    source = folder / "lines.jsonl"
    source.write_text("".join(f"{line}\n" for line in written))
    return [json.loads(line) for line in tessera("quote", "--jsonl", str(source), *options).stdout.splitlines()]


def test_a_line_without_a_model_is_refused_and_the_rest_go_on(tmp_path: Path) -> None:
    without, named = lines(tmp_path, '{"width":1024,"height":1024}', '{"model":"gpt-4o","width":1024,"height":1024}')
    assert without["error"]["code"] == "invalid_request"
    assert "model" in without["error"]["message"]
    assert (named["model"], named["image_tokens"]) == ("gpt-4o", 765)


def test_a_model_for_all_lines_can_be_named(tmp_path: Path) -> None:
    (line,) = lines(tmp_path, '{"width":1024,"height":1024}', options=("--model", "gpt-4o"))
    assert (line["model"], line["image_tokens"]) == ("gpt-4o", 765)
