"""The reference names every field that is decided."""

import re
from pathlib import Path

import pytest

from tessera.domain.dialects import chat, responses

REFERENCE = Path(__file__).parents[4] / "docs" / "reference" / "dialects.md"


@pytest.mark.parametrize(("title", "fields"), [("Chat completions", chat.FIELDS), ("Responses", responses.FIELDS)])
def test_the_reference_lists_the_fields_of_a_surface(title: str, fields: dict[str, object]) -> None:
    section = REFERENCE.read_text().split(f"**{title}.**")[1].split("Any field that is in neither")[0].split("\n**")[0]
    named = set(re.findall(r"`([a-z_]+)`", section))
    assert set(fields) <= named
    assert named - set(fields) <= {"in_memory", "ttl", "mode", "standard", "30m", "enable_thinking", "thinking"}
