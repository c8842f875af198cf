"""Addresses and methods that are not there: who mistyped one is told what was meant."""

import openai
import pytest

from raw_http import request, talk
from servers import Account, TesseraServer


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("/chat/completions", "/v1/chat/completions"),
        ("//v1//chat/completions", "/v1/chat/completions"),
        ("/v1/v1/responses", "/v1/responses"),
        ("/v1/account/sign-in", "/account/sign-in"),
        ("/v1/embeddings", None),
        ("/", None),
    ],
)
def test_an_address_that_is_nearly_one_is_told_so(
    server: TesseraServer, account: Account, path: str, meant: str | None
) -> None:
    heard = talk(server.base_url, request("POST", path, account.key, b"{}", "Connection: close"))
    assert (heard.status, heard.error()["code"]) == (404, "not_found")
    expected = f"There is nothing at POST {path}." + (f" Did you mean {meant}?" if meant else "")
    assert heard.error()["message"] == expected


def test_a_client_without_v1_in_its_address_is_told_so(server: TesseraServer, account: Account) -> None:
    with (
        openai.OpenAI(base_url=server.base_url, api_key=account.key, max_retries=0) as client,
        pytest.raises(openai.NotFoundError, match="Did you mean /v1/chat/completions") as refused,
    ):
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hello"}])
    assert refused.value.request_id is not None


def test_every_reply_has_a_request_id_even_where_nothing_is(server: TesseraServer) -> None:
    for path, host in (("/nothing", "test"), ("/healthz", "test"), ("/metrics", "test"), ("/v1/models", "a b")):
        sent = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        assert b"\r\nx-request-id: req_" in talk(server.base_url, sent.encode()).data, path


def test_a_wrong_method_names_the_address_as_it_was_asked_for(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError, match="/v1/models/gpt-4o takes GET") as refused:
        client.models.delete("gpt-4o")
    assert refused.value.response.headers["allow"] == "GET, HEAD"
