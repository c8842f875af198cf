"""The command line: one file per command, imported only when it is called, so that `--help` is instant."""

import importlib

import click

COMMANDS: dict[str, str] = {}


class Lazy(click.Group):
    """A group whose commands live in `tessera.cli.<module>` and are imported when used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = importlib.import_module(f"tessera.cli.{module}").command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tessera-gateway", prog_name="tessera")
def main() -> None:
    """Tessera: one API to vision and image models, priced before the call and exact to the nano-dollar."""
