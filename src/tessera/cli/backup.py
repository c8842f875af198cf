"""`tessera backup`: a consistent copy of everything, taken beside a running server."""

from pathlib import Path

import click

from tessera.cli._options import as_json_option, place_options, print_json, run, settings_with_data


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@place_options
@as_json_option
def command(target: Path, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Write a copy of everything to a new file TARGET. It holds the secrets: keep it as safe as the data folder."""
    from tessera.bootstrap import open_storage

    settings = settings_with_data(config, data)

    async def work() -> None:
        async with open_storage(settings) as opened:
            await opened.storage.backup(target)

    run(work())
    size_bytes = target.stat().st_size
    if as_json:
        print_json({"path": str(target), "size_bytes": size_bytes})
        return
    click.echo(f"Backed up {settings.data_dir} to {target} ({size_bytes} bytes).")
