"""Structured output and tool arguments, valid for the caller's schema; shared by the providers inside this process."""

import json

from tessera.adapters.providers.sandbox.schema_answers import Known, generate
from tessera.adapters.providers.sandbox.schema_keywords import RefusedSchemaError
from tessera.domain.dialects.render import ToolCall
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import InferenceRequest, Surface, Tool


def call_of(tool: Tool, request: InferenceRequest, seed: int, known: Known | None, *, invent: bool = True) -> ToolCall:
    """A call of the tool, its arguments valid for its schema. Raises [unsupported_parameter] naming the keyword."""
    place = next(index for index, one in enumerate(request.tools) if one is tool)
    where = (
        f"tools[{place}].parameters" if request.surface is Surface.RESPONSES else f"tools[{place}].function.parameters"
    )
    schema = _decoded(tool.parameters or b"{}", where)
    if isinstance(schema, dict) and "type" not in schema:
        schema = {**schema, "type": "object"}
    arguments = _answered(schema, seed, known, where, invent=invent)
    return ToolCall(id=f"call_{seed:016x}", name=tool.name, arguments=json.dumps(arguments, ensure_ascii=False))


def json_text(
    request: InferenceRequest, seed: int, known: Known | None, description: str, *, invent: bool = True
) -> str:
    """Structured output: valid for the caller's schema, or any object. Raises [unsupported_parameter]."""
    if request.output_format.kind == "json_object":
        return json.dumps({"description": description}, ensure_ascii=False)
    where = "text.format.schema" if request.surface is Surface.RESPONSES else "response_format.json_schema.schema"
    schema = _decoded(request.output_format.schema or b"{}", where)
    return json.dumps(_answered(schema, seed, known, where, invent=invent), ensure_ascii=False)


def _decoded(schema: bytes, where: str) -> object:
    try:
        return json.loads(schema)
    except (ValueError, RecursionError):
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"{where} is not valid JSON.", param=where) from None


def _answered(schema: object, seed: int, known: Known | None, where: str, *, invent: bool = True) -> object:
    try:
        return generate(schema, seed, known, invent=invent)
    except RefusedSchemaError as error:
        raise TesseraError(
            ErrorCode.UNSUPPORTED_PARAMETER,
            f"The JSON schema in {where} cannot be answered here: the keyword {error.keyword!r} {error.reason}.",
            param=where,
        ) from None
