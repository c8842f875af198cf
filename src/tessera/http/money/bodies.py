"""Every field that a write of money takes."""

from typing import Annotated

import msgspec

from tessera.http.account.bodies import Fields

Amount = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class CreateTopUp(Fields, frozen=True, kw_only=True):
    """How much, in US dollars and whole cents. `save_card` lets automatic top-up charge the card later. `mode` is live
    unless said otherwise; a key has its own."""

    amount: Amount
    currency: Word = "usd"
    save_card: bool = False
    mode: Word | None = None


class RedeemVoucher(Fields, frozen=True, kw_only=True):
    """The code on the voucher."""

    code: Word
    mode: Word | None = None


class SetAutomaticTopUp(Fields, frozen=True, kw_only=True):
    """Below `threshold`, `amount` is charged to the saved card, at most `month_max` in a month; US dollars."""

    enabled: bool
    threshold: Amount
    amount: Amount
    month_max: Amount
    mode: Word | None = None
