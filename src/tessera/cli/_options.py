"""What the commands share: options, settings, errors and how values are printed."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

if TYPE_CHECKING:
    from tessera.flows.money.treasury import Treasury
    from tessera.ports import Page
    from tessera.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class _Listed(Protocol):
    @property
    def id(self) -> str: ...


L = TypeVar("L", bound=_Listed)

DAY_S = 24 * 3600
DAYS = click.IntRange(1, 36_500)
"""How long something may last that does not last for ever: a hundred years."""

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
mode_option = click.option(
    "--mode", type=click.Choice(["live", "test"]), default="live", show_default=True, help="Which money."
)


class _Folder(click.Path):
    """A folder's name; an empty one, as of a variable that is not set, is not the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See click."""
        if value == "":
            self.fail("the name of the folder is empty.", param, ctx)
        return super().convert(value, param, ctx)


def place_options(command: F) -> F:
    """`--config` and `--data`: where the settings and the data are."""
    command = click.option(
        "--data", "data", type=_Folder(file_okay=False, path_type=Path), help="The data folder (TESSERA_DATA_DIR)."
    )(command)
    return click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The settings file (TESSERA_CONFIG; default: tessera.toml if it is there).",
    )(command)


def read_settings(config: Path | None, data: Path | None, *, listen: str | None = None) -> "Settings":
    """The settings of this call; what is wrong with them is a usage error (exit code 2)."""
    import os

    from tessera.settings import SettingsError, load_settings

    try:
        return load_settings(os.environ, config=config, data_dir=data, listen=listen)
    except SettingsError as error:
        raise click.UsageError(str(error)) from None


def settings_with_data(config: Path | None, data: Path | None) -> "Settings":
    """As `read_settings`, for a command that reads, changes, audits or copies data: a mistyped folder is not an empty
    ledger, and only what begins one makes it. Raises [not_found], OSError."""
    settings = read_settings(config, data)
    if settings.database is not None:
        return settings
    from tessera.adapters.storage.sqlite.connection import DATABASE_FILE
    from tessera.domain.errors import ErrorCode, TesseraError

    try:
        (settings.data_dir / DATABASE_FILE).stat()
    except FileNotFoundError:
        raise TesseraError(
            ErrorCode.NOT_FOUND, f"There is no data of Tessera in {settings.data_dir}. Name its folder with --data."
        ) from None
    return settings


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a command's asynchronous work to its end; what it has to say goes to standard error."""
    import asyncio

    from tessera.server.log_writer import set_up_logging

    set_up_logging()
    return asyncio.run(work)


@contextlib.asynccontextmanager
async def open_money(settings: "Settings") -> AsyncIterator["Treasury"]:
    """Money in and out on the chosen data, beside a running server. Raises SettingsError, [storage_unavailable]."""
    import os

    from tessera import bootstrap

    async with (
        bootstrap.open_storage(settings) as opened,
        bootstrap.open_money(settings, opened, os.environ, lambda: settings.public_url or "") as treasury,
    ):
        yield treasury


async def every(read: "Callable[[Page], Awaitable[Sequence[L]]]", *, limit: int = 1_000) -> "list[L]":
    """All of a list that is read a page of `limit` at a time."""
    from tessera.ports import Page

    found: list[L] = []
    while True:
        page = await read(Page(limit=limit, after=found[-1].id if found else None))
        found += page
        if len(page) < limit:
            return found


def parse_amount(text: str) -> int:
    """An `--amount` above zero, in nano-dollars; anything else is a usage error (exit code 2)."""
    from tessera.domain.money import parse_usd

    try:
        nanos = parse_usd(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--amount") from None
    if nanos == 0:
        raise click.BadParameter("an amount above zero is needed", param_hint="--amount")
    return nanos


def print_json(value: Any) -> None:
    """One JSON value on one line of standard output."""
    import msgspec

    click.echo(msgspec.json.encode(value).decode())


def print_table(columns: list[str], rows: list[list[str]], *, empty: str) -> None:
    """Rows in aligned columns, the header first; `empty` when there is nothing to show.

    Plain text without colours or boxes, so that what a person reads can also be piped.
    """
    if not rows:
        click.echo(empty)
        return
    widths = [max(len(row[index]) for row in [columns, *rows]) for index in range(len(columns))]
    for row in [columns, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def format_time(seconds: int) -> str:
    """Seconds since 1970 as a UTC time people read."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
