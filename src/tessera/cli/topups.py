"""`tessera topups`: payments that brought money in, and their refunds."""

from functools import partial
from pathlib import Path

import click

from tessera.cli._options import (
    as_json_option,
    every,
    format_time,
    open_money,
    parse_amount,
    place_options,
    print_json,
    print_table,
    run,
    settings_with_data,
)


@click.group()
def command() -> None:
    """List top-ups, refund their payments."""


@command.command("list")
@click.option("--org", help="Name or id of an organization (default: all).")
@click.option("--mode", type=click.Choice(["live", "test"]), help="Which money of it (default: live).")
@place_options
@as_json_option
def list_all(org: str | None, mode: str | None, config: Path | None, data: Path | None, as_json: bool) -> None:
    """List top-ups, newest first: of one organization and mode, or of all."""
    from tessera.bootstrap import open_storage
    from tessera.domain.money import Mode, format_usd
    from tessera.flows.money.topups import topup_object

    if mode is not None and org is None:
        raise click.UsageError("--mode goes with --org: the list of all has both.")
    settings = settings_with_data(config, data)

    async def work() -> None:
        owner = None
        if org is not None:
            async with open_storage(settings) as opened:
                owner = await opened.storage.find_organization(org)
        async with open_money(settings) as treasury:
            store = treasury.store
            if owner is None:
                found = await every(store.list_all_topups)
            else:
                found = await every(partial(store.list_topups, owner.id, Mode(mode or "live")))
        if as_json:
            whose = [{"organization": one.organization_id, "fee_nanos": one.fee_nanos} for one in found]
            print_json([topup_object(one) | more for one, more in zip(found, whose, strict=True)])
            return
        rows = [
            [
                *(format_time(one.created_at), one.id, one.organization_id, one.mode.value, one.kind.value),
                *(one.state.value, f"${format_usd(one.amount_nanos)}", f"${format_usd(one.tax_nanos)}"),
                *(f"${format_usd(one.refunded_nanos)}", f"${format_usd(one.disputed_nanos)}"),
                *(f"${format_usd(one.fee_nanos)}", one.payment_id or ""),
            ]
            for one in found
        ]
        columns = ["CREATED (UTC)", "ID", "ORGANIZATION", "MODE", "KIND", "STATE", "AMOUNT", "TAX", "REFUNDED"]
        print_table([*columns, "DISPUTED", "FEE", "PAYMENT"], rows, empty="No top-up yet.")

    run(work())


@command.command()
@click.argument("topup_id")
@click.option("--amount", help="Of the credit, in US dollars and whole cents (default: all that was not spent).")
@click.option("--note", default="", help="Why; stands in the ledger.")
@place_options
@as_json_option
def refund(topup_id: str, amount: str | None, note: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Refund a payment to the card that made it: what was not spent of it, or a part of that."""
    from tessera.domain.money import format_usd
    from tessera.flows.money.refunds import refund_topup

    nanos = None if amount is None else parse_amount(amount)
    settings = settings_with_data(config, data)

    async def work() -> None:
        async with open_money(settings) as treasury:
            sent = await refund_topup(treasury, topup_id, nanos, note or "refund by the operator")
        if as_json:
            print_json(
                {
                    "object": "payment.refund",
                    "id": sent.id,
                    "topup": sent.topup.id,
                    "amount": format_usd(sent.amount_nanos),
                    "amount_nanos": sent.amount_nanos,
                    "tax": format_usd(sent.tax_nanos),
                    "tax_nanos": sent.tax_nanos,
                }
            )
            return
        tax = f", ${format_usd(sent.tax_nanos)} of it tax," if sent.tax_nanos else ""
        click.echo(f"Refunded ${format_usd(sent.amount_nanos)}{tax} of top-up {topup_id} to who paid it.")

    run(work())
