"""Double entry: every movement is a transfer between two accounts; each transfer is two entries that sum to zero.

Transfer ids follow from what moved (`req_….settle`), so the same movement always has the same id.
"""

from enum import StrEnum

import msgspec


class Account(StrEnum):
    """The accounts of one organization in one mode. The first two are the customer's, the rest the operator's."""

    AVAILABLE = "available"
    HELD = "held"
    REVENUE = "revenue"
    CASH = "cash"
    PROMOTIONS = "promotions"
    PROVIDER_COST = "provider_cost"
    PROVIDER_PAYABLE = "provider_payable"
    OPERATOR_LOSS = "operator_loss"
    FEES = "fees"
    TAX = "tax"
    OWED = "owed"


class CreditKind(StrEnum):
    """Where credit came from. `manual` and `purchase` are paid for, `promotion` is given."""

    PURCHASE = "purchase"
    PROMOTION = "promotion"
    MANUAL = "manual"


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """`amount_nanos` > 0 moved from one account to another."""

    id: str
    kind: str
    from_account: Account
    to_account: Account
    amount_nanos: int


def credit_source(kind: CreditKind) -> Account:
    """The operator's account that credit of this kind comes from."""
    return Account.PROMOTIONS if kind is CreditKind.PROMOTION else Account.CASH


def expiry_target(kind: CreditKind) -> Account:
    """Where expired credit goes: a gift goes back, what was paid for is the operator's revenue."""
    return Account.PROMOTIONS if kind is CreditKind.PROMOTION else Account.REVENUE


def hold_transfers(hold_id: str, amount_nanos: int) -> tuple[Transfer, ...]:
    """What placing a hold moves. A hold of nothing moves nothing."""
    return _moved((f"{hold_id}.hold", "hold", Account.AVAILABLE, Account.HELD, amount_nanos))


def resolution_transfers(
    hold_id: str, amount_nanos: int, charge_nanos: int, cost_nanos: int, loss_nanos: int
) -> tuple[Transfer, ...]:
    """What the end of a hold moves: the charge, the returned rest, and the provider's cost beside them.

    `cost_nanos` is the provider's cost of what was charged, `loss_nanos` of what no customer pays; both are owed.
    """
    return _moved(
        (f"{hold_id}.settle", "settle", Account.HELD, Account.REVENUE, charge_nanos),
        (f"{hold_id}.release", "release", Account.HELD, Account.AVAILABLE, amount_nanos - charge_nanos),
        (f"{hold_id}.cost", "cost", Account.PROVIDER_COST, Account.PROVIDER_PAYABLE, cost_nanos),
        (f"{hold_id}.loss", "loss", Account.OPERATOR_LOSS, Account.PROVIDER_PAYABLE, loss_nanos),
    )


def _moved(*rows: tuple[str, str, Account, Account, int]) -> tuple[Transfer, ...]:
    return tuple(
        Transfer(id=id_, kind=kind, from_account=source, to_account=target, amount_nanos=amount)
        for id_, kind, source, target, amount in rows
        if amount
    )
