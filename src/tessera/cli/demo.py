"""`tessera demo`: one real vision call, quoted, held, served and settled, on a data folder of its own."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tessera.cli._options import as_json_option, place_options, print_json

if TYPE_CHECKING:
    from tessera.bootstrap import Opened
    from tessera.settings import Settings

MODEL = "gpt-5.2-pro"
PROMPT = "Describe this photograph."
OUTPUT_TOKENS_MAX = 1_000
PHOTOGRAPH = "coffee.webp"


@click.command(short_help="Make a real vision call on a photograph.")
@click.argument("image", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--once", is_flag=True, help="Exit after the call instead of serving on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Port to serve on; default: a free one.")
@place_options
@as_json_option
def command(image: Path | None, once: bool, port: int, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Make a real vision call on IMAGE, or on a photograph that comes with Tessera.

    A test key is used: the sandbox stands in for the provider, counts and prices as the real model, and the embedded
    `sight` engine looks at the picture. No provider is called and no real money moves. The data folder is a fresh one
    that is thrown away, or a new or empty one named with --data; no settings are read but those named with --config.
    """
    import tempfile

    from tessera.server.log_writer import set_up_logging
    from tessera.server.serving import run_server
    from tessera.settings import SettingsError, load_settings

    if data is not None and data.exists() and any(data.iterdir()):
        raise click.UsageError(f"{data} is not empty: the demo needs a data folder of its own.")

    set_up_logging()
    content = image.read_bytes() if image else files("tessera.cli").joinpath("photos", PHOTOGRAPH).read_bytes()
    name = image.name if image else PHOTOGRAPH
    with tempfile.TemporaryDirectory(prefix="tessera-demo-") as folder:
        try:
            settings = load_settings(
                {},
                config=config or _no_file(folder),
                data_dir=data or Path(folder) / "data",
                listen=f"127.0.0.1:{port}",
            )
        except SettingsError as error:
            raise click.UsageError(str(error)) from None
        run_server(_demo(settings, content, name, once=once, as_json=as_json))


def _no_file(folder: str) -> Path:
    """An empty settings file: the demo depends on nothing that happens to lie about."""
    path = Path(folder) / "tessera.toml"
    path.touch()
    return path


async def _demo(settings: "Settings", content: bytes, name: str, *, once: bool, as_json: bool) -> None:
    import asyncio

    from tessera.bootstrap import open_app, open_storage
    from tessera.server.serving import address_of, bind, serving

    async with open_storage(settings) as opened, open_app(settings, opened, {}) as served:
        listener = bind(settings.host, settings.port)
        async with serving(served, listener, settings) as server:
            address = address_of(listener)
            key = await _first_key(opened)
            shown = await asyncio.to_thread(_call, address, key, content)
            _check(shown)
            if as_json:
                print_json(shown)
            else:
                _print_summary(shown, name)
            if once:
                return
            if not as_json:
                _print_how_to_go_on(address, key)
            await server.until_signal()


async def _first_key(opened: "Opened") -> str:
    from tessera.bootstrap import issue_key
    from tessera.domain.money import Mode

    organization = await opened.storage.create_organization("demo")
    key, _ = await issue_key(opened, organization.id, project="default", mode=Mode.TEST, name="demo")
    return key


def _call(address: str, key: str, content: bytes) -> dict[str, Any]:
    """Quote, call and receipt through the HTTP API, with the official client."""
    from openai import APIError

    from tessera.cli._client import message_of, open_client, refusal

    body: dict[str, Any] = {
        "model": MODEL,
        "messages": [message_of(PROMPT, [content])],
        "max_completion_tokens": OUTPUT_TOKENS_MAX,
    }
    with open_client(address, key) as client:
        try:
            quote: Any = client.post("/quotes", body={"url": "/v1/chat/completions", "body": body}, cast_to=object)
            raw = client.chat.completions.with_raw_response.create(**body, extra_headers={"Tessera-Quote": quote["id"]})
            request_id = raw.headers["x-request-id"]
            receipt: Any = client.get(f"/requests/{request_id}", cast_to=object)
        except APIError as error:
            raise refusal(error) from None
        description = raw.parse().choices[0].message.content
    return {
        "description": description,
        "quote": quote,
        "charge": receipt["charge"],
        "request_id": request_id,
        "receipt": receipt,
    }


def _check(shown: dict[str, Any]) -> None:
    """What the demo promises, from the printed figures alone: the charge recomputes and is within the quote."""
    from tessera.domain.money import parse_usd, round_up_to_nano

    charge, quote = shown["charge"], shown["quote"]
    lines = charge["lines"]
    recomputed = round_up_to_nano(sum(line["quantity"] * parse_usd(line["price_per_million"]) for line in lines))
    if not recomputed == charge["nanos"] == parse_usd(charge["amount"]):
        raise click.ClickException(f"The charge is {charge['nanos']} nanos; its lines come to {recomputed}.")
    if charge["nanos"] > quote["price"]["max_nanos"]:
        raise click.ClickException(f"The charge of {charge['amount']} is above the quote's {quote['price']['max']}.")
    if not shown["description"]:
        raise click.ClickException("The reply has no description.")


def _print_summary(shown: dict[str, Any], name: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table

    console = Console(highlight=False)
    quote, charge, receipt = shown["quote"], shown["charge"], shown["receipt"]
    image = quote["images"][0]
    console.print(Panel(shown["description"], title=f"{MODEL} on {name}", title_align="left", border_style="cyan"))

    console.print(
        "  A test key: the words are the sight engine's, the counting and the prices are the model's.\n", style="dim"
    )

    before = Table("Quoted before the call", "expected", "at most", box=box.SIMPLE_HEAD)
    for label in ("text_tokens", "image_tokens", "total_tokens"):
        span = quote["input"][label]
        before.add_row(f"input {label.replace('_', ' ')}", f"{span['predicted']:,}", f"{span['max']:,}")
    before.add_row("output tokens", "", f"{quote['output']['max_tokens']:,}")
    before.add_row("price", "", f"${quote['price']['max']}")
    console.print(before)
    console.print(
        f"  {image['width']}×{image['height']} {image['format']}, seen at {image['sized_width']}×"
        f"{image['sized_height']} by rule {image['rule']} ({image['confidence']})\n",
        style="dim",
    )

    after = Table("Charged after the call", "tokens", "$ per million", "nano-dollars", box=box.SIMPLE_HEAD)
    for line in charge["lines"]:
        after.add_row(line["unit"], f"{line['quantity']:,}", line["price_per_million"], f"{line['nanos']:,}")
    after.add_row("charge", "", f"${charge['amount']}", f"{charge['nanos']:,}", style="bold")
    console.print(after)
    console.print(
        f"  Held ${quote['price']['max']}, charged ${charge['amount']}, the rest returned; "
        f"the lines recompute to the nano-dollar.\n  Receipt: GET /v1/requests/{shown['request_id']}"
        f" ({receipt['outcome']}, {receipt['latency_ms']} ms)\n",
        style="green",
    )


def _print_how_to_go_on(address: str, key: str) -> None:
    click.echo(
        f"""Still serving. This key works until you stop the demo with Ctrl+C:

  export OPENAI_BASE_URL={address}/v1 OPENAI_API_KEY={key}
  export TESSERA_BASE_URL={address} TESSERA_API_KEY={key}
  tessera describe --model {MODEL} PICTURE.jpg
"""
    )
