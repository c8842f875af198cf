"""`tessera credit`: money an operator adds by hand."""

from pathlib import Path

import click

from tessera.cli._options import as_json_option, mode_option, place_options, print_json, read_settings, run


@click.group()
def command() -> None:
    """Add credit."""


@command.command()
@click.option("--org", required=True, help="Name or id of the organization.")
@mode_option
@click.option("--amount", required=True, help="US dollars, up to nine decimals, as in 5.00.")
@click.option("--note", default="", help="Why; stands in the ledger.")
@place_options
@as_json_option
def add(org: str, mode: str, amount: str, note: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Add credit to an organization's balance."""
    from tessera.bootstrap import open_storage
    from tessera.domain.money import Mode, format_usd, parse_usd

    try:
        nanos = parse_usd(amount)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--amount") from None
    if nanos == 0:
        raise click.BadParameter("an amount above zero is needed", param_hint="--amount")
    settings = read_settings(config, data)

    async def work() -> None:
        async with open_storage(settings) as opened:
            owner = await opened.storage.find_organization(org)
            lot = await opened.storage.add_credit(owner.id, Mode(mode), nanos, kind="manual", note=note)
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
