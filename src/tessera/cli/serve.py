"""`tessera serve`: the API on an embedded database, in one process."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tessera.cli._options import as_json_option, place_options, print_json, read_settings

if TYPE_CHECKING:
    from tessera.cli._logging import LogWriter
    from tessera.settings import Settings

_WORKERS_REFUSED = (
    "--workers above 1 needs PostgreSQL, which is not available in this version: SQLite has one writer, and one "
    "process groups the commits of all calls together. Run one worker."
)


@click.command()
@click.option("--host", help="Address to listen on (part of `listen`).")
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="Port to listen on; 0 takes a free one (part of `listen`)."
)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@place_options
@as_json_option
def command(
    host: str | None, port: int | None, workers: int, config: Path | None, data: Path | None, as_json: bool
) -> None:
    """Serve the API. Stops on SIGINT or SIGTERM after calls in flight have ended."""
    if workers > 1:
        raise click.UsageError(_WORKERS_REFUSED)
    settings = _with_address(read_settings(config, data), host, port)

    from tessera.cli._logging import set_up_logging
    from tessera.cli._server import run_server

    writer = set_up_logging()
    run_server(_serve(settings, as_json, writer))


def _with_address(settings: "Settings", host: str | None, port: int | None) -> "Settings":
    """The settings with the flags' host and port in place of the configured ones."""
    import msgspec

    chosen_host = settings.host if host is None else host.removeprefix("[").removesuffix("]")
    chosen_port = settings.port if port is None else port
    listen = f"[{chosen_host}]:{chosen_port}" if ":" in chosen_host else f"{chosen_host}:{chosen_port}"
    return msgspec.structs.replace(settings, listen=listen)


async def _serve(settings: "Settings", as_json: bool, writer: "LogWriter") -> None:
    import os

    from tessera.bootstrap import open_app, open_storage
    from tessera.cli._server import address_of, bind, serving
    from tessera.flows.people.signing_up import make_operator_link

    async with open_storage(settings) as opened, open_app(settings, opened, os.environ) as served:
        for notice in served.notices:
            click.echo(f"Note: {notice}", err=True)
        listener = bind(settings.host, settings.port)
        address = address_of(listener)
        if settings.public_url is None:
            served.accounts.base_url = address
        async with serving(served.app, listener, settings, served.give_up) as server:
            link = await make_operator_link(served.accounts)
            if as_json:
                started = {"listen": address, "data_dir": str(settings.data_dir), "pid": os.getpid()}
                print_json(started if link is None else {**started, "operator_link": link})
            else:
                first = not await opened.storage.list_organizations()
                click.echo(_greeting(settings, address, first=first, link=link))
            await server.until_signal()
            writer.write("Stopping: calls in flight may end first; a second signal stops at once.\n")


def _greeting(settings: "Settings", address: str, *, first: bool, link: str | None) -> str:
    place = "" if settings.data_dir == Path("tessera-data") else f" --data {settings.data_dir}"
    make_key = (
        f"""
Make an organization (it starts with $100 of test credit) and a first key:

  tessera orgs create acme{place}
  tessera keys create --org acme --mode test{place}
"""
        if first
        else ""
    )
    welcome = (
        f"""
Nobody has signed up yet. This link makes the first operator's account, once, within a day:

  {link}
"""
        if link
        else ""
    )
    return f"""Tessera listens on {settings.public_url or address}, data in {settings.data_dir}
{welcome}{make_key}
Make a call; a test key is answered by the sandbox, with no provider and no real money:

  curl {address}/v1/chat/completions -H "Authorization: Bearer $TESSERA_API_KEY" -H "Content-Type: application/json" \\
    -d '{{"model": "gpt-5.2-pro", "messages": [{{"role": "user", "content": "Hello"}}]}}'
"""
