"""The upstream body on the caller's own surface: the caller's bytes with a handful of values replaced."""

import re
from collections.abc import Mapping

import msgspec

from tessera.domain.dialects.body import Body
from tessera.domain.dialects.checks import service_tier
from tessera.domain.dialects.spans import elements, members, scalar
from tessera.domain.request import InferenceRequest, Surface, Tier

JOIN_MAX = 64 * 1024
"""Bodies up to this size are joined into one piece: one write is cheaper than many, and the copy is small."""

SEALED_REASONING = "reasoning.encrypted_content"
"""What `include` says for reasoning that can be sent back without being stored."""
TIER_WORDS = {Tier.DEFAULT: "default", Tier.FLEX: "flex", Tier.PRIORITY: "priority"}
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")

Piece = bytes | memoryview
_Change = tuple[int, int, tuple[Piece, ...]]


class Edits(msgspec.Struct, frozen=True, kw_only=True):
    """What Tessera changes in a body.

    `model` is the upstream's name, `output_cap` the cap that was held for (tokens, ≥ 1). `tier` is sent explicitly;
    None leaves the caller's field alone, for servers that know no tiers. `include_usage` asks a chat stream for its
    usage chunk. `images` maps an image's index to the whole data URL (ASCII) that takes its address's place.
    `old_cap_name` is for servers that silently ignore `max_completion_tokens` (Ollama issue 7125, llama-cpp-python
    issue 1907): on chat they are sent `max_tokens` too, so that what was held for is what they may write.
    `sealed_reasoning` asks responses for the encrypted form of what the model thinks.
    """

    model: str
    output_cap: int
    tier: Tier | None = None
    include_usage: bool = True
    images: Mapping[int, bytes | memoryview] = {}
    old_cap_name: bool = False
    sealed_reasoning: bool = False


def splice(surface: Surface, body: Body, request: InferenceRequest, edits: Edits) -> list[Piece]:
    """The body in pieces to be sent one after the other; every unchanged value is byte for byte the caller's.

    Changed or added, and only where they differ: `model`, the output cap (both fields of chat if the caller wrote
    both), `service_tier`, `stream_options.include_usage` of a chat stream, `include` on responses, and images in the
    place of their addresses.
    """
    text = body.skeleton
    changes: list[_Change] = []
    added: list[bytes] = []
    finder = _Finder(text)
    for name, wanted in _wanted(surface, body, request, edits).items():
        if name in body.value:
            start, end = scalar(text, name) or finder.object("")[name][1:]
            changes.append((start, end, (wanted,)))
        else:
            added.append(b'"%s":%s' % (name.encode(), wanted))
    if surface is Surface.CHAT and request.stream and edits.include_usage and not request.include_usage:
        if "stream_options" in body.value:
            changes.append(_ask_for_usage(text, *finder.object("")["stream_options"][1:]))
        else:
            added.append(b'"stream_options":{"include_usage":true}')
    if added:
        place = text.index(b"{") + 1
        changes.append((place, place, (b",".join(added) + b",",)))
    for index, address in edits.images.items():
        changes += _inlined(finder, request.images[index].param, address)
    return _apply(body, changes)


def _wanted(surface: Surface, body: Body, request: InferenceRequest, edits: Edits) -> dict[str, bytes]:
    """The top-level values that must be sent, encoded, by name; those the caller already wrote so are left out."""
    wanted = {}
    value = body.value
    if request.model != edits.model:
        wanted["model"] = msgspec.json.encode(edits.model)
    names = ["max_output_tokens"]
    if surface is Surface.RESPONSES and edits.sealed_reasoning:
        included = [body.text(name) for name in value.get("include") or ()]
        if SEALED_REASONING not in included:
            wanted["include"] = msgspec.json.encode([*included, SEALED_REASONING])
    if surface is Surface.CHAT:
        names = [name for name in ("max_completion_tokens", "max_tokens") if value.get(name) is not None]
        if edits.old_cap_name and "max_tokens" not in names:
            names.append("max_tokens")
        names = names or ["max_completion_tokens"]
    for name in names:
        if value.get(name) != edits.output_cap:
            wanted[name] = b"%d" % edits.output_cap
    word = TIER_WORDS.get(edits.tier) if edits.tier is not None else None
    asked = value.get("service_tier")
    if word is not None and (asked is None or service_tier(asked, "service_tier") is not edits.tier):
        wanted["service_tier"] = b'"%s"' % word.encode()
    return wanted


def _ask_for_usage(text: bytes, start: int, end: int) -> _Change:
    """The change that makes the stream options at `start`…`end` ask for usage."""
    if text[start:end] == b"null":
        return start, end, (b'{"include_usage":true}',)
    inner = members(text, start, end)
    if "include_usage" in inner:
        _, begin, stop = inner["include_usage"]
        return begin, stop, (b"true",)
    return start + 1, start + 1, (b'"include_usage":true,' if inner else b'"include_usage":true',)


def _inlined(finder: "_Finder", param: str, address: Piece) -> list[_Change]:
    """The image itself in the place of its address or of its file id."""
    owner, name = param.rsplit(".", 1)
    siblings = finder.object(owner)
    key, start, end = siblings[name]
    quoted = (b'"', address, b'"')
    if name != "file_id":
        return [(start, end, quoted)]
    if "image_url" in siblings:
        _, begin, stop = siblings["image_url"]
        return [(start, end, (b"null",)), (begin, stop, quoted)]
    return [(key, end, (b'"image_url":', *quoted))]


class _Finder:
    """Finds objects by the path a caller would write; every level is measured once."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._objects: dict[int, dict[str, tuple[int, int, int]]] = {}
        self._arrays: dict[int, list[tuple[int, int]]] = {}

    def object(self, path: str) -> dict[str, tuple[int, int, int]]:
        """The members of the object at `path`, such as `messages[0].content[1].image_url`; "" is the body itself."""
        start, end = 0, len(self._text)
        for name, index in _STEP.findall(path):
            if name:
                _, start, end = self._members(start, end)[name]
            else:
                start, end = self._elements(start, end)[int(index)]
        return self._members(start, end)

    def _members(self, start: int, end: int) -> dict[str, tuple[int, int, int]]:
        if start not in self._objects:
            self._objects[start] = members(self._text, start, end)
        return self._objects[start]

    def _elements(self, start: int, end: int) -> list[tuple[int, int]]:
        if start not in self._arrays:
            self._arrays[start] = elements(self._text, start, end)
        return self._arrays[start]


def _apply(body: Body, changes: list[_Change]) -> list[Piece]:
    raw = body.raw
    view = memoryview(raw)
    pieces: list[Piece] = []
    at = size = 0
    for start, end, replacement in sorted(changes, key=lambda change: change[:2]):
        begin = body.offset(start)
        pieces.append(view[at:begin])
        pieces += replacement
        size += begin - at + sum(map(len, replacement))
        at = body.offset(end)
    if size + len(raw) - at <= JOIN_MAX:
        pieces.append(view[at:])
        return [b"".join(pieces)]
    pieces.append(view[at:] if at else raw)
    return pieces
