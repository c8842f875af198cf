"""Requests made from the API's own description: never a failure of ours, always a reply of the described shape."""

import json
import urllib.request
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from servers import TesseraServer

EXAMPLES_MAX = 12
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


@pytest.mark.timeout(280)
def test_nothing_made_from_the_description_breaks_the_server_or_the_description(server: TesseraServer) -> None:
    with urllib.request.urlopen(f"{server.base_url}/openapi.json", timeout=10) as reply:
        described = json.loads(reply.read())
    schema = schemathesis.openapi.from_dict(described)
    schema.config.base_url = server.base_url
    key = server.account().key
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) == sum(len(methods) for methods in described["paths"].values()) >= 11
    for operation in operations:
        if operation.path == "/v1/events":
            # It has no end: tests/acceptance/usage/test_events.py reads it.
            continue
        _exercise(operation, server.base_url, key)


def _exercise(operation: Any, base_url: str, key: str) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES_MAX,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def calls(case: Any) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        case.call_and_validate(headers=headers, checks=CHECKS, base_url=base_url, timeout=30)

    calls()


def test_the_description_is_valid_and_names_every_shape_it_uses(server: TesseraServer) -> None:
    with urllib.request.urlopen(f"{server.base_url}/openapi.json", timeout=10) as reply:
        text = reply.read().decode()
    described = json.loads(text)
    schemathesis.openapi.from_dict(described).validate()
    named = described["components"]["schemas"]
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= set(named)
