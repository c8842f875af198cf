"""From what an engine wants to say to an answer that keeps the output cap and counts itself truly."""

from collections.abc import Mapping, Sequence

import msgspec

from tessera.domain.dialects.render import Answer, Choice, ToolCall
from tessera.domain.quantities import Quantities
from tessera.domain.request import Tier
from tessera.ports import TextCounter, UpstreamCall


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """One choice as its engine wrote it, of any length."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None


def compose(
    call: UpstreamCall,
    counter: TextCounter,
    drafts: Sequence[Draft],
    created: int,
    repeated: Mapping[str, object],
    *,
    with_usage: bool = True,
) -> Answer:
    """The answer to a call: each draft cut at the output cap, usage true to the count, tier as asked for.

    Input tokens are the call's predicted count, so that what was quoted as expected is what is charged here.
    `created` is seconds since 1970, `repeated` what the reply repeats of its request; `with_usage` False leaves the
    usage out.
    """
    choices: list[Choice] = []
    output_tokens = 0
    for draft in drafts:
        choice, tokens = _capped(draft, call.output_cap, counter)
        choices.append(choice)
        output_tokens += tokens
    request = call.request
    return Answer(
        id=call.request_id.replace("_", ""),
        created=created,
        model=call.deployment.upstream_model,
        choices=tuple(choices),
        usage=Quantities(
            input_tokens=call.count.total.predicted,
            input_image_tokens=call.count.image.predicted,
            output_tokens=output_tokens,
        )
        if with_usage
        else None,
        served_tier=request.tier if request.tier in (Tier.FLEX, Tier.PRIORITY) else Tier.DEFAULT,
        repeated=repeated,
    )


def _capped(draft: Draft, cap: int, counter: TextCounter) -> tuple[Choice, int]:
    """The draft within `cap` tokens, and how many it has."""
    if draft.refusal is not None:
        refusal, used, cut = cut_text(draft.refusal, cap, counter)
        return Choice(refusal=refusal, finish_reason="length" if cut else "stop"), used
    text, used, cut = cut_text(draft.text, cap, counter)
    calls: list[ToolCall] = []
    for call in draft.tool_calls if not cut else ():
        named = counter(call.name)
        if used + named > cap:
            cut = True
            break
        arguments, tokens, cut = cut_text(call.arguments, cap - used - named, counter)
        used += named + tokens
        calls.append(msgspec.structs.replace(call, arguments=arguments))
        if cut:
            break
    finish = "length" if cut else "tool_calls" if calls else "stop"
    return Choice(text=text, tool_calls=tuple(calls), finish_reason=finish), used


def cut_text(text: str, cap: int, counter: TextCounter) -> tuple[str, int, bool]:
    """The longest beginning of `text` found within `cap` tokens, its tokens, and whether anything was cut off."""
    tokens = counter(text)
    if tokens <= cap:
        return text, tokens, False
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if counter(text[:middle]) <= cap:
            low = middle
        else:
            high = middle - 1
    # A shorter beginning can have more tokens than a longer one, so the place found is checked, not trusted.
    while low and counter(text[:low]) > cap:
        low -= 1
    return text[:low], counter(text[:low]), True
