"""From file, environment and flags to typed settings; every name is checked against the shapes."""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import msgspec

from tessera.settings.checks import check
from tessera.settings.shapes import Settings, SettingsError, Shape

_FOLDERS = ("data_dir", "secrets_dir")
ENVIRONMENT_PREFIX = "TESSERA_"
CONFIG_FILE_NAME = "tessera.toml"
_COMMAND_VARIABLES = frozenset({"TESSERA_CONFIG", "TESSERA_BASE_URL", "TESSERA_API_KEY", "TESSERA_DATABASE_URL"})
"""Variables that commands read themselves, beside those made from the names of settings."""
_WHOLE_NUMBER = re.compile("[0-9]{1,18}")
_SERVICE_LINK = re.compile(r"TESSERA_(SERVICE_.+|PORT(_.+)?)")
"""What Kubernetes sets by itself in every container beside a service called `tessera`: not an operator's choice."""


def load_settings(
    environment: Mapping[str, str],
    *,
    config: Path | None = None,
    data_dir: Path | None = None,
    listen: str | None = None,
) -> Settings:
    """The settings from file, environment and flags, each over the one before.

    The file is `config`, else `TESSERA_CONFIG`, else `tessera.toml` in the current folder if there is one. Paths
    written in the file are relative to the file's folder. Raises SettingsError.
    """
    chosen = _read_file(environment, config)
    for path, value in _from_environment(environment):
        table = chosen
        for name in path[:-1]:
            table = table.setdefault(name, {})
        table[path[-1]] = value
    _refuse_empty_folders(chosen)
    if data_dir is not None:
        chosen["data_dir"] = str(data_dir)
    if listen is not None:
        chosen["listen"] = listen
    settings = _convert(chosen)
    check(settings)
    return settings


def _refuse_empty_folders(chosen: Mapping[str, Any]) -> None:
    """A variable that was meant to hold a folder's name and holds none: the current folder was not meant."""
    for key in _FOLDERS:
        if chosen.get(key) == "":
            raise SettingsError(f"{key}: the name of the folder is empty; write one, or leave it out.")


def setting_names() -> Iterator[str]:
    """Every setting by its dotted name (`limits.images_max`, `provider.base_url`), for the documentation's test."""
    yield from _names(Settings, "")


def _names(shape: type[msgspec.Struct], prefix: str) -> Iterator[str]:
    for field in msgspec.structs.fields(shape):
        yield prefix + field.name
        inner = _shape_in(field.type)
        if inner is not None:
            yield from _names(inner, f"{prefix}{field.name}.")


def _shape_in(kind: Any) -> type[msgspec.Struct] | None:
    """The table that a field is, or is a list of."""
    if isinstance(kind, type) and issubclass(kind, Shape):
        return kind
    if get_origin(kind) in (tuple, UnionType):
        return next((found for part in get_args(kind) if (found := _shape_in(part)) is not None), None)
    return None


# ---- file ------------------------------------------------------------------------------------------------------


def _read_file(environment: Mapping[str, str], config: Path | None) -> dict[str, Any]:
    named = config or (Path(environment["TESSERA_CONFIG"]) if environment.get("TESSERA_CONFIG") else None)
    path = named or Path(CONFIG_FILE_NAME)
    if named is None and not path.exists():
        return {}
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"The configuration file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    _refuse_unknown(Settings, tables, "", str(path))
    _convert(tables)
    _refuse_empty_folders(tables)
    for key in _FOLDERS:
        if key in tables:
            tables[key] = str(path.parent / tables[key])
    secrets = [(tables, "metrics_token"), (tables.get("smtp", {}), "password")]
    secrets += [(row, "credential") for row in tables.get("provider", ())]
    secrets += [(row, "client_secret") for row in tables.get("oidc", ())]
    for table, key in secrets:
        if table.get(key, "").startswith("file:"):
            table[key] = f"file:{path.parent / table[key].removeprefix('file:')}"
    _place_payment_secrets(path.parent, tables.get("payments", {}))
    return tables


def _place_payment_secrets(folder: Path, payments: dict[str, Any]) -> None:
    for key in ("stripe_key", "stripe_test_key", "stripe_webhook_secrets", "stripe_test_webhook_secrets"):
        value = payments.get(key)
        if isinstance(value, list):
            payments[key] = [_from_folder(folder, reference) for reference in value]
        elif value is not None:
            payments[key] = _from_folder(folder, value)


def _from_folder(folder: Path, reference: str) -> str:
    """A reference to a secret; a file is looked for beside the settings."""
    kind, _, place = reference.partition(":")
    return f"file:{folder / place}" if kind == "file" else reference


def _refuse_unknown(shape: type[msgspec.Struct], table: Any, prefix: str, source: str) -> None:
    if isinstance(table, list):
        for index, row in enumerate(table):
            _refuse_unknown(shape, row, f"{prefix.removesuffix('.')}[{index}].", source)
        return
    if not isinstance(table, dict):
        return
    fields = {field.name: field for field in msgspec.structs.fields(shape)}
    for key, value in table.items():
        if key not in fields:
            raise SettingsError(f"{source}: unknown key `{prefix}{key}`{_nearest(key, fields)}")
        inner = _shape_in(fields[key].type)
        if inner is not None:
            _refuse_unknown(inner, value, f"{prefix}{key}.", source)


def _nearest(key: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return f"; the nearest known key is `{near[0]}`." if near else "."


# ---- environment -----------------------------------------------------------------------------------------------


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Paths and values of settings in the environment: `limits.images_max` is `TESSERA_LIMITS_IMAGES_MAX`."""
    known = dict(_variables(Settings, ()))
    for name in sorted(environment):
        if name == "TESSERA_DATABASE_URL":
            yield ("database",), environment[name]
        if not name.startswith(ENVIRONMENT_PREFIX) or name in _COMMAND_VARIABLES or _SERVICE_LINK.fullmatch(name):
            continue
        if name not in known:
            raise SettingsError(f"Unknown environment variable `{name}`{_nearest(name, known)}")
        path, kind = known[name]
        yield path, _from_text(name, environment[name], kind)


def _variables(shape: type[msgspec.Struct], path: tuple[str, ...]) -> Iterator[tuple[str, tuple[tuple[str, ...], Any]]]:
    for field in msgspec.structs.fields(shape):
        here = (*path, field.name)
        if isinstance(field.type, type) and issubclass(field.type, Shape):
            yield from _variables(field.type, here)
        elif _shape_in(field.type) is None:
            yield ENVIRONMENT_PREFIX + "_".join(here).upper(), (here, field.type)


def _from_text(name: str, text: str, kind: Any) -> Any:
    """A value as the file would have it: lists are separated by commas."""
    if get_origin(kind) is tuple:
        return [_from_text(name, part.strip(), get_args(kind)[0]) for part in text.split(",") if part.strip()]
    if kind is bool:
        if text not in ("true", "false"):
            raise SettingsError(f"{name} must be true or false, not {text!r}.")
        return text == "true"
    if kind is int:
        if not _WHOLE_NUMBER.fullmatch(text):
            raise SettingsError(f"{name} must be a whole number, not {text!r}.")
        return int(text)
    return text


# ---- types -----------------------------------------------------------------------------------------------------


def _convert(tables: dict[str, Any]) -> Settings:
    try:
        return msgspec.convert(tables, Settings, dec_hook=_path)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at ")
        hint = ' Write amounts as text in quotes, as in "0.20": exact decimals.' if "got `float`" in message else ""
        place = path.strip("`").removeprefix("$.") or "the file"
        raise SettingsError(f"{place}: {message[0].lower()}{message[1:]}.{hint}") from None


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError("Expected a path as text")
