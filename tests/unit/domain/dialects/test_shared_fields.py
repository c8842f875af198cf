"""What both surfaces say in the same words is one rule."""

from tessera.domain.dialects import chat, responses
from tessera.domain.dialects.shared_fields import COPIED, SHARED


def test_a_field_that_both_surfaces_have_is_checked_by_one_rule() -> None:
    both = chat.FIELDS.keys() & responses.FIELDS.keys()
    assert both == SHARED.keys()
    assert all(chat.FIELDS[name] is responses.FIELDS[name] for name in both)


def test_only_shared_fields_are_copied_in_translation() -> None:
    assert SHARED.keys() >= COPIED
