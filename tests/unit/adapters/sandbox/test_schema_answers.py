"""Structured answers satisfy the caller's schema, or the keyword in the way is named."""

import time
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from unit.adapters.sandbox.schema_strategies import schemas

from tessera.adapters.providers.sandbox.schema_answers import generate
from tessera.adapters.providers.sandbox.schema_keywords import RefusedSchemaError

CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER


def assert_valid(schema: Any, value: object) -> None:
    jsonschema.Draft202012Validator(schema, format_checker=CHECKER).validate(value)


def refused(schema: Any) -> str:
    with pytest.raises(RefusedSchemaError) as caught:
        generate(schema, 1)
    return caught.value.keyword


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(schemas)
def test_every_generated_schema_is_answered_validly_or_refused_by_name(schema: Any) -> None:
    try:
        value = generate(schema, 7)
    except RefusedSchemaError as error:
        assert error.keyword
        assert error.reason
    else:
        assert_valid(schema, value)


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(schemas)
def test_the_sparse_answer_is_valid_too(schema: Any) -> None:
    try:
        value = generate(schema, 7, invent=False)
    except RefusedSchemaError:
        return
    assert_valid(schema, value)
