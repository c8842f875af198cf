"""`tessera usage`: what an organization used, by model; its calls as a file."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click

from tessera.cli._options import (
    as_json_option,
    mode_option,
    place_options,
    print_json,
    print_table,
    run,
    settings_with_data,
)

_DAY = click.DateTime(["%Y-%m-%d"])
_DAY_S = 86_400


@click.group(invoke_without_command=True, short_help="Show what an organization used and was charged.")
@click.option("--org", help="Name or id of the organization.")
@place_options
@as_json_option
@click.pass_context
def command(context: click.Context, org: str | None, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Show what an organization used and was charged, by mode and model."""
    if context.invoked_subcommand is not None:
        if as_json or any(given is not None for given in (org, config, data)):
            raise click.UsageError(f"Give the options of {context.invoked_subcommand} after it.")
        return
    if org is None:
        raise click.UsageError("Missing option '--org'.")
    _show(org, config, data, as_json)


def _show(org: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    from tessera.bootstrap import open_storage
    from tessera.domain.money import format_usd

    settings = settings_with_data(config, data)

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


@command.command()
@click.option("--org", required=True, help="Name or id of the organization.")
@mode_option
@click.option("--format", "file_format", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@click.option("--from", "first", type=_DAY, metavar="YYYY-MM-DD", required=True, help="The first day (UTC).")
@click.option("--to", "last", type=_DAY, metavar="YYYY-MM-DD", help="The last day, all of it (default: today).")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A new file (default: standard output).")
@place_options
@as_json_option
def export(
    org: str,
    mode: str,
    file_format: str,
    first: datetime,
    last: datetime | None,
    out: Path | None,
    config: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Write every call that was settled in a time span, one row each; with --json, say what was written to --out."""
    from tessera.bootstrap import open_storage
    from tessera.domain.money import Mode
    from tessera.flows.usage.exports import export_usage
    from tessera.flows.usage.files import check_format

    check_format(file_format)
    end = (last or datetime.now(UTC)).replace(tzinfo=UTC, hour=0, minute=0, second=0, microsecond=0)
    start_at, end_at = int(first.replace(tzinfo=UTC).timestamp()), int(end.timestamp()) + _DAY_S
    if start_at >= end_at:
        raise click.UsageError("--to is before --from.")
    if as_json and out is None:
        raise click.UsageError("--json tells of the file that --out names.")
    settings = settings_with_data(config, data)

    async def work() -> None:
        async with open_storage(settings) as opened:
            owner = await opened.storage.find_organization(org)
            pieces = export_usage(opened.storage, owner.id, Mode(mode), start_at, end_at, file_format)
            with _target(out) as target:
                async for piece in pieces:
                    target.write(piece)

    run(work())
    if as_json and out is not None:
        print_json({"file": str(out), "bytes": out.stat().st_size})


@contextmanager
def _target(out: Path | None) -> Iterator[BinaryIO]:
    """Standard output, which stays open, or a new file, which never replaces another and is whole or not there."""
    if out is None:
        yield sys.stdout.buffer
        return
    try:
        file = out.open("xb")
    except FileExistsError:
        raise click.UsageError(f"{out} exists already; name a new file.") from None
    try:
        with file:
            yield file
    except BaseException:
        out.unlink()
        raise
