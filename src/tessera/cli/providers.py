"""`tessera providers`: the credentials with which calls go to providers."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tessera.cli._options import (
    as_json_option,
    format_time,
    place_options,
    print_json,
    print_table,
    read_settings,
    run,
    settings_with_data,
)

if TYPE_CHECKING:
    from tessera.domain.people.records import Actor
    from tessera.flows.operator.credentials import Vault


@click.group()
def command() -> None:
    """Store, change and remove the credentials of providers. A running server follows within seconds."""


@command.command("list")
@place_options
@as_json_option
def list_all(config: Path | None, data: Path | None, as_json: bool) -> None:
    """List providers and how their credentials stand, never the credentials."""
    from tessera.flows.operator.credentials import list_providers

    async def work(vault: "Vault", _: "Actor") -> None:
        found = (await list_providers(vault))["data"]
        if as_json:
            print_json(found)
            return
        columns = ["PROVIDER", "FROM", "STATE", "CREDENTIAL", "SET (UTC)", "ADDRESS", ""]
        print_table(columns, [_row(one) for one in found], empty="No provider yet.")

    _run(config, data, work)


@command.command("set")
@click.argument("provider")
@click.option("--credential", metavar="env:NAME|file:PATH", help="Where the credential is; by default standard input.")
@click.option("--base-url", metavar="URL", help="Where the provider is; https, ends where OpenAI's ends: …/v1.")
@click.option("--surface", "surfaces", multiple=True, type=click.Choice(["chat", "responses"]), help="What it speaks.")
@place_options
@as_json_option
def set_one(
    provider: str,
    credential: str | None,
    base_url: str | None,
    surfaces: tuple[str, ...],
    config: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Store a provider's credential in place of the one until now, and switch the provider on."""
    from tessera.flows.operator.credentials import set_credential

    secret = _read_credential(credential)

    async def work(vault: "Vault", actor: "Actor") -> None:
        stored = await set_credential(vault, actor, provider, secret, base_url, surfaces or None)
        if as_json:
            print_json(stored)
            return
        click.echo(f"The credential of {stored['id']} is set, for {stored['base_url']}.")

    _run(config, data, work, begins=True)


@command.command()
@click.argument("provider")
@place_options
@as_json_option
def remove(provider: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Remove a provider's stored credential for good. Calls in flight finish."""
    from tessera.flows.operator.credentials import remove_credential

    async def work(vault: "Vault", actor: "Actor") -> None:
        await remove_credential(vault, actor, provider)
        if as_json:
            print_json({"id": provider, "removed": True})
        else:
            click.echo(f"The credential of {provider} is removed.")

    _run(config, data, work)


def _run(
    config: Path | None,
    data: Path | None,
    work: Callable[["Vault", "Actor"], Awaitable[None]],
    *,
    begins: bool = False,
) -> None:
    """Does work as the operator at this machine's own command line, beside a running server. What `begins` needs no
    data yet."""
    import os

    from tessera.bootstrap import open_storage, open_vault
    from tessera.domain.people.records import Actor, ActorKind

    settings = (read_settings if begins else settings_with_data)(config, data)

    async def inside() -> None:
        async with open_storage(settings) as opened:
            actor = Actor(kind=ActorKind.OPERATOR, id="operator", is_operator=True)
            await work(open_vault(settings, opened, os.environ), actor)

    run(inside())


def _read_credential(reference: str | None) -> str:
    """The credential of env:NAME or file:PATH, else from standard input: typed unseen on a terminal."""
    import os
    import sys

    from tessera.bootstrap.providers import read_secret

    if reference is not None:
        if reference.partition(":")[0] not in ("env", "file"):
            # What was given may be the credential itself: it is not shown.
            raise click.UsageError("--credential: write env:NAME or file:PATH, never the credential itself.")
        return read_secret(reference, os.environ, "--credential") or ""
    if sys.stdin.isatty():
        typed: str = click.prompt("Credential", hide_input=True, err=True)
        return typed
    return sys.stdin.read()


def _row(one: dict[str, Any]) -> list[str]:
    shown = f"…{one['last_four']}" if one.get("last_four") else ""
    since = format_time(one["rotated_at"]) if "rotated_at" in one else ""
    return [one["id"], one["source"], one["state"], shown, since, one["base_url"], one.get("reason") or ""]
