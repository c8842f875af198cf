"""What OpenAI says it served and billed: `/organization/usage/completions` by minute and `/organization/costs` by day.

Shapes: OpenAI's API reference, administration, usage. Amounts are read as decimals, never as floats.
"""

import asyncio
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from http.client import HTTPException
from typing import Any

import msgspec

from tessera.adapters.providers.openai.client import checked_base_url
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.provider_comparison import BilledCost, BilledUsage

_MINUTES_MAX, _COST_DAYS_MAX = 1440, 180
_PAGES_MAX = 10_000
_REPLY_BYTES_MAX = 64 * 1024 * 1024
_TIMEOUT_S = 60
_NANOS = 10**9

_decode = msgspec.json.Decoder(float_hook=Decimal).decode


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follows nothing: the key goes to the address it was given for."""


class OpenAIBooks:
    """A provider's books. `admin_key` is an organization's admin key, which can call no model.

    Raises ValueError for an address that is not plain http or https.
    """

    def __init__(self, base_url: str, admin_key: str) -> None:
        self._base_url = checked_base_url(base_url)
        self._admin_key = admin_key
        self._opener = urllib.request.build_opener(_NoRedirect)

    async def read_usage(self, start_at: int, end_at: int) -> tuple[BilledUsage, ...]:
        """See `ports.usage.ProviderBooks`."""
        return await asyncio.to_thread(lambda: tuple(self._usage(start_at, end_at)))

    async def read_costs(self, start_at: int, end_at: int) -> tuple[BilledCost, ...]:
        """See `ports.usage.ProviderBooks`. A line item's model is what stands before its first comma."""
        return await asyncio.to_thread(lambda: tuple(self._costs(start_at, end_at)))

    def _usage(self, start_at: int, end_at: int) -> Iterator[BilledUsage]:
        asked: dict[str, str | int] = {"bucket_width": "1m", "group_by": "model", "limit": _MINUTES_MAX}
        for bucket, result in self._results("usage/completions", start_at, end_at, asked):
            counts = (
                _whole(result, "num_model_requests"),
                _whole(result, "input_tokens"),
                _whole(result, "input_cached_tokens"),
                _whole(result, "output_tokens"),
            )
            yield BilledUsage(start_at=bucket, model=str(result.get("model") or ""), counts=counts)

    def _costs(self, start_at: int, end_at: int) -> Iterator[BilledCost]:
        asked: dict[str, str | int] = {"bucket_width": "1d", "group_by": "line_item", "limit": _COST_DAYS_MAX}
        for bucket, result in self._results("costs", start_at, end_at, asked):
            amount = result.get("amount")
            if not isinstance(amount, dict) or str(amount.get("currency", "")).lower() != "usd":
                raise _strange("a cost is not in USD")
            try:
                nanos = int((Decimal(str(amount.get("value"))) * _NANOS).to_integral_value())
            except (InvalidOperation, OverflowError, ValueError):
                raise _strange("a cost is not a number") from None
            model = str(result.get("line_item") or "").partition(",")[0].strip()
            yield BilledCost(start_at=bucket, model=model, nanos=nanos)

    def _results(
        self, path: str, start_at: int, end_at: int, asked: dict[str, str | int]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        query: dict[str, str | int] = {"start_time": start_at, "end_time": end_at, **asked}
        for _ in range(_PAGES_MAX):
            page = self._get(f"{self._base_url}/organization/{path}?{urllib.parse.urlencode(query)}")
            try:
                for bucket in page["data"]:
                    for result in bucket["results"]:
                        yield _whole(bucket, "start_time"), result
                more, following = page.get("has_more"), page.get("next_page")
            except (KeyError, TypeError, AttributeError):
                raise _strange("a page has another shape") from None
            if not more:
                return
            if not following or following == query.get("page"):
                raise _strange("a page that has more names no next one")
            query["page"] = str(following)
        raise _strange("the pages do not end")

    def _get(self, url: str) -> dict[str, Any]:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self._admin_key}"})  # noqa: S310
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as reply:
                body = reply.read(_REPLY_BYTES_MAX + 1)
        except urllib.error.HTTPError as error:
            raise TesseraError(
                ErrorCode.PROVIDER_ERROR, f"The provider refused to show its books, with status {error.code}."
            ) from None
        except (OSError, HTTPException):
            raise TesseraError(ErrorCode.PROVIDER_ERROR, "The provider's books cannot be reached.") from None
        if len(body) > _REPLY_BYTES_MAX:
            raise _strange("a page is too large")
        try:
            page = _decode(body)
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise _strange("a page is not JSON") from None
        if not isinstance(page, dict):
            raise _strange("a page has another shape")
        return page


def _whole(values: dict[str, Any], name: str) -> int:
    value = values.get(name) or 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise _strange(f"{name} is not a whole number")
    return value


def _strange(what: str) -> TesseraError:
    return TesseraError(ErrorCode.PROVIDER_ERROR, f"The provider's books cannot be read: {what}.")
