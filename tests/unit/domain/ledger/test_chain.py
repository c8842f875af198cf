"""The hash chain: every value and every link before it counts."""

from hypothesis import assume, given
from hypothesis import strategies as st

from tessera.domain.ledger.chain import CHAIN_START, Value, next_link, signature

VALUES = st.one_of(st.none(), st.text(max_size=8), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=8))
ROWS = st.lists(VALUES, max_size=6)


@given(ROWS, ROWS)
def test_different_movements_have_different_links(one: list[Value], other: list[Value]) -> None:
    assume([(type(v), v) for v in one] != [(type(v), v) for v in other])
    assert next_link(CHAIN_START, one) != next_link(CHAIN_START, other)


@given(ROWS, st.binary(min_size=32, max_size=32))
def test_a_link_depends_on_the_one_before(row: list[Value], before: bytes) -> None:
    assume(before != CHAIN_START)
    assert next_link(before, row) != next_link(CHAIN_START, row)


@given(ROWS)
def test_a_signature_is_bound_to_key_and_kind_of_row(row: list[Value]) -> None:
    signed = signature(b"k" * 32, "wallet", row)
    assert signed == signature(b"k" * 32, "wallet", row)
    assert signed != signature(b"K" * 32, "wallet", row)
    assert signed != signature(b"k" * 32, "api_key", row)


def test_an_edit_breaks_every_later_link() -> None:
    def links(amounts: list[int]) -> list[bytes]:
        link, found = CHAIN_START, []
        for amount in amounts:
            link = next_link(link, ("hold", amount))
            found.append(link)
        return found

    good, edited = links([1, 2, 3, 4]), links([1, 9, 3, 4])
    assert [a == b for a, b in zip(good, edited, strict=True)] == [True, False, False, False]
