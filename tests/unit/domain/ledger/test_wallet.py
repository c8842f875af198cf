"""Lots of credit: what expires, what is added."""

from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.ledger.resolutions import charged_draws
from tessera.domain.ledger.wallet import Draw, LotBalance, Wallet, add_lot, drawing_order, expire_lots

EMPTY = Wallet(available_nanos=0, held_nanos=0)


def lot(name: str, remaining: int, expires_at: int | None, held: int = 0) -> LotBalance:
    return LotBalance(id=name, kind="promotion", expires_at=expires_at, remaining_nanos=remaining, held_nanos=held)


def test_a_lot_can_be_spent_until_its_second_and_not_at_it() -> None:
    wallet = add_lot(EMPTY, lot("lot_1", 10, 100))
    assert expire_lots(wallet, 99) == (wallet, ())
    expired, taken = expire_lots(wallet, 100)
    assert taken == (Draw("lot_1", 10),)
    assert (expired.available_nanos, expired.lots[0].remaining_nanos, expired.lots[0].expired_nanos) == (0, 0, 10)


def test_the_last_nano_expires_and_nothing_is_not_taken() -> None:
    wallet = Wallet(available_nanos=1, held_nanos=0, lots=(lot("lot_1", 1, 100), lot("lot_2", 0, 100)))
    expired, taken = expire_lots(wallet, 100)
    assert taken == (Draw("lot_1", 1),)
    assert expired.available_nanos == 0


def test_of_lots_that_expire_together_the_older_is_drawn_first() -> None:
    dated = [lot("lot_2", 1, 100), lot("lot_1", 1, 100)]
    undated = [lot("lot_4", 1, None), lot("lot_3", 1, None)]
    assert [found.id for found in drawing_order(undated + dated)] == ["lot_1", "lot_2", "lot_3", "lot_4"]


def test_what_running_calls_hold_of_an_expired_lot_stays_theirs() -> None:
    wallet = Wallet(available_nanos=4, held_nanos=6, lots=(lot("lot_1", 4, 100, held=6),))
    expired, taken = expire_lots(wallet, 100)
    assert taken == (Draw("lot_1", 4),)
    assert expired.held_nanos == 6
    assert expired.lots[0].held_nanos == 6


def test_credit_that_never_expires_never_does() -> None:
    wallet = add_lot(EMPTY, lot("lot_1", 10, None))
    assert expire_lots(wallet, 2**62) == (wallet, ())


@given(
    st.lists(st.tuples(st.integers(0, 2**40), st.one_of(st.none(), st.integers(1, 50))), max_size=6), st.integers(0, 60)
)
def test_expiry_takes_each_nano_once(lots: list[tuple[int, int | None]], now: int) -> None:
    wallet = EMPTY
    for number, (remaining, expires_at) in enumerate(lots):
        wallet = add_lot(wallet, lot(f"lot_{number}", remaining, expires_at))
    after, taken = expire_lots(wallet, now)
    assert after.available_nanos + sum(draw.amount_nanos for draw in taken) == wallet.available_nanos
    assert after.available_nanos == sum(kept.remaining_nanos for kept in after.lots)
    assert expire_lots(after, now) == (after, ())
    assert all(kept.expires_at is None or kept.expires_at > now or kept.remaining_nanos == 0 for kept in after.lots)


@given(st.lists(st.integers(1, 1000), max_size=5), st.integers(0, 5000))
def test_the_first_draws_pay_the_charge(amounts: list[int], charge: int) -> None:
    draws = [Draw(f"lot_{number}", amount) for number, amount in enumerate(amounts)]
    charge = min(charge, sum(amounts))
    paid = charged_draws(draws, charge)
    assert sum(draw.amount_nanos for draw in paid) == charge
    assert [draw.lot_id for draw in paid] == [draw.lot_id for draw in draws[: len(paid)]]
    assert all(part.amount_nanos == whole.amount_nanos for part, whole in zip(paid[:-1], draws, strict=False))
