"""`tessera migrate`: brings the database to this version's schema, or a ledger to another database."""

from pathlib import Path

import click

from tessera.cli._options import as_json_option, place_options, print_json, read_settings, run


@click.command()
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Move the embedded ledger of this data folder into an empty PostgreSQL.",
)
@click.option("--to", "url", help="That PostgreSQL, as postgresql://user@host/name (default: `database`).")
@place_options
@as_json_option
def command(source: Path | None, url: str | None, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Bring the database to this version's schema. The server does it by itself at start.

    With --from and --to, move a whole ledger from SQLite to PostgreSQL: stop the server first. What arrives is audited
    before anything is final; afterwards the old file has another name.
    """
    from tessera.bootstrap import open_storage
    from tessera.bootstrap.ledgers import move_ledger
    from tessera.settings.checks import check_database

    settings = read_settings(config, data)
    if source is not None or url is not None:
        url = url or settings.database
        if source is None or url is None:
            raise click.UsageError("to move a ledger, name the data folder with --from and the PostgreSQL with --to")
        check_database(url)
        checks = run(move_ledger(source, url, settings.secrets_dir))
        if as_json:
            print_json({"from": str(source), "moved": True, "checks": checks})
            return
        click.echo(f"Moved the ledger of {source} to PostgreSQL and audited it there: {checks[0].detail}.")
        return

    async def work() -> None:
        async with open_storage(settings):
            pass

    run(work())
    if as_json:
        print_json({"data_dir": str(settings.data_dir), "current": True})
        return
    place = settings.data_dir if settings.database is None else "PostgreSQL"
    click.echo(f"The database in {place} has this version's schema.")
