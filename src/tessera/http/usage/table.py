"""The routes of usage."""

from collections.abc import Iterator, Mapping
from typing import Any

from tessera.domain.people.roles import Right
from tessera.http.route import Door, Handler, Route
from tessera.http.usage import events, exports, lists, pages


def _both(
    path: str, handler: Handler, reply: str, query: Mapping[str, Mapping[str, Any]], files: tuple[str, ...] = ()
) -> Iterator[Route]:
    """For an admin key, and for a member with a session."""
    for door, prefix in ((Door.ADMIN, "/v1/organization"), (Door.MEMBER, "/account/organizations/{organization}")):
        yield Route("GET", prefix + path, handler, reply, query=query, door=door, right=Right.USAGE_READ, files=files)


USAGE_ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1/usage", lists.index, "UsageList", query=lists.LIST),
    Route(
        "GET",
        "/v1/events",
        events.stream,
        "Event",
        files=("text/event-stream",),
    ),
    Route("GET", "/v1/usage/export", exports.index, "UsageList", query=exports.EXPORT, files=exports.FILES),
    *_both("/usage/export", exports.show, "UsageList", exports.EXPORT | lists.MODE, exports.FILES),
    *_both("/usage", lists.show, "UsageList", lists.LIST | lists.MODE),
    *_both("/usage/completions", pages.completions, "UsagePage", pages.COMPLETIONS),
    *_both("/usage/images", pages.images, "UsagePage", pages.IMAGES),
    *_both("/costs", pages.costs, "CostsPage", pages.COSTS),
)
