"""The engine as a provider: model `tessera/sight`, on chat completions and responses, live and test alike."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tessera.adapters.providers.inside import (
    Draft,
    compose,
    image_contents,
    last_question,
    naming_images,
    repeated_fields,
    reply_to,
)
from tessera.adapters.providers.sandbox.schema_answers import Known
from tessera.adapters.providers.sandbox.structured import call_of, json_text
from tessera.adapters.providers.sight.answers import answer
from tessera.adapters.providers.sight.fields import known_fields
from tessera.adapters.providers.sight.observation import Observation
from tessera.domain.request import Tool
from tessera.ports import TextCounter, UpstreamCall, UpstreamReply


class Engine(Protocol):
    """What looks at pictures, outside the event loop, with a bounded queue."""

    async def observe_all(self, images: Sequence[bytes]) -> tuple[Observation, ...]:
        """What is seen in each picture.

        Raises [overloaded] when the queue is full, and the media codes with `images[N]` as `param`.
        """
        ...

    async def close(self) -> None: ...


class SightProvider:
    """Says what it sees in a call's images, as far as the question can be answered without a language model.

    A JSON schema is filled with what is known; everything else is left null or empty, never invented. A tool is called
    only when the call requires one. `counter` counts what is said; `now` gives seconds since 1970.
    """

    def __init__(
        self, engine: Engine, counter: TextCounter, *, now: Callable[[], int] = lambda: int(time.time())
    ) -> None:
        self._engine = engine
        self._counter = counter
        self._now = now

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        """See `ports.Provider`. Also raises the caller's own mistakes: [unsupported_parameter] for a schema that
        cannot be filled, [invalid_base64_image] and the media codes for a picture that cannot be read."""
        with naming_images(call.request):
            observations = await self._engine.observe_all(await image_contents(call))
        draft = await asyncio.to_thread(_draft, call, observations)
        drafts = [draft] * call.request.choices
        return reply_to(call, compose(call, self._counter, drafts, self._now(), await repeated_fields(call)))

    async def close(self) -> None:
        """Closes the engine."""
        await self._engine.close()

    async def describe(self, images: Sequence[bytes], question: str) -> str:
        """What the images show, with a question in mind."""
        observations = await self._engine.observe_all(images)
        return answer(observations, question)

    async def recognize(self, images: Sequence[bytes]) -> Known:
        """What fills the schema fields that can be known from the images."""
        return _known_from(await self._engine.observe_all(images))


def _known_from(observations: Sequence[Observation]) -> Known:
    def known(name: str, schema: dict[str, Any]) -> object | None:
        return known_fields(observations, name, schema)

    return known


def _draft(call: UpstreamCall, observations: Sequence[Observation]) -> Draft:
    request = call.request
    known = _known_from(observations) if observations else None
    tool = _required_tool(call)
    if tool is not None:
        return Draft(tool_calls=(call_of(tool, request, 0, known, invent=False),))
    if request.output_format.kind == "json_schema":
        return Draft(text=json_text(request, 0, known, "", invent=False))
    said = answer(observations, last_question(request))
    if request.output_format.kind == "json_object":
        return Draft(text=json_text(request, 0, None, said))
    return Draft(text=said)


def _required_tool(call: UpstreamCall) -> Tool | None:
    request = call.request
    if request.tool_choice in ("auto", "none") or not request.tools:
        return None
    return next((tool for tool in request.tools if tool.name == request.tool_choice), request.tools[0])
