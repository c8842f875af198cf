"""`tessera keys`: API keys, shown once and stored as digests."""

from pathlib import Path

import click

from tessera.cli._options import (
    as_json_option,
    format_time,
    mode_option,
    place_options,
    print_json,
    print_table,
    run,
    settings_with_data,
)


@click.group()
def command() -> None:
    """Create, list and revoke API keys."""


@command.command()
@click.option("--org", required=True, help="Name or id of the organization.")
@click.option(
    "--project", default="default", show_default=True, help="Name or id; a name is made when it does not exist."
)
@mode_option
@click.option("--name", default="", help="What the key is for.")
@click.option("--endpoint", "endpoints", multiple=True, metavar="PATH", help="Only this endpoint, as /v1/responses.")
@click.option("--model", "models", multiple=True, metavar="MODEL", help="Only this model, under any of its names.")
@click.option("--ip-range", "ip_ranges", multiple=True, metavar="CIDR", help="Only from this address or network.")
@click.option("--max-output-tokens", type=int, metavar="N", help="The most output tokens of an answer.")
@place_options
@as_json_option
def create(
    org: str,
    project: str,
    mode: str,
    name: str,
    endpoints: tuple[str, ...],
    models: tuple[str, ...],
    ip_ranges: tuple[str, ...],
    max_output_tokens: int | None,
    config: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Create a key, for anything or by rules: an option for a rule can be given more than once. It is shown this once:
    keep it safe."""
    from tessera.bootstrap import issue_key, open_storage
    from tessera.domain.key_rules import KeyRules, made_rules
    from tessera.domain.money import Mode

    settings = settings_with_data(config, data)
    rules = KeyRules(
        endpoints=endpoints or None,
        models=models or None,
        ip_ranges=ip_ranges or None,
        output_tokens_max=max_output_tokens,
    )
    if models:
        from tessera.settings.rows import catalogue_of

        for model in models:
            catalogue_of(settings).model(model)
    made_of = made_rules(rules)

    async def work() -> None:
        async with open_storage(settings) as opened:
            owner = await opened.storage.find_organization(org)
            secret, made = await issue_key(opened, owner.id, project=project, mode=Mode(mode), name=name, rules=made_of)
        shown = {"id": made.id, "key": secret, "mode": made.mode, "organization": owner.name, "project": made.project}
        if as_json:
            print_json(shown)
            return
        click.echo(secret)
        click.echo(f"A {mode} key of {owner.name} ({made.id}). It is not shown again.", err=True)

    run(work())


@command.command("list")
@click.option("--org", required=True, help="Name or id of the organization.")
@place_options
@as_json_option
def list_all(org: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """List an organization's keys, never the secrets."""
    from tessera.bootstrap import open_storage

    settings = settings_with_data(config, data)

    async def work() -> None:
        async with open_storage(settings) as opened:
            owner = await opened.storage.find_organization(org)
            found = await opened.storage.list_keys(owner.id)
        if as_json:
            print_json(found)
            return
        rows = [
            [
                *(key.id, key.name, key.mode, key.project, key.display),
                *(_state(key.revoked_at), "yes" if key.rules else "", format_time(key.created_at)),
                "never" if key.last_used_at is None else format_time(key.last_used_at),
            ]
            for key in found
        ]
        columns = ["ID", "NAME", "MODE", "PROJECT", "KEY", "STATE", "RULES", "CREATED (UTC)", "LAST USED (UTC)"]
        print_table(columns, rows, empty=f"No key yet: tessera keys create --org {owner.name!r}")

    run(work())


def _state(ends_at: int | None) -> str:
    import time

    if ends_at is None:
        return "active"
    return "revoked" if ends_at <= time.time() else f"until {format_time(ends_at)}"


@command.command()
@click.argument("key_id")
@click.option("--now", is_flag=True, help="Also cut the calls that run under it; what they delivered is charged.")
@place_options
@as_json_option
def revoke(key_id: str, now: bool, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Revoke a key by its id: calls with it are refused from now on, running ones finish."""
    from tessera.bootstrap import open_storage

    settings = settings_with_data(config, data)

    async def work() -> None:
        async with open_storage(settings) as opened:
            revoked = await opened.storage.revoke_key(key_id, cut=now)
        if as_json:
            print_json(revoked)
            return
        click.echo(f"Revoked {revoked.display} ({revoked.id}).")

    run(work())
