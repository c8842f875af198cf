"""Calls to a server with the official client: how it is opened, what is sent, how a refusal is told."""

import base64
from typing import Any

import click
from openai import APIConnectionError, APIError, OpenAI


def open_client(base_url: str, key: str) -> OpenAI:
    """A client of the server at an address with or without its `/v1`. It never repeats a call by itself."""
    base_url = base_url.rstrip("/")
    return OpenAI(base_url=base_url if base_url.endswith("/v1") else f"{base_url}/v1", api_key=key, max_retries=0)


def refusal(error: APIError) -> click.ClickException:
    """The server's own sentence, without the client's words around it; where there was none, what was not reached."""
    if isinstance(error, APIConnectionError):
        url = str(error.request.url)
        return click.ClickException(f"{url} cannot be reached: {error.__cause__ or error.message}")
    body = error.body if isinstance(error.body, dict) else {}
    return click.ClickException(str(body.get("message") or error.message))


def message_of(prompt: str, contents: list[bytes]) -> dict[str, Any]:
    """One user message with a prompt and images as data URLs."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": prompt}]
    for content in contents:
        address = f"data:{media_type(content)};base64,{base64.b64encode(content).decode()}"
        parts.append({"type": "image_url", "image_url": {"url": address}})
    return {"role": "user", "content": parts}


def media_type(content: bytes) -> str:
    """What the first bytes of a file say it is; the server looks for itself and refuses what it cannot read."""
    if content.startswith(b"\x89PNG"):
        return "image/png"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if content.startswith(b"GIF8"):
        return "image/gif"
    if content[4:8] == b"ftyp":
        return "image/avif" if content[8:12] in (b"avif", b"avis") else "image/heic"
    return "image/jpeg"
