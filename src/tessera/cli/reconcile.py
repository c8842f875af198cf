"""`tessera reconcile`: what the ledger could not settle by itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tessera.cli._options import (
    as_json_option,
    format_time,
    open_money,
    place_options,
    print_json,
    print_table,
    run,
    settings_with_data,
)

if TYPE_CHECKING:
    from tessera.domain.ledger.reconciliation import Reconciliation
    from tessera.settings import Settings


@click.command(short_help="Compare the ledger with books kept elsewhere.")
@click.option("--payments", is_flag=True, help="Compare with payment services instead; exit 1 on a difference.")
@click.option("--provider", help="Compare with this provider's own books instead; exit 1 on a difference.")
@click.option("--admin-key", help="With --provider: its admin key, as env:NAME or file:PATH.")
@click.option("--from", "start", help="With --provider: the first day (UTC); by default yesterday.")
@click.option("--until", "end", help="With --provider: the day after the last; by default today.")
@place_options
@as_json_option
def command(
    payments: bool,
    provider: str | None,
    admin_key: str | None,
    start: str | None,
    end: str | None,
    config: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """List settlements that were refused, and calls whose provider's usage could not be true."""
    from tessera.bootstrap import open_storage

    if payments and provider is not None:
        raise click.UsageError("Give --payments or --provider, not both.")
    if provider is None and (admin_key, start, end) != (None, None, None):
        raise click.UsageError("--admin-key, --from and --until go with --provider.")
    settings = settings_with_data(config, data)
    if payments:
        run(_compare_payments(settings, as_json))
        return

    if provider is not None:
        run(_compare_provider(settings, provider, admin_key, (start, end), as_json))
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


async def _compare_provider(
    settings: "Settings", provider: str, admin_key: str | None, days: tuple[str | None, str | None], as_json: bool
) -> None:
    """Names what the provider's books have otherwise; applies nothing."""
    import os

    from tessera.bootstrap import open_storage
    from tessera.bootstrap.providers import open_books
    from tessera.flows.operator.comparison import compare_provider, days_asked
    from tessera.settings.rows import catalogue_of

    first, last = days_asked(*days)
    books = open_books(settings, os.environ, provider, admin_key)
    async with open_storage(settings) as opened:
        names = catalogue_of(settings).canonical_names()
        found = await compare_provider(opened.storage, books, provider, first, last, names)
    if as_json:
        print_json(found)
    else:
        _show_provider(found)
    if found["differences"]:
        raise SystemExit(1)


def _show_provider(found: dict[str, Any]) -> None:
    from tessera.domain.money import format_usd

    cost, billed = format_usd(found["cost_nanos"]), found["billed_nanos"]
    click.echo(
        f"{found['calls']} calls cost ${cost} by our records; {found['provider']} billed {billed} nano-dollars.\n"
    )
    rows = [
        [
            *(one["kind"], one["model"], format_time(one["start_at"]), str(one["requests"]), str(one["input_tokens"])),
            *(str(one["output_tokens"]), "" if one["cost_nanos"] is None else str(one["cost_nanos"])),
            (" " if one["exact"] else " among: ").lstrip() + " ".join(one["request_ids"]),
        ]
        for one in found["differences"]
    ]
    columns = ["DIFFERENCE", "MODEL", "FROM (UTC)", "CALLS", "INPUT", "OUTPUT", "NANOS", "WHICH"]
    print_table(columns, rows, empty="No difference.")
    for one in found["refundable"]:
        click.echo(f"charged, not billed by the provider: {one['request_id']} ${format_usd(one['charge_nanos'])}")
    for name in found["unmatched_line_items"]:
        click.echo(f"billed for what we did not call: {name or '(no line item)'}")


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
