"""The command line: one file per command, named after it, imported only when it is called.

Each module defines `command`, a click command. A module that starts with an underscore is not a command.
"""

import importlib
import pkgutil

import click


class CommandFiles(click.Group):
    """A group whose commands are the modules of this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        names = (module.name for module in pkgutil.iter_modules(__path__))
        return sorted(name.replace("_", "-") for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"{__name__}.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=CommandFiles, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tessera-gateway", prog_name="tessera")
def main() -> None:
    """Tessera: one API to vision and image models, priced before the call and exact to the nano-dollar."""
