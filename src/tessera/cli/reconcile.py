"""`tessera reconcile`: what the ledger could not settle by itself."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tessera.cli._options import (
    as_json_option,
    check_data,
    format_time,
    place_options,
    print_json,
    print_table,
    read_settings,
    run,
)

if TYPE_CHECKING:
    from tessera.domain.ledger.reconciliation import Reconciliation


@click.command()
@place_options
@as_json_option
def command(config: Path | None, data: Path | None, as_json: bool) -> None:
    """List settlements that were refused, and calls whose provider's usage could not be true."""
    from tessera.bootstrap import open_storage

    settings = read_settings(config, data)
    check_data(settings)

    async def work() -> "Reconciliation":
        async with open_storage(settings) as opened:
            return await opened.storage.reconciliation()

    found = run(work())
    if as_json:
        print_json(found)
        return
    _show(found)


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
