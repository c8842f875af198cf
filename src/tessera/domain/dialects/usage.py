"""What a provider's reply says about itself: usage, tier, end, and what was delivered."""

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import msgspec

from tessera.domain.dialects.refusals import stripped
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.quantities import Quantities
from tessera.domain.request import Surface, Tier

OUTPUT_TEXT_MAX = 2**20
"""Characters of delivered text kept for counting: more than the longest answer any model may give."""

TOKENS_MAX = 10**9
"""No call uses a thousand million tokens: a larger figure is absurd, whatever its sender meant."""

_SERVED = {
    "default": Tier.DEFAULT,
    "flex": Tier.FLEX,
    "priority": Tier.PRIORITY,
    "fast": Tier.PRIORITY,
    "batch": Tier.BATCH,
}
_SIDES = {
    surface: ("prompt_tokens", "completion_tokens") if surface is Surface.CHAT else ("input_tokens", "output_tokens")
    for surface in Surface
}
_DECODE = msgspec.json.Decoder().decode


class ReplyFacts(msgspec.Struct, kw_only=True):
    """What settling needs to know of a reply, whole or so far.

    `usage` is None when the provider gave none; an explicit zero is a `Quantities` of zeros. `absurd` marks usage that
    was there but cannot be true (negative, not whole, parts beyond their total): it is None then.
    `finish_reason` is a chat word (stop, length, tool_calls, content_filter, error) or None while open.
    `output_text` is the delivered text, tool-call arguments and refusals, in order, at most `OUTPUT_TEXT_MAX`
    characters of it; `output_chars` counts all of it. `has_output` says whether anything was delivered.
    `error` is what the provider reported instead of an answer.
    """

    usage: Quantities | None = None
    absurd: bool = False
    served_tier: Tier | None = None
    finish_reason: str | None = None
    output_text: str = ""
    output_chars: int = 0
    has_output: bool = False
    error: TesseraError | None = None

    def take_usage(self, surface: Surface, usage: object) -> bool:
        """Takes a usage object: the last one that says something stands, whole, never added to an earlier one. Returns
        whether it is this one."""
        try:
            read = read_usage(surface, usage)
        except ValueError:
            self.usage, self.absurd = None, True
            return False
        if read is not None:
            self.usage, self.absurd = read, False
        return read is not None


def served_tier(word: object) -> Tier | None:
    """The tier a reply names as the one that served; None for none and for words that have no price."""
    return _SERVED.get(word) if isinstance(word, str) else None


def read_reply(surface: Surface, raw: bytes) -> ReplyFacts:
    """The facts of a whole reply with status 200. Raises [provider_error] when it is not such a reply."""
    reply = decode_reply(raw)
    if reply.get("error") is not None:
        provider_said(reply["error"])
    facts = ReplyFacts(served_tier=served_tier(reply.get("service_tier")))
    facts.take_usage(surface, reply.get("usage"))
    try:
        text = "".join(_chat(reply, facts) if surface is Surface.CHAT else _response(reply, facts))
    except (KeyError, TypeError, AttributeError):
        raise NotAReplyError from None
    facts.output_chars = len(text)
    facts.has_output = text != ""
    facts.output_text = text[:OUTPUT_TEXT_MAX]
    return facts


def decode_reply(raw: bytes) -> dict[str, Any]:
    """A provider's JSON object. Raises [provider_error] for anything else, HTML with status 200 included."""
    try:
        reply = _DECODE(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        reply = None
    if not isinstance(reply, dict):
        raise NotAReplyError
    return reply


def provider_said(error: object) -> NoReturn:
    """Raises what a provider reported in the place of an answer, in its words as far as a caller may read them."""
    message = error.get("message") if isinstance(error, dict) else error
    said = stripped(message) if isinstance(message, str) and message else "no reason given"
    raise TesseraError(ErrorCode.PROVIDER_ERROR, f"The provider failed: {said}")


class NotAReplyError(TesseraError):
    """The provider sent bytes that make no sense as an answer: a [provider_error]."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.PROVIDER_ERROR, "The provider sent something that is not an answer.")


def _chat(reply: dict[str, Any], facts: ReplyFacts) -> list[str]:
    choices = reply["choices"]
    if not isinstance(choices, list):
        raise TypeError("choices is not a list")
    texts: list[str] = []
    for choice in choices:
        reason = choice.get("finish_reason")
        if reason == "error":
            provider_said(choice.get("error"))
        if facts.finish_reason is None and reason is not None:
            facts.finish_reason = str(reason)
        texts += message_texts(choice["message"])
    return texts


def message_texts(message: dict[str, Any]) -> list[str]:
    """The delivered texts of a chat message or of a chunk's delta."""
    texts = []
    thought = message.get("reasoning_content")
    for field in ("reasoning_content", "reasoning", "content", "refusal"):
        text = message.get(field)
        if field == "reasoning" and text == thought:
            continue  # vLLM says it under both names
        if isinstance(text, str):
            texts.append(text)
        elif field == "content" and isinstance(text, list):
            texts += thought_and_said(text)
    calls, function = message.get("tool_calls"), message.get("function_call")
    if not calls and function is None:
        return texts
    for called in [*(call.get("function") or call.get("custom") for call in calls or ()), function]:
        if called is not None:
            for field in ("name", "arguments", "input"):
                text = called.get(field)
                if isinstance(text, str):
                    texts.append(text)
    return texts


def thought_and_said(parts: list[Any]) -> tuple[str, str]:
    """What content of parts says: the model's thoughts, and its answer. Mistral's reasoning models answer so. Raises
    TypeError, KeyError or AttributeError for parts that are none."""
    thought, said = "", ""
    for part in parts:
        kind = part.get("type")
        if kind == "thinking":
            thought += "".join(inner["text"] for inner in part["thinking"] if inner.get("type") == "text")
        elif kind == "text":
            said += part["text"]
    return thought, said


def _response(reply: dict[str, Any], facts: ReplyFacts) -> Iterator[str]:
    output = reply["output"]
    if not isinstance(output, list):
        raise TypeError("output is not a list")
    if reply.get("status") not in ("completed", "incomplete"):
        provider_said(reply.get("error") or f"the response is {str(reply.get('status'))[:40]}")
    facts.finish_reason = response_finish(reply)
    for item in output:
        yield from item_texts(item)


def response_finish(reply: dict[str, Any]) -> str:
    """The chat word for how a response ended."""
    if reply.get("status") == "incomplete":
        reason = (reply.get("incomplete_details") or {}).get("reason")
        return "content_filter" if reason == "content_filter" else "length"
    calls = ("function_call", "custom_tool_call")
    return "tool_calls" if any(item.get("type") in calls for item in reply.get("output") or ()) else "stop"


def item_texts(item: dict[str, Any]) -> Iterator[str]:
    """The delivered texts of one output item of a response."""
    kind = item.get("type")
    if kind in ("function_call", "custom_tool_call"):
        for field in ("name", "arguments", "input"):
            text = item.get(field)
            if isinstance(text, str):
                yield text
        return
    for part in [*(item.get("content") or ()), *(item.get("summary") or ())]:
        for field in ("text", "refusal"):
            text = part.get(field)
            if isinstance(text, str):
                yield text


def read_usage(surface: Surface, usage: object) -> Quantities | None:
    """Quantities of a decoded usage object; None for null, and for one that holds neither total.

    Raises ValueError for one that cannot be true: negative, not whole, beyond `TOKENS_MAX`, parts beyond their total,
    a total that is less than its two sides, or one side without the other. Cached and written tokens are inside
    the input, reasoning inside the output, on both surfaces.
    """
    if usage is None:
        return None
    if not isinstance(usage, dict):
        raise ValueError("usage is not an object")
    given, made = _SIDES[surface]
    if usage.get(given) is None and usage.get(made) is None:
        return None
    inputs, outputs = _details(usage, given), _details(usage, made)
    input_tokens, output_tokens, total, cached, written, seen, reasoning, drawn = _whole(
        usage.get(given),
        usage.get(made),
        usage.get("total_tokens"),
        inputs.get("cached_tokens"),
        inputs.get("cache_write_tokens"),
        inputs.get("image_tokens"),
        outputs.get("reasoning_tokens"),
        outputs.get("image_tokens"),
    )
    if input_tokens is None or output_tokens is None:
        raise ValueError("usage has one side only")
    cached, written, seen, reasoning, drawn = cached or 0, written or 0, seen or 0, reasoning or 0, drawn or 0
    if cached + written > input_tokens:
        raise ValueError("more cached tokens than input tokens")
    if seen > input_tokens:
        raise ValueError("more image tokens than input tokens")
    if reasoning > output_tokens or drawn > output_tokens:
        raise ValueError("more reasoning or image tokens than output tokens")
    if total is not None and total < input_tokens + output_tokens:
        raise ValueError("the total is less than input and output")
    return Quantities(
        input_tokens=input_tokens,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        input_image_tokens=seen,
        output_tokens=output_tokens,
        reasoning_tokens=reasoning,
        output_image_tokens=drawn,
    )


def _details(usage: dict[str, Any], name: str) -> dict[str, Any]:
    details = usage.get(name + "_details")
    if details is None:
        return {}
    if not isinstance(details, dict):
        raise ValueError(f"{name}_details is not an object")
    return details


def _whole(*numbers: Any) -> Sequence[int | None]:
    """Whole numbers of tokens, None for what is not there. Some servers write 12.0 for 12; it is taken for what it is.
    Raises ValueError for any other."""
    for number in numbers:
        if number is not None and (type(number) is not int or not 0 <= number <= TOKENS_MAX):
            break
    else:
        return numbers
    found = [int(number) if type(number) is float and number.is_integer() else number for number in numbers]
    if any(number is not None and (type(number) is not int or not 0 <= number <= TOKENS_MAX) for number in found):
        raise ValueError("usage holds something that is not a whole number of tokens")
    return found
