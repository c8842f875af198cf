"""The one route table: what can be called, and how the API's own description shows it."""

from tessera.domain.request import Surface
from tessera.http import quotes, requests
from tessera.http.account.table import ACCOUNT_ROUTES, IDENTITY_PROVIDER_ROUTES
from tessera.http.money.table import MONEY_ROUTES
from tessera.http.openai import calls, models
from tessera.http.operator.table import OPERATOR_ROUTES
from tessera.http.requests import PAGE
from tessera.http.route import Door, Handler, Route
from tessera.http.usage.table import USAGE_ROUTES

__all__ = ["ROUTES", "Door", "Handler", "Route"]

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
    Route("GET", "/v1/requests", requests.index, "RequestList", query=PAGE),
    Route("GET", "/v1/requests/{id}", requests.show, "Request"),
    Route("GET", "/v1/balance", requests.balance, "Balance"),
    Route("GET", "/v1/ledger", requests.ledger, "EntryList", query=PAGE),
    *USAGE_ROUTES,
    *ACCOUNT_ROUTES,
    *IDENTITY_PROVIDER_ROUTES,
    *OPERATOR_ROUTES,
    *MONEY_ROUTES,
)
