"""The routes of operators."""

from tessera.http.operator import margins
from tessera.http.route import Door, Route

OPERATOR_ROUTES: tuple[Route, ...] = (
    Route("GET", "/account/operator/margins", margins.index, "Margins", query=margins.QUERY, door=Door.OPERATOR),
)
