"""`tessera verify`: the audit of the whole ledger."""

from pathlib import Path

import click

from tessera.cli._options import as_json_option, place_options, print_json, run, settings_with_data


@click.command()
@place_options
@as_json_option
def command(config: Path | None, data: Path | None, as_json: bool) -> None:
    """Audit every invariant of the ledger. Exit code 1 when one is broken."""
    from tessera.bootstrap import open_storage

    settings = settings_with_data(config, data)

    async def work() -> bool:
        async with open_storage(settings) as opened:
            checks = await opened.storage.verify()
        ok = all(check.ok for check in checks)
        if as_json:
            print_json({"ok": ok, "checks": checks})
            return ok
        width = max(len(check.name) for check in checks)
        for check in checks:
            click.echo(f"{'ok    ' if check.ok else 'BROKEN'}  {check.name.ljust(width)}  {check.detail}")
        click.echo("The ledger is whole." if ok else "The ledger is broken: see the lines above.", err=not ok)
        return ok

    if not run(work()):
        raise click.exceptions.Exit(1)
