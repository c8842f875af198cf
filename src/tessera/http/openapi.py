"""The API's own description (OpenAPI 3.1), made from the route table and the shapes in `schemas.json`."""

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import msgspec

import tessera
from tessera.domain.dialects.errors import STATUS
from tessera.http.route import Door, Route

_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_CALL_HEADERS = {
    "Tessera-Quote": "A quote's id: the call is refused when it could cost more than that quote's maximum.",
    "Tessera-Max-Price": "The most this call may cost, in USD with up to nine decimals.",
    "Tessera-Fit": "`balance` or `max-price`: lower the output cap to what is affordable instead of refusing.",
    "Idempotency-Key": "A repeat with the same key and body gives the first reply again and is not charged.",
}


_SECURITY: dict[Door, list[dict[str, list[str]]]] = {
    Door.KEY: [{"key": []}],
    Door.ADMIN: [{"admin_key": []}],
    Door.PERSON: [{"session": []}],
    Door.MEMBER: [{"session": []}],
    Door.OPERATOR: [{"session": []}],
    Door.OPEN: [],
    Door.SIGNED: [],
}


def describe(routes: Sequence[Route]) -> dict[str, Any]:
    """An OpenAPI 3.1 document of the routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = _PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tessera",
            "version": tessera.__version__,
            "description": "One OpenAI-compatible API to vision and image models, priced before the call.",
        },
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "admin_key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key that starts with sk-tess-admin-",
                },
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-tessera"},
            },
            "schemas": _schemas(routes),
        },
    }


def _schemas(routes: Sequence[Route]) -> dict[str, Any]:
    """The shapes of `schemas.json`, and those that structs describe by themselves."""
    written: dict[str, Any] = msgspec.json.decode(files(__package__).joinpath("schemas.json").read_bytes())
    structs = [route.body for route in routes if isinstance(route.body, type)]
    _, described = msgspec.json.schema_components(structs, ref_template="#/components/schemas/{name}")
    return {**written, **{f"{name}Fields": shape for name, shape in described.items()}}


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": _operation_id(route),
        "security": _SECURITY[route.door],
        "responses": {**_answer(route), **_errors(route)},
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in route.query.items()]
    if route.paid:
        parameters += [
            {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
            for name, text in _CALL_HEADERS.items()
        ]
    parameters += [
        {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in route.headers.items()
    ]
    if route.door in (Door.PERSON, Door.MEMBER, Door.OPERATOR) and route.method != "GET":
        text = "The csrf_token of GET /account/session"
        parameters.append({"name": "X-CSRF-Token", "in": "header", "description": text, "schema": {"type": "string"}})
    for kind in route.files:
        shape: dict[str, Any] = (
            {"type": "string"} if kind.startswith("text/") else {"type": "string", "format": "binary"}
        )
        operation["responses"]["200"]["content"][kind] = {"schema": shape}
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        name = route.body if isinstance(route.body, str) else f"{route.body.__name__}Fields"
        operation["requestBody"] = {"required": True, **_content(None, name, stream=False)}
    return operation


def _answer(route: Route) -> dict[str, Any]:
    if route.redirects:
        where = {"description": "Where the browser goes on", "schema": {"type": "string"}}
        return {"303": {"description": "The browser goes on elsewhere", "headers": {"Location": where}}}
    return {"200": _content("The answer", route.reply, stream=route.paid)}


def _operation_id(route: Route) -> str:
    """The handler's module and name; a member's route is told from the admin key's that has the same handler."""
    name = f"{route.handler.__module__.rsplit('.', 1)[-1]}_{route.handler.__name__}"
    return f"{name}_as_member" if route.door is Door.MEMBER else name


def _content(description: str | None, schema: str, *, stream: bool) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    if stream:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return {"content": content} if description is None else {"description": description, "content": content}


def _errors(route: Route) -> dict[str, Any]:
    """Every status a route can answer with beside 200, and the codes that come with it."""
    by_status: dict[int, list[str]] = {}
    for code, status in STATUS.items():
        if route.method in ("POST", "PUT") or status not in (402, 408, 409, 413, 504):
            by_status.setdefault(status, []).append(code)
    return {
        str(status): _content("Codes: " + ", ".join(codes), "Error", stream=False)
        for status, codes in sorted(by_status.items())
    }
