"""What fuzzing learnt, replayed: every kept input, and every input that once broke something."""

import pytest

from fuzz import corpus
from fuzz.targets import TARGETS, target


@pytest.mark.parametrize("name", TARGETS)
def test_no_kept_input_breaks_a_target(name: str) -> None:
    module = target(name)
    inputs = [*module.seeds(), *corpus.read(name)]
    assert len(inputs) >= 10
    for data in inputs:
        try:
            module.check(data)
        except Exception as error:
            error.add_note(f"{name}, input {data!r}")
            raise


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_any_bytes(name: str) -> None:
    module = target(name)
    for data in (b"", b"\0", b"\xff" * 64, bytes(range(256)), b"{" * 3000, b"\r\n" * 50):
        module.check(data)
