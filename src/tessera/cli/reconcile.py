"""`tessera reconcile`: what the ledger could not settle by itself."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tessera.cli._options import (
    as_json_option,
    check_data,
    format_time,
    open_money,
    place_options,
    print_json,
    print_table,
    read_settings,
    run,
)

if TYPE_CHECKING:
    from tessera.domain.ledger.reconciliation import Reconciliation
    from tessera.settings import Settings


@click.command()
@click.option(
    "--payments", is_flag=True, help="Compare with payment services instead; exit 1 on a difference."
)
@place_options
@as_json_option
def command(payments: bool, config: Path | None, data: Path | None, as_json: bool) -> None:
    """List settlements that were refused, and calls whose provider's usage could not be true."""
    from tessera.bootstrap import open_storage

    settings = read_settings(config, data)
    check_data(settings)
    if payments:
        run(_compare_payments(settings, as_json))
        return

    async def work() -> "Reconciliation":
        async with open_storage(settings) as opened:
            return await opened.storage.reconciliation()

    found = run(work())
    if as_json:
        print_json(found)
        return
    _show(found)


async def _compare_payments(settings: "Settings", as_json: bool) -> None:
    """Applies what a payment service never told, and lists what differs."""
    from tessera.domain.errors import ErrorCode, TesseraError
    from tessera.flows.money.comparison import compare, comparison_object

    async with open_money(settings) as treasury:
        if not treasury.payments:
            raise TesseraError(ErrorCode.PAYMENTS_UNAVAILABLE, "No payment service is set up: see [payments].")
        found = [await compare(treasury, payments) for payments in treasury.payments.values()]
    if as_json:
        print_json([comparison_object(one) for one in found])
    else:
        for one in found:
            click.echo(f"{one.mode}: {one.compared} payments, refunds and disputes compared.")
            for line in one.missed:
                click.echo(f"  applied now, its webhook never came: {line}")
            for line in one.drift:
                click.echo(f"  differs: {line}")
    if any(one.missed or one.drift for one in found):
        raise SystemExit(1)


def _show(found: "Reconciliation") -> None:
    from tessera.domain.money import format_usd

    click.echo("Settlements that were refused; nothing of them was charged:\n")
    refused = [
        [
            *(format_time(row.refused_at), row.request_id, row.organization_id, row.mode, row.state, row.deployment),
            *(f"${format_usd(row.charge_nanos)}", f"${format_usd(row.cost_nanos)}", row.reason),
        ]
        for row in found.refused_settlements
    ]
    columns = ["REFUSED", "REQUEST", "ORGANIZATION", "MODE", "HOLD", "DEPLOYMENT", "WOULD CHARGE", "COST", "REASON"]
    print_table(columns, refused, empty="None.")
    click.echo("\nCalls charged by our own count, because their provider's usage could not be true:\n")
    quarantined = [
        [
            *(format_time(row.settled_at), row.request_id, row.organization_id, row.mode, row.model, row.deployment),
            *(f"${format_usd(row.charge_nanos)}", f"${format_usd(row.cost_nanos)}"),
        ]
        for row in found.quarantined_usage
    ]
    columns = ["SETTLED", "REQUEST", "ORGANIZATION", "MODE", "MODEL", "DEPLOYMENT", "CHARGED", "COST"]
    print_table(columns, quarantined, empty="None.")
