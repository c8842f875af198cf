"""Image files as parts of a chat message."""

import base64
from typing import Any


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
