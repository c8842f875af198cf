"""The sandbox as a provider."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from tessera.adapters.providers.inside import (
    Draft,
    InsideReply,
    compose,
    image_contents,
    last_question,
    naming_images,
    repeated_fields,
)
from tessera.adapters.providers.inside.reply import pieces_of, reply_headers
from tessera.adapters.providers.sandbox import content, faults, structured
from tessera.adapters.providers.sandbox.schema_answers import Known
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import InferenceRequest
from tessera.ports import TextCounter, UpstreamCall, UpstreamReply

Describe = Callable[[Sequence[bytes], str], Awaitable[str]]
"""Says what images show, with a question in mind."""

_SEED_ON_LOOP_BYTES_MAX = 16 * 1024
"""What is asked with more text than this, or with images, is digested in a thread: 16 KB take 0.05 ms."""

Recognize = Callable[[Sequence[bytes]], Awaitable[Known]]
"""Looks at images and returns what fills the schema fields it knows."""


class SandboxProvider:
    """Answers any model's calls without the model.

    `describe` says what images show; `counter` counts what is said; `recognize`, where given, fills the fields of a
    schema that can be known from the images. `now` gives seconds since 1970.
    """

    def __init__(
        self,
        describe: Describe,
        counter: TextCounter,
        *,
        recognize: Recognize | None = None,
        now: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        self._describe = describe
        self._counter = counter
        self._recognize = recognize
        self._now = now

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        """See `ports.Provider`. The caller's own mistakes raise too: [invalid_request] for an unknown fault,
        [unsupported_parameter] for a schema that cannot be answered, [invalid_base64_image], and the media codes for a
        picture that cannot be read."""
        wanted = faults.read_faults(call.headers, stream=call.stream)
        await faults.before_head(wanted)
        if wanted.status is not None:
            return faults.error_answer(call, wanted.status, wanted.retry_after)
        if wanted.malformed:
            return faults.malformed_answer(call)
        with naming_images(call.request):
            drafts = await self._drafts(call, refuse=wanted.refusal)
        repeated = await repeated_fields(call)
        answer = compose(call, self._counter, drafts, self._now(), repeated, with_usage=not wanted.no_usage)
        return InsideReply(200, reply_headers(call), faults.faulty(pieces_of(call, answer), wanted, call))

    async def close(self) -> None:
        """Nothing is held open."""

    async def _drafts(self, call: UpstreamCall, *, refuse: bool) -> list[Draft]:
        request = call.request
        if refuse:
            return [Draft(refusal=content.REFUSAL)] * request.choices
        images = await image_contents(call)
        if images or request.text_bytes > _SEED_ON_LOOP_BYTES_MAX:
            seed = await asyncio.to_thread(content.seed_of, request, images)
        else:
            seed = content.seed_of(request, images)
        seeds = [seed + place for place in range(request.choices)]
        tool = content.chosen_tool(request)
        if tool is not None:
            known = await self._known(images)
            calls = [await asyncio.to_thread(structured.call_of, tool, request, one, known) for one in seeds]
            return [Draft(tool_calls=(one,)) for one in calls]
        if request.output_format.kind == "json_schema":
            known = await self._known(images)
            texts = [await asyncio.to_thread(structured.json_text, request, one, known, "") for one in seeds]
            return [Draft(text=text) for text in texts]
        words = await self._words(request, images, seeds)
        if request.output_format.kind == "json_object":
            return [Draft(text=structured.json_text(request, seed, None, one)) for one in words]
        return [Draft(text=one) for one in words]

    async def _words(self, request: InferenceRequest, images: Sequence[bytes], seeds: Sequence[int]) -> list[str]:
        unseen = ""
        if images:
            try:
                return [await self._describe(images, last_question(request))] * len(seeds)
            except TesseraError as error:
                unseen = _too_large(error)
        return [content.plain_text(request, seed, unseen) for seed in seeds]

    async def _known(self, images: Sequence[bytes]) -> Known | None:
        if not images or self._recognize is None:
            return None
        try:
            return await self._recognize(images)
        except TesseraError as error:
            _too_large(error)
            return None


def _too_large(error: TesseraError) -> str:
    """Why nothing was looked at, when an image is only too large to be decoded here; any other error goes on.

    A provider would be sent such an image, and a test key is to meet what a live key meets.
    """
    if error.code is not ErrorCode.IMAGE_TOO_LARGE:
        raise error
    return error.message
