"""`tessera refund`: gives a call's charge back."""

from pathlib import Path

import click

from tessera.cli._options import (
    as_json_option,
    open_money,
    parse_amount,
    place_options,
    print_json,
    run,
    settings_with_data,
)


@click.command(short_help="Refund what a call was charged.")
@click.argument("request_id")
@click.option("--amount", help="US dollars, up to nine decimals (default: all that was charged).")
@click.option("--note", default="", help="Why; stands in the ledger.")
@place_options
@as_json_option
def command(
    request_id: str, amount: str | None, note: str, config: Path | None, data: Path | None, as_json: bool
) -> None:
    """Refund what a call was charged, once, to the credit that paid it."""
    from tessera.domain.money import format_usd
    from tessera.flows.money.refunds import refund_call

    nanos = None if amount is None else parse_amount(amount)
    settings = settings_with_data(config, data)

    async def work() -> None:
        async with open_money(settings) as treasury:
            refund = await refund_call(treasury, request_id, nanos, note or "refund by the operator")
        if as_json:
            print_json(
                {
                    "object": "charge.refund",
                    "request": refund.request_id,
                    "organization": refund.organization_id,
                    "mode": refund.mode,
                    "charge_nanos": refund.charge_nanos,
                    "amount": format_usd(refund.amount_nanos),
                    "amount_nanos": refund.amount_nanos,
                    "refunded_at": refund.refunded_at,
                }
            )
            return
        click.echo(f"Refunded ${format_usd(refund.amount_nanos)} of request {request_id} to {refund.organization_id}.")

    run(work())
