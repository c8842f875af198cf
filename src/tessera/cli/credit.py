"""`tessera credit`: money an operator adds by hand."""

import time
from pathlib import Path

import click

from tessera.cli._options import (
    DAY_S,
    DAYS,
    as_json_option,
    mode_option,
    parse_amount,
    place_options,
    print_json,
    run,
    settings_with_data,
)


@click.group()
def command() -> None:
    """Add credit."""


@command.command()
@click.option("--org", required=True, help="Name or id of the organization.")
@mode_option
@click.option("--amount", required=True, help="US dollars, up to nine decimals, as in 5.00.")
@click.option("--note", default="", help="Why; stands in the ledger.")
@click.option("--promotion", is_flag=True, help="Given, not paid for: it is spent first where it expires first.")
@click.option("--days", type=DAYS, help="How long the credit lasts (default: for ever).")
@place_options
@as_json_option
def add(
    org: str,
    mode: str,
    amount: str,
    note: str,
    promotion: bool,
    days: int | None,
    config: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Add credit to an organization's balance."""
    from tessera.bootstrap import open_storage
    from tessera.domain.money import Mode, format_usd

    nanos = parse_amount(amount)
    kind = "promotion" if promotion else "manual"
    expires_at = None if days is None else int(time.time()) + days * DAY_S
    settings = settings_with_data(config, data)

    async def work() -> None:
        async with open_storage(settings) as opened:
            owner = await opened.storage.find_organization(org)
            lot = await opened.storage.add_credit(
                owner.id, Mode(mode), nanos, kind=kind, note=note, expires_at=expires_at
            )
            balance = await opened.storage.balance(owner.id, Mode(mode))
        if as_json:
            print_json(
                {
                    "id": lot.id,
                    "organization": owner.name,
                    "mode": mode,
                    "amount": format_usd(nanos),
                    "amount_nanos": nanos,
                    "available": format_usd(balance.available_nanos),
                    "available_nanos": balance.available_nanos,
                }
            )
            return
        click.echo(
            f"Added ${format_usd(nanos)} of {mode} credit to {owner.name}; "
            f"available now: ${format_usd(balance.available_nanos)}."
        )

    run(work())
