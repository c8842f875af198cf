"""`tessera migrate`: brings the database to this version's schema."""

from pathlib import Path

import click

from tessera.cli._options import as_json_option, place_options, print_json, read_settings, run


@click.command()
@place_options
@as_json_option
def command(config: Path | None, data: Path | None, as_json: bool) -> None:
    """Bring the database to this version's schema. The server does it by itself at start."""
    from tessera.bootstrap import open_storage

    settings = read_settings(config, data)

    async def work() -> None:
        async with open_storage(settings):
            pass

    run(work())
    if as_json:
        print_json({"data_dir": str(settings.data_dir), "current": True})
        return
    click.echo(f"The database in {settings.data_dir} has this version's schema.")
