"""`tessera vouchers`: codes that are worth promotional credit."""

from pathlib import Path

import click

from tessera.cli._options import (
    DAY_S,
    DAYS,
    as_json_option,
    every,
    format_time,
    mode_option,
    open_money,
    parse_amount,
    place_options,
    print_json,
    print_table,
    read_settings,
    run,
    settings_with_data,
)

_USES = click.IntRange(1, 1_000_000_000)


@click.group()
def command() -> None:
    """Make, list and revoke vouchers for promotional credit."""


@command.command()
@mode_option
@click.option("--amount", required=True, help="US dollars each redemption is worth, up to nine decimals.")
@click.option("--uses", type=_USES, default=1, show_default=True, help="How many organizations may redeem.")
@click.option("--days", type=DAYS, help="How long it can be redeemed (default: until it is revoked).")
@click.option("--credit-days", type=DAYS, help="How long the credit lasts (default: for ever).")
@click.option("--note", default="", help="Why; only the operator sees it.")
@place_options
@as_json_option
def create(
    mode: str,
    amount: str,
    uses: int,
    days: int | None,
    credit_days: int | None,
    note: str,
    config: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Make a voucher. Its code is shown this once."""
    from tessera.domain.money import Mode, format_usd
    from tessera.flows.money.vouchers import create_voucher, voucher_object

    nanos = parse_amount(amount)
    settings = read_settings(config, data)

    async def work() -> None:
        async with open_money(settings) as treasury:
            made, code = await create_voucher(
                treasury,
                mode=Mode(mode),
                amount_nanos=nanos,
                redemptions_max=uses,
                expires_at=None if days is None else treasury.now() + days * DAY_S,
                credit_seconds=None if credit_days is None else credit_days * DAY_S,
                note=note,
            )
        if as_json:
            print_json({**voucher_object(made), "code": code})
            return
        click.echo(code)
        click.echo(f"Voucher {made.id}: ${format_usd(nanos)} of {mode} credit, {uses} use(s).", err=True)

    run(work())


@command.command("list")
@place_options
@as_json_option
def list_all(config: Path | None, data: Path | None, as_json: bool) -> None:
    """List vouchers, newest first; never their codes."""
    from tessera.domain.money import format_usd
    from tessera.flows.money.vouchers import voucher_object

    settings = settings_with_data(config, data)

    async def work() -> None:
        async with open_money(settings) as treasury:
            found = await every(treasury.store.list_vouchers)
        if as_json:
            print_json([voucher_object(one) for one in found])
            return
        rows = [
            [
                *(one.id, one.display, one.mode.value, f"${format_usd(one.amount_nanos)}"),
                *(f"{one.redemptions}/{one.redemptions_max}", format_time(one.expires_at) if one.expires_at else ""),
                *("revoked" if one.revoked_at else "", one.note),
            ]
            for one in found
        ]
        columns = ["ID", "CODE", "MODE", "AMOUNT", "USED", "REDEEM UNTIL (UTC)", "", "NOTE"]
        print_table(columns, rows, empty="No voucher yet: tessera vouchers create --amount 5.00")

    run(work())


@command.command()
@click.argument("voucher_id")
@place_options
@as_json_option
def revoke(voucher_id: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Revoke a voucher by its id: nobody can redeem it any more; credit it gave stays."""
    from tessera.flows.money.vouchers import revoke_voucher, voucher_object

    settings = settings_with_data(config, data)

    async def work() -> None:
        async with open_money(settings) as treasury:
            revoked = await revoke_voucher(treasury, voucher_id)
        if as_json:
            print_json(voucher_object(revoked))
        else:
            click.echo(f"Voucher {revoked.id} is revoked; it was redeemed {revoked.redemptions} times.")

    run(work())
