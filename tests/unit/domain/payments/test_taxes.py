"""Tax in what goes back of a payment: exact cents, in proportion, all of it in the end."""

from fractions import Fraction
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.payments.taxes import amount_with_tax, tax_in


@st.composite
def payments(draw: st.DrawFn) -> tuple[int, int]:
    """(total, tax) in cents."""
    total = draw(st.integers(1, 10**9))
    return total, draw(st.integers(0, total - 1))


SHARES = st.lists(st.fractions(0, 1), max_size=4)


@given(payment=payments(), shares=SHARES)
def test_parts_that_go_back_take_their_tax_and_the_last_one_the_rest(
    payment: tuple[int, int], shares: list[Fraction]
) -> None:
    total, tax = payment
    refunded = returned = 0
    for share in (*shares, Fraction(1)):
        amount = floor(share * (total - refunded))
        part = tax_in(amount, total=total, tax=tax, refunded=refunded, returned=returned)
        assert 0 <= part <= amount
        refunded, returned = refunded + amount, returned + part
        assert returned == floor(Fraction(tax * refunded, total))
    assert returned == tax


@given(payment=payments(), shares=SHARES)
def test_credit_goes_back_with_its_tax_and_all_of_it_with_all_of_the_tax(
    payment: tuple[int, int], shares: list[Fraction]
) -> None:
    total, tax = payment
    before: dict[str, int] = {"total": total, "tax": tax, "refunded": 0, "returned": 0}
    left = total - tax
    for share in (*shares, Fraction(1)):
        net = floor(share * left)
        amount = amount_with_tax(net, **before)
        part = tax_in(amount, **before)
        assert amount - part == net
        before |= {"refunded": before["refunded"] + amount, "returned": before["returned"] + part}
        left -= net
    assert (before["refunded"], before["returned"]) == (total, tax)


def test_what_is_disputed_beyond_the_total_has_no_more_tax() -> None:
    assert tax_in(2975, total=2975, tax=475, refunded=2975, returned=475) == 0


def test_a_refund_that_failed_leaves_at_most_a_cent_to_the_next() -> None:
    first = tax_in(3, total=119, tax=19, refunded=0, returned=0)
    second = tax_in(4, total=119, tax=19, refunded=3, returned=first)
    assert (first, second) == (0, 1)
    assert tax_in(1, total=119, tax=19, refunded=4, returned=second) == 0, "the first failed: none is due yet"
    assert tax_in(115, total=119, tax=19, refunded=4, returned=second) == 18
