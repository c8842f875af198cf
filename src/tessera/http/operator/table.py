"""The routes of operators."""

from tessera.http.operator import customers, margins, prices, providers
from tessera.http.route import Door, Route

_PROVIDERS = "/account/operator/providers"
_PROVIDER = f"{_PROVIDERS}/{{provider}}"

_CUSTOMERS = "/account/operator/customers"
_CUSTOMER = f"{_CUSTOMERS}/{{customer}}"
_CREDITS = "/account/operator/credits"
_CREDIT = f"{_CREDITS}/{{credit}}"

OPERATOR_ROUTES: tuple[Route, ...] = (
    Route("GET", "/account/operator/margins", margins.index, "Margins", query=margins.QUERY, door=Door.OPERATOR),
    Route("GET", _PROVIDERS, providers.index, "ProviderList", door=Door.OPERATOR),
    Route("PUT", _PROVIDER, providers.put, "Provider", providers.SetCredential, door=Door.OPERATOR),
    Route("DELETE", _PROVIDER, providers.remove, "Deleted", door=Door.OPERATOR),
    Route("GET", "/account/operator/prices", prices.index, "Prices", query=prices.QUERY, door=Door.OPERATOR),
    Route("GET", _CUSTOMERS, customers.index, "CustomerList", query=customers.QUERY, door=Door.OPERATOR),
    Route("GET", _CUSTOMER, customers.show, "Customer", door=Door.OPERATOR),
    Route("POST", f"{_CUSTOMER}/suspend", customers.suspend, "Customer", customers.Suspend, door=Door.OPERATOR),
    Route("POST", f"{_CUSTOMER}/resume", customers.resume, "Customer", door=Door.OPERATOR),
    Route(
        "POST",
        f"{_CUSTOMER}/credits",
        customers.give_credit,
        "ManualCredit",
        customers.GiveCredit,
        door=Door.OPERATOR,
        headers=customers.HEADERS,
    ),
    Route(
        "GET",
        _CREDITS,
        customers.credits_index,
        "ManualCreditList",
        query=customers.CREDITS_QUERY,
        door=Door.OPERATOR,
    ),
    Route("POST", f"{_CREDIT}/approve", customers.approve, "ManualCredit", door=Door.OPERATOR),
    Route("POST", f"{_CREDIT}/withdraw", customers.withdraw, "ManualCredit", door=Door.OPERATOR),
)
