"""The routes of operators."""

from tessera.http.operator import margins, prices, providers
from tessera.http.route import Door, Route

_PROVIDERS = "/account/operator/providers"
_PROVIDER = f"{_PROVIDERS}/{{provider}}"

OPERATOR_ROUTES: tuple[Route, ...] = (
    Route("GET", "/account/operator/margins", margins.index, "Margins", query=margins.QUERY, door=Door.OPERATOR),
    Route("GET", _PROVIDERS, providers.index, "ProviderList", door=Door.OPERATOR),
    Route("PUT", _PROVIDER, providers.put, "Provider", providers.SetCredential, door=Door.OPERATOR),
    Route("DELETE", _PROVIDER, providers.remove, "Deleted", door=Door.OPERATOR),
    Route("GET", "/account/operator/prices", prices.index, "Prices", query=prices.QUERY, door=Door.OPERATOR),
)
