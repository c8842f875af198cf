"""`tessera quote`: tokens and price of images before any call, with no server and no network."""

import re
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from tessera.cli._options import as_json_option, place_options, read_settings

if TYPE_CHECKING:
    from tessera.cli._quote_lines import QuoteAsk, QuoteLine, Quoter

DEFAULT_MODEL = "gpt-5.2-pro"
_SIZE = re.compile(r"([1-9][0-9]{0,9})[xX×]([1-9][0-9]{0,9})", re.ASCII)


class SizeType(click.ParamType[tuple[int, int]]):
    """An image size such as `1024x768`."""

    name = "WxH"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        match = _SIZE.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r} is not a size: write width x height in pixels, as in 1024x768", param, ctx)
        return int(match[1]), int(match[2])


class DayType(click.ParamType[date]):
    """A day such as `2026-01-15`."""

    name = "YYYY-MM-DD"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            return value if isinstance(value, date) else date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a day: write it as in 2026-01-15", param, ctx)


@click.command("quote", short_help="What an image will cost in tokens and money.")
@click.argument("images", nargs=-1, metavar="[IMAGE]...", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--size", "sizes", type=SizeType(), multiple=True, help="Quote a size instead of a file; may be repeated."
)
@click.option(
    "--model",
    "models",
    multiple=True,
    help=f"A model; may be repeated.  [default: {DEFAULT_MODEL}; with --jsonl, each line names its own]",
)
@click.option("--detail", type=click.Choice(["low", "high", "original", "auto"]), default="auto", show_default=True)
@click.option("--prompt", help="The text sent along; without it the image alone is quoted.")
@click.option("--max-output-tokens", type=click.IntRange(min=1), help="The output cap.  [default: the model's]")
@click.option(
    "--tier",
    type=click.Choice(["auto", "default", "flex", "priority", "fast", "batch"]),
    default="default",
    show_default=True,
)
@click.option("--as-of", type=DayType(), help="Rules and prices of this day (UTC).  [default: today]")
@click.option(
    "--jsonl",
    is_flag=False,
    flag_value="-",
    metavar="[FILE|-]",
    help="Quote the JSON lines of a file or of standard input, one line out for each line in.",
)
@as_json_option
@place_options
def command(
    images: tuple[Path, ...],
    sizes: tuple[tuple[int, int], ...],
    models: tuple[str, ...],
    detail: str,
    prompt: str | None,
    max_output_tokens: int | None,
    tier: str,
    as_of: date | None,
    jsonl: str | None,
    as_json: bool,
    config: Path | None,
    data: Path | None,
) -> None:
    """What an image will cost in tokens and money, before it is sent anywhere.

    Reads sizes from image files or from --size; needs no server and no network.
    """
    from tessera.cli._quote_lines import QuoteAsk
    from tessera.domain.request import Detail

    if jsonl is not None and (images or sizes or len(models) > 1):
        raise click.UsageError(
            "--jsonl reads sizes and models from its lines: leave out IMAGE, --size and further --model."
        )
    if jsonl is None and not images and not sizes:
        raise click.UsageError("Name an image file, or give a size with --size 1024x768.")
    if jsonl is None:
        models = models or (DEFAULT_MODEL,)
    asked = QuoteAsk(
        width=1,
        height=1,
        model=models[0] if models else None,
        detail=Detail(detail),
        as_of=as_of or _today(),
        prompt=prompt,
        max_output_tokens=max_output_tokens,
        tier=tier,
    )
    quoter = _open_quoter(config, data, asked)
    if jsonl is not None:
        _answer_lines(quoter, jsonl)
        return
    found = _quote_all(quoter, [*_file_sizes(images), *((f"{w}x{h}", w, h) for w, h in sizes)], models)
    if as_json:
        from tessera.cli._options import print_json

        print_json([line for _, line in found])
    else:
        _print_table(quoter, found, asked)


def _today() -> date:
    from datetime import UTC, datetime

    return datetime.now(UTC).date()


def _open_quoter(config: Path | None, data: Path | None, defaults: "QuoteAsk") -> "Quoter":
    from tessera.cli._quote_lines import Quoter
    from tessera.settings import SettingsError
    from tessera.settings.rows import catalogue_of, price_book_of, providers_of

    settings = read_settings(config, data)
    try:
        catalogue = catalogue_of(settings)
        return Quoter(catalogue, price_book_of(settings, catalogue), defaults, providers_of(settings, catalogue))
    except SettingsError as error:
        raise click.UsageError(str(error)) from None


def _file_sizes(images: tuple[Path, ...]) -> list[tuple[str, int, int]]:
    """(name, width, height) as displayed, from each file's header."""
    if not images:
        return []
    from tessera.adapters.media.local import read_image
    from tessera.domain.errors import TesseraError

    found = []
    for path in images:
        try:
            _, header = read_image(path.read_bytes())
        except TesseraError as error:
            raise click.ClickException(f"{path}: {error.message}") from None
        except OSError as error:
            raise click.ClickException(f"{path}: {error.strerror}") from None
        found.append((path.name, *header.displayed))
    return found


def _quote_all(
    quoter: "Quoter", sizes: list[tuple[str, int, int]], models: tuple[str, ...]
) -> "list[tuple[str, QuoteLine]]":
    """(name, line) for each image and model, image by image."""
    from tessera.cli._quote_lines import QuoteAsk
    from tessera.domain.errors import TesseraError

    try:
        return [
            (name, quoter.quote(QuoteAsk(width=width, height=height, model=model)))
            for name, width, height in sizes
            for model in models
        ]
    except TesseraError as error:
        raise click.ClickException(error.message) from None


def _answer_lines(quoter: "Quoter", source: str) -> None:
    """Answers a file of JSON lines, or standard input, on standard output."""
    output = sys.stdout.buffer
    try:
        if source == "-":
            _write_lines(quoter, sys.stdin.buffer, output)
        else:
            with Path(source).open("rb") as file:
                _write_lines(quoter, file, output)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has enough; Python would complain about the pipe once more at exit
        raise SystemExit(0) from None
    except OSError as error:
        raise click.UsageError(f"{source}: {error.strerror}") from None


def _write_lines(quoter: "Quoter", source: BinaryIO, output: BinaryIO) -> None:
    from tessera.cli._quote_lines import quote_json_lines

    for answers in quote_json_lines(quoter, source):
        output.write(answers)
        output.flush()


def _print_table(quoter: "Quoter", found: "list[tuple[str, QuoteLine]]", asked: "QuoteAsk") -> None:
    """A table for people, and below it what they should know before they rely on it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("IMAGE", overflow="fold")
    table.add_column("MODEL", overflow="fold")
    for name in ("SIZE", "DETAIL", "SIZED", "UNITS", "TOKENS", "MAX", "TEXT", "PREDICTED $", "MAX $", "KNOWN"):
        table.add_column(name, justify="left" if name in ("DETAIL", "KNOWN") else "right", no_wrap=True)
    for name, line in found:
        table.add_row(name, line.model, *_cells(line))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(table)
    for note in _notes(quoter, found, asked):
        console.print(note, markup=False)


def _cells(line: "QuoteLine") -> list[str]:
    from tessera.domain.money import format_usd

    units = f"{line.patches} patches" if line.patches is not None else "-"
    if line.tiles is not None:
        units = f"{line.tiles} tiles"
    if line.multiplier != "1":
        units += f" x {line.multiplier}"
    detail = line.detail if line.detail == line.detail_used else f"{line.detail} = {line.detail_used}"
    return [
        f"{line.width}x{line.height}",
        detail,
        f"{line.sized_width}x{line.sized_height}",
        units,
        f"{line.image_tokens:,}",
        f"{line.image_tokens_max:,}",
        f"{line.text_tokens:,}",
        "-" if line.price_predicted_nanos is None else format_usd(line.price_predicted_nanos),
        "-" if line.price_max_nanos is None else format_usd(line.price_max_nanos),
        line.confidence,
    ]


def _notes(quoter: "Quoter", found: "list[tuple[str, QuoteLine]]", asked: "QuoteAsk") -> list[str]:
    """The rule of each model, once, and a cheaper detail level where there is one."""
    from tessera.domain.tokens import cheapest_detail, count_image

    notes = [""]
    for _, line in found:
        note = f"{line.model}: {line.rule}; {line.rule_source}; valid from {line.valid_from}."
        if note not in notes:
            notes.append(note)
    for name, line in found:
        assert asked.tier is not None
        assert asked.as_of is not None
        rules = quoter.terms(line.model, asked.tier, asked.as_of).rules
        cheapest = cheapest_detail(rules, line.width, line.height)
        tokens = count_image(rules, line.width, line.height, cheapest).tokens.predicted
        if tokens < line.image_tokens:
            notes.append(f"{name}: detail {cheapest.value} of {line.model} takes {tokens:,} tokens.")
    return notes
