"""How Stripe's API writes: form encoding of what it is asked, and its lists and errors."""

from typing import Any


def nested(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Stripe's form encoding: `a[b][0]=c` is {"a": {"b": {"0": "c"}}}."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        table = found
        *path, last = name.replace("]", "").split("[")
        for part in path:
            table = table.setdefault(part, {})
        table[last] = value
    return found


def page(path: str, things: list[dict[str, Any]], fields: dict[str, Any]) -> dict[str, Any]:
    """Newest first, two at a time, so that paging is always done."""
    since = int(fields.get("created", {}).get("gte", 0))
    newest = [thing for thing in reversed(things) if thing["created"] >= since]
    after = fields.get("starting_after")
    if after is not None:
        newest = newest[[thing["id"] for thing in newest].index(after) + 1 :]
    return list_of(path, newest[:2], more=len(newest) > 2)


def list_of(path: str, data: list[dict[str, Any]], *, more: bool = False) -> dict[str, Any]:
    return {"object": "list", "url": path, "data": data, "has_more": more}


def no_such(what: str, id_: str, *, param: str) -> dict[str, Any]:
    return error("invalid_request_error", f"No such {what}: '{id_}'", code="resource_missing", param=param)


def error(kind: str, message: str, **more: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message, **more}}
