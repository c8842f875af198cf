"""`tessera describe`: image to text, through a server or with the embedded `sight` engine."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tessera.cli._options import as_json_option, place_options, print_json, read_settings, run

if TYPE_CHECKING:
    from openai import OpenAI

_SIGHT = "tessera/sight"
_PROMPT = "Describe this image."


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", default=_SIGHT, show_default=True, help="A model of the server.")
@click.option("--prompt", default=_PROMPT, show_default=True, help="What to ask about the images.")
@click.option("--stream", is_flag=True, help="Print the text as it is written.")
@click.option("--upright", is_flag=True, help="Turn images as their EXIF orientation says before they are sent.")
@place_options
@as_json_option
def command(
    images: tuple[Path, ...],
    model: str,
    prompt: str,
    stream: bool,
    upright: bool,
    config: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Describe images.

    With TESSERA_BASE_URL and TESSERA_API_KEY set the server there is asked; otherwise the embedded `tessera/sight`
    engine answers here, with no server and no money.
    """
    base_url, key = os.environ.get("TESSERA_BASE_URL"), os.environ.get("TESSERA_API_KEY")
    contents = [path.read_bytes() for path in images]
    if upright or not base_url:
        from tessera.adapters.media.local import read_image

        pixels_max = read_settings(config, data).limits.image_pixels_max
        contents = [read_image(content, pixels_max=pixels_max)[0] for content in contents]
    if upright:
        from tessera.bootstrap import turn_upright

        contents = [turn_upright(content) for content in contents]
    if base_url and not key:
        raise click.UsageError("TESSERA_BASE_URL is set and TESSERA_API_KEY is not: both, or neither.")
    if base_url and key:
        from tessera.cli._client import open_client

        with open_client(base_url, key) as client:
            if stream and not as_json:
                _print_streamed(client, model, prompt, contents)
                return
            shown = _asked(client, model, prompt, contents)
    elif model != _SIGHT:
        raise click.UsageError(
            f"{model} needs a server: set TESSERA_BASE_URL and TESSERA_API_KEY. Without one, {_SIGHT} answers."
        )
    else:
        from tessera.bootstrap import describe_locally

        text = run(describe_locally(read_settings(config, data), contents, prompt))
        shown = {"model": _SIGHT, "description": text}
    if as_json:
        print_json(shown)
    else:
        click.echo(shown["description"])


def _asked(client: "OpenAI", model: str, prompt: str, contents: list[bytes]) -> dict[str, Any]:
    from openai import APIError

    from tessera.cli._client import message_of, refusal

    messages: Any = [message_of(prompt, contents)]
    try:
        reply = client.chat.completions.create(model=model, messages=messages)
    except APIError as error:
        raise refusal(error) from None
    charge = (reply.usage.model_extra or {}).get("charge") if reply.usage else None
    return {"model": reply.model, "description": reply.choices[0].message.content or "", "charge": charge}


def _print_streamed(client: "OpenAI", model: str, prompt: str, contents: list[bytes]) -> None:
    from openai import APIError

    from tessera.cli._client import message_of, refusal

    messages: Any = [message_of(prompt, contents)]
    try:
        with client.chat.completions.create(model=model, messages=messages, stream=True) as chunks:
            for chunk in chunks:
                for choice in chunk.choices:
                    click.echo(choice.delta.content or "", nl=False)
    except APIError as error:
        raise refusal(error) from None
    click.echo()
