"""The load: every kind of call there is, by callers who behave and callers who do not, to providers who fail."""

import asyncio
import base64
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

import image_files as files
from scripted_provider import (
    End,
    Pause,
    Received,
    Reply,
    bytes_reply,
    chat_events,
    chat_reply,
    close_silently,
    error_reply,
    html_reply,
    raw_reply,
    reset,
    sse_reply,
)
from servers import Account

MODEL = "gpt-4o"
WORDS = [f"word{number} " for number in range(40)]
FAULTS: tuple[Callable[[], Reply], ...] = (
    close_silently,
    reset,
    html_reply,
    lambda: error_reply(500),
    lambda: error_reply(429, headers={"retry-after": "1"}),
    lambda: error_reply(401),
    lambda: chat_reply("cut", cut_at=60),
    lambda: sse_reply(chat_events(WORDS), cut_at=900),
    lambda: sse_reply(chat_events(WORDS), end=End.RESET),
    lambda: sse_reply(chat_events(WORDS, usage=False)),
    lambda: chat_reply("absurd", prompt_tokens=-5),
    lambda: raw_reply(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
)
SANDBOX_FAULTS = ("status=500", "malformed", "cut_after_chunks=3", "no_usage", "refused", "drip_ms=5", "refusal")
FAULTY_SHARE = 0.15
ANSWERED = frozenset({200, 400, 401, 402, 404, 409, 429, 502, 503, 504})
"""What a caller may be told in this load; 500 is never among it."""


class Provider:
    """Answers well most of the time, streams where a stream is asked for, and fails in every way otherwise."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self, request: Received) -> Reply:
        if self._random.random() < FAULTY_SHARE:
            return self._random.choice(FAULTS)()
        if b'"stream":true' in request.body:
            return sse_reply(chat_events(WORDS, prompt_tokens=20), delay_s=self._random.choice((0, 0, 0.002)))
        reply = chat_reply("An answer of some words.", prompt_tokens=20, completion_tokens=6)
        return Reply((Pause(self._random.choice((0, 0.005, 0.05))), *reply.pieces))


class Load:
    """Callers that call until they are stopped. `told` counts kinds and what came of them."""

    def __init__(
        self, api: str, live: Account, test: Account, image_address: str, *, seed: int, pause_s: float
    ) -> None:
        self.told: Counter[str] = Counter()
        self.strange: list[str] = []
        self.stopped = False
        self._api, self._live, self._test = api, live, test
        self._image_address = image_address
        self._random = random.Random(seed)
        self._pause_s = pause_s
        picture = files.picture(640, 480).effect_spread(40)
        self._image = "data:image/jpeg;base64," + base64.b64encode(files.saved("JPEG", picture)).decode()
        self._kinds: dict[str, tuple[int, Callable[[aiohttp.ClientSession], Awaitable[str]]]] = {
            "small call": (30, self._small),
            "image": (8, self._with_image),
            "image by address": (4, self._with_address),
            "sandbox image": (1, self._sandbox_image),
            "stream": (12, self._stream),
            "caller leaves a stream": (8, self._leave_stream),
            "caller leaves before the head": (8, self._leave_early),
            "repeat": (6, self._repeat),
            "two at once with one key": (3, self._both_at_once),
            "quote": (8, self._quote),
            "refusal": (10, self._refused),
            "sandbox fault": (4, self._sandbox_fault),
            "receipts": (3, self._receipts),
        }

    async def one_of_each(self) -> None:
        """Each kind a few times: afterwards everything that is loaded on first use is there."""
        async with self._session() as session:
            for _ in range(3):
                for kind in self._kinds:
                    await self._call(kind, session)

    async def run(self, callers: int) -> None:
        """Calls from so many callers at once until `stopped`."""
        async with self._session() as session:
            await asyncio.gather(*(self._caller(session) for _ in range(callers)))

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))

    async def _caller(self, session: aiohttp.ClientSession) -> None:
        kinds, weights = list(self._kinds), [weight for weight, _ in self._kinds.values()]
        while not self.stopped:
            await self._call(self._random.choices(kinds, weights)[0], session)
            await asyncio.sleep(self._random.random() * 2 * self._pause_s)

    async def _call(self, kind: str, session: aiohttp.ClientSession) -> None:
        try:
            came = await self._kinds[kind][1](session)
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError) as error:
            came = f"{type(error).__name__}: {error}"
            self.strange.append(f"{kind}: {came}")
        self.told[f"{kind}: {came}"] += 1
        status = int(came) if came.isdecimal() else 200
        if status not in ANSWERED:
            self.strange.append(f"{kind}: {came}")

    # ---- kinds of calls ------------------------------------------------------------------------------------------

    async def _small(self, session: aiohttp.ClientSession) -> str:
        return await self._post(session, self._body("Hello"))

    async def _with_image(self, session: aiohttp.ClientSession) -> str:
        return await self._post(session, self._body(self._parts(self._image)))

    async def _with_address(self, session: aiohttp.ClientSession) -> str:
        return await self._post(session, self._body(self._parts(self._image_address)))

    async def _sandbox_image(self, session: aiohttp.ClientSession) -> str:
        return await self._post(session, self._body(self._parts(self._image)), account=self._test)

    async def _stream(self, session: aiohttp.ClientSession) -> str:
        return await self._post(session, self._body("Tell me.", stream=True))

    async def _leave_stream(self, session: aiohttp.ClientSession) -> str:
        async with self._request(session, self._body("Tell me.", stream=True)) as reply:
            async for _ in reply.content.iter_any():
                if self._random.random() < 0.3:
                    break
            reply.close()
        return "left"

    async def _leave_early(self, session: aiohttp.ClientSession) -> str:
        body = self._body(self._parts(self._image) if self._random.random() < 0.3 else "Hi", stream=True)
        call = asyncio.ensure_future(self._post(session, body))
        await asyncio.sleep(self._random.random() * 0.02)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return "left"

    async def _repeat(self, session: aiohttp.ClientSession) -> str:
        headers = {"Idempotency-Key": f"k{self._random.getrandbits(60)}"}
        first = await self._post(session, self._body("Once"), headers)
        again = await self._post(session, self._body("Once"), headers)
        if first == "200" and again != "200":
            self.strange.append(f"repeat: {first}, then {again}")
        return again

    async def _both_at_once(self, session: aiohttp.ClientSession) -> str:
        headers = {"Idempotency-Key": f"k{self._random.getrandbits(60)}"}
        both = [self._post(session, self._body("Once"), headers) for _ in range(2)]
        return max(await asyncio.gather(*both))

    async def _quote(self, session: aiohttp.ClientSession) -> str:
        text = f"How much? {self._random.random()}"
        body = {"url": "/v1/chat/completions", "body": self._body(self._parts(self._image, text))}
        return await self._post(session, body, path="/quotes")

    async def _refused(self, session: aiohttp.ClientSession) -> str:
        bodies: tuple[Any, ...] = (
            b"{",
            b'{"model":1}',
            {"model": "no-such-model", "messages": [{"role": "user", "content": "x"}]},
            self._body(self._parts("data:image/png;base64,AAAA")),
            self._body(self._parts("http://169.254.169.254/latest/meta-data")),
            self._body("x", n=500),
        )
        body = self._random.choice(bodies)
        headers = {"Authorization": "Bearer sk-tess-live-wrong"} if self._random.random() < 0.2 else {}
        return await self._post(session, body, headers)

    async def _sandbox_fault(self, session: aiohttp.ClientSession) -> str:
        headers = {"Tessera-Sandbox-Fault": self._random.choice(SANDBOX_FAULTS)}
        body = self._body("Hello", stream=self._random.random() < 0.5)
        return await self._post(session, body, headers, account=self._test)

    async def _receipts(self, session: aiohttp.ClientSession) -> str:
        headers = {"Authorization": f"Bearer {self._live.key}"}
        async with session.get(f"{self._api}/requests?limit=5", headers=headers) as reply:
            await reply.read()
            return str(reply.status)

    # ---- how they are sent ---------------------------------------------------------------------------------------

    def _body(self, content: Any, **more: Any) -> dict[str, Any]:
        return {"model": MODEL, "max_completion_tokens": 60, "messages": [{"role": "user", "content": content}], **more}

    def _parts(self, address: str, text: str = "What is this?") -> list[dict[str, Any]]:
        return [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": address}}]

    def _request(
        self,
        session: aiohttp.ClientSession,
        body: Any,
        headers: dict[str, str] | None = None,
        *,
        account: Account | None = None,
        path: str = "/chat/completions",
    ) -> Any:
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {(account or self._live).key}"}
        raw = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
        return session.post(self._api + path, data=raw, headers={**sent, **(headers or {})})

    async def _post(
        self, session: aiohttp.ClientSession, body: Any, headers: dict[str, str] | None = None, **more: Any
    ) -> str:
        async with self._request(session, body, headers, **more) as reply:
            await reply.read()
            return str(reply.status)


def image_reply(_: Received) -> Reply:
    """A picture at an address."""
    return bytes_reply(files.saved("JPEG", files.picture(320, 240)), content_type="image/jpeg")
