"""`tessera serve`: the API, in one process on the embedded database or in several on PostgreSQL."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tessera.cli._options import as_json_option, place_options, read_settings

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tessera.bootstrap import Served
    from tessera.server.log_writer import LogWriter
    from tessera.settings import Settings

_WORKERS_REFUSED = (
    "--workers above 1 needs PostgreSQL (`database`, or TESSERA_DATABASE_URL): SQLite has one writer, and one process "
    "groups the commits of all calls together. Run one worker."
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
    settings = _with_address(read_settings(config, data), host, port)
    if workers > 1:
        if settings.database is None:
            raise click.UsageError(_WORKERS_REFUSED)
        _serve_with_workers(settings, as_json, workers)
        return

    from tessera.server.log_writer import set_up_logging
    from tessera.server.serving import run_server

    writer = set_up_logging()
    run_server(_serve(settings, as_json, writer))


def _serve_with_workers(settings: "Settings", as_json: bool, workers: int) -> None:
    """Binds once, loads the code and forks; everything else happens in the workers."""
    import gc
    import os

    from tessera.bootstrap import load_server
    from tessera.server.serving import bind
    from tessera.server.workers import Workers

    listener = bind(settings.host, settings.port)
    load_server(settings)
    # Memory that nobody writes to stays shared: looking for cycles would write to all of it.
    gc.freeze()

    def serve(place: int, say: int) -> None:
        from tessera.server.log_writer import set_up_logging
        from tessera.server.serving import run_server

        def announce(text: str) -> None:
            # One line: what ends the lines in it is put back by the parent.
            os.write(say, (text.replace("\n", "\r") if place == 0 else "").encode() + b"\n")

        writer = set_up_logging()
        run_server(_serve(settings, as_json, writer, listener, announce, place=place, parent=group.parent))

    group = Workers(workers, serve, lambda line: click.echo(line.replace("\r", "\n")))
    if not group.run(listener.close):
        raise click.exceptions.Exit(1)


def _with_address(settings: "Settings", host: str | None, port: int | None) -> "Settings":
    """The settings with the flags' host and port in place of the configured ones."""
    import msgspec

    chosen_host = settings.host if host is None else host.removeprefix("[").removesuffix("]")
    chosen_port = settings.port if port is None else port
    listen = f"[{chosen_host}]:{chosen_port}" if ":" in chosen_host else f"{chosen_host}:{chosen_port}"
    return msgspec.structs.replace(settings, listen=listen)


async def _serve(
    settings: "Settings",
    as_json: bool,
    writer: "LogWriter",
    listener: "socket.socket | None" = None,
    announce: "Callable[[str], None]" = click.echo,
    *,
    place: int = 0,
    parent: int | None = None,
) -> None:
    """Serves until a signal. A worker has a place, shares the listener, and ends when its parent is gone."""
    import os

    from tessera.bootstrap import open_app, open_storage
    from tessera.server.serving import address_of, bind, serving

    async with open_storage(settings) as opened, open_app(settings, opened, os.environ) as served:
        for notice in served.notices if place == 0 else ():
            click.echo(f"Note: {notice}", err=True)
        listener = listener or bind(settings.host, settings.port)
        address = address_of(listener)
        if settings.public_url is None:
            served.accounts.base_url = address
        async with serving(served, listener, settings, alone=parent is None) as server:
            if parent is not None:
                server.stop_at_end_of(parent)
            pid = os.getpid() if parent is None else os.getppid()
            first = place == 0 and not await opened.storage.list_organizations()
            announce(await _started(settings, served, address, pid, as_json=as_json, first=first) if place == 0 else "")
            await server.until_signal()
            writer.write("Stopping: calls in flight may end first; a second signal stops at once.\n")


async def _started(
    settings: "Settings", served: "Served", address: str, pid: int, *, as_json: bool, first: bool
) -> str:
    """What is said once the server answers."""
    import msgspec

    from tessera.flows.people.signing_up import make_operator_link

    link = await make_operator_link(served.accounts)
    if not as_json:
        return _greeting(settings, address, first=first, link=link)
    started = {"listen": address, "data_dir": str(settings.data_dir), "pid": pid}
    return msgspec.json.encode(started if link is None else {**started, "operator_link": link}).decode()


def _greeting(settings: "Settings", address: str, *, first: bool, link: str | None) -> str:
    place = "" if settings.data_dir == Path("tessera-data") else f" --data {settings.data_dir}"
    make_key = (
        f"""
Make an organization (it starts with $100 of test credit) and a first key:

  tessera orgs create acme{place}
  export TESSERA_API_KEY=$(tessera keys create --org acme --mode test{place})
"""
        if first
        else ""
    )
    welcome = (
        f"""
There is no operator yet. This link makes the first one's account, once, within a day. It has no page yet: what stands
behind the # is the token for the call in docs/how-to/work-as-a-team.md.

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
