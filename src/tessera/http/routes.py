"""The one route table: what can be called, and how the API's own description shows it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tessera.domain.auth import Caller
from tessera.domain.request import Surface
from tessera.flows.world import World
from tessera.http import quotes, requests
from tessera.http.exchange import Exchange
from tessera.http.openai import calls, models

Handler = Callable[[World, Caller, Exchange], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path. Every one of them needs an API key; rights hang here, never on the path's text.

    `body` and `reply` name schemas of the API's description, `surface` is the dialect of its errors, `query` its query
    parameters. A `paid` route takes the headers that say what a call may cost, and can stream.
    """

    method: str
    path: str
    handler: Handler
    reply: str
    body: str | None = None
    surface: Surface = Surface.CHAT
    paid: bool = False
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first line of what the handler says of itself."""
        return (self.handler.__doc__ or "").strip().splitlines()[0]


_PAGE = {
    "limit": {"type": "integer", "minimum": 1, "maximum": requests.PAGE_LIMIT_MAX, "default": 20},
    "after": {"type": "string", "minLength": 1, "maxLength": 64},
}

ROUTES = (
    Route("POST", "/v1/chat/completions", calls.chat_completions, "ChatCompletion", "ChatCompletionRequest", paid=True),
    Route("POST", "/v1/responses", calls.responses, "Response", "ResponseRequest", Surface.RESPONSES, paid=True),
    Route(
        "POST", "/v1/responses/input_tokens", calls.input_tokens, "InputTokens", "ResponseRequest", Surface.RESPONSES
    ),
    Route("GET", "/v1/models", models.models, "ModelList"),
    Route("GET", "/v1/models/{model:path}", models.model, "Model"),
    Route("POST", "/v1/quotes", quotes.create, "Quote", "QuoteRequest"),
    Route("GET", "/v1/quotes/{id}", quotes.show, "Quote"),
    Route("GET", "/v1/requests", requests.index, "RequestList", query=_PAGE),
    Route("GET", "/v1/requests/{id}", requests.show, "Request"),
    Route("GET", "/v1/balance", requests.balance, "Balance"),
    Route("GET", "/v1/ledger", requests.ledger, "EntryList", query=_PAGE),
)
