"""`tessera usage`: what an organization used, by model."""

from pathlib import Path

import click

from tessera.cli._options import as_json_option, place_options, print_json, print_table, read_settings, run


@click.command()
@click.option("--org", required=True, help="Name or id of the organization.")
@place_options
@as_json_option
def command(org: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Show what an organization used and was charged, by mode and model."""
    from tessera.bootstrap import open_storage
    from tessera.domain.money import format_usd

    settings = read_settings(config, data)

    async def work() -> None:
        async with open_storage(settings) as opened:
            owner = await opened.storage.find_organization(org)
            found = await opened.storage.usage(owner.id)
        if as_json:
            print_json(
                [
                    {
                        "mode": row.mode,
                        "model": row.model,
                        "calls": row.calls,
                        "usage": row.usage,
                        "charge": format_usd(row.charge_nanos),
                        "charge_nanos": row.charge_nanos,
                        "cost": format_usd(row.cost_nanos),
                        "cost_nanos": row.cost_nanos,
                    }
                    for row in found
                ]
            )
            return
        rows = [
            [
                *(row.mode, row.model, str(row.calls)),
                *(str(row.usage.input_tokens), str(row.usage.input_image_tokens), str(row.usage.output_tokens)),
                *(f"${format_usd(row.charge_nanos)}", f"${format_usd(row.cost_nanos)}"),
            ]
            for row in found
        ]
        columns = ["MODE", "MODEL", "CALLS", "INPUT", "OF IT IMAGES", "OUTPUT", "CHARGED", "COST"]
        print_table(columns, rows, empty=f"{owner.name} has not used anything yet.")

    run(work())
