"""The command line: one file per command, named after it, imported only when it is called.

Each module defines `command`, a click command. A module that starts with an underscore is not a command.
Always holds: results go to standard output, everything else to standard error; exit codes are 0 done, 1 failed or
found wrong, 2 usage.
"""

import errno
import gc
import importlib
import os
import pkgutil
from typing import Any

import click

from tessera import __version__
from tessera.domain.errors import ErrorCode, TesseraError


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

    def invoke(self, ctx: click.Context) -> Any:
        """A refusal is one sentence on standard error, never a traceback: exit code 1, or 2 for wrong settings.

        Cycles are rare here, and both starting and calls make many objects: looking for cycles as often as Python does
        by default took a thirtieth of a start and an eighth of the time of a call.
        """
        gc.set_threshold(50_000, 20, 50)
        _open_standard_streams()
        try:
            return super().invoke(ctx)
        except TesseraError as error:
            raise click.ClickException(f"{error.message}{_reason(error)} [{error.code}]") from error
        except UnicodeEncodeError as error:
            if error.encoding != "utf-8":
                said = f"Standard output takes {error.encoding} only, which cannot say all of this; use UTF-8."
                raise click.ClickException(said) from error
            raise click.UsageError("An argument is not text in UTF-8.") from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise click.ClickException(f"{_named(error) or error}.") from error
        except Exception as error:
            from tessera.settings import SettingsError

            if isinstance(error, SettingsError):
                raise click.UsageError(str(error)) from error
            raise


def _open_standard_streams() -> None:
    """What was closed by whoever started this (`<&-`) is the null device. A file or connection that came to stand
    in its place would take what is printed, and the event loop ends the process when it closes one."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free: those below it are open.
            os.open(os.devnull, os.O_RDWR)


def _reason(error: TesseraError) -> str:
    """Why storage cannot be reached: callers over HTTP must not see it, whoever runs the machine must."""
    cause = error.__cause__
    if error.code is not ErrorCode.STORAGE_UNAVAILABLE or cause is None:
        return ""
    if isinstance(cause, OSError) and _named(cause):
        return f" The reason: {_named(cause)}."
    return f" The reason: {str(cause).partition(chr(10))[0]}."


def _named(error: OSError) -> str:
    """What went wrong with which file, if the system said so."""
    return ": ".join(str(part) for part in (error.strerror, error.filename) if part is not None)


@click.group(cls=CommandFiles, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tessera")
def main() -> None:
    """Tessera: one API to vision and image models, priced before the call and exact to the nano-dollar."""
