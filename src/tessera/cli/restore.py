"""`tessera restore`: a backup back into a new data folder."""

from pathlib import Path

import click

from tessera.cli._options import as_json_option, place_options, print_json, read_settings, run


@click.command(short_help="Restore a backup into a new data folder.")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@place_options
@as_json_option
def command(source: Path, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Restore the backup SOURCE into the data folder, which must be new or empty.

    With a PostgreSQL (`database`, or TESSERA_DATABASE_URL), which must be empty too, the ledger goes there.
    """
    from tessera.bootstrap.ledgers import restore_backup

    settings = read_settings(config, data)
    run(restore_backup(settings, source))
    if as_json:
        print_json({"data_dir": str(settings.data_dir)})
        return
    click.echo(f"Restored {source} into {settings.data_dir}. Check it with: tessera verify")
