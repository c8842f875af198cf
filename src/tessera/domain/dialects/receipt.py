"""The ledger's own figure inside the provider's usage object."""

import re
from typing import Any

import msgspec

from tessera.domain.dialects.spans import members
from tessera.domain.money import NANOS_PER_USD
from tessera.domain.quantities import Quantities
from tessera.domain.request import Surface


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a settled call tells its caller. `charge` is the decimal USD of `charge_nanos`.

    `usage` is what was charged for; it stands in the reply when the provider itself gave no usage.
    """

    charge: str
    charge_nanos: int
    request_id: str
    usage: Quantities = Quantities()

    def fields(self) -> bytes:
        """The four members of a usage object, as JSON without braces. `cost` is a number, written from integers."""
        whole, rest = divmod(self.charge_nanos, NANOS_PER_USD)
        cost = f"{whole}.{rest:09d}".rstrip("0").rstrip(".")
        return (
            b'"charge":%s,"charge_nanos":%d,"request_id":%s,"cost":%s'
            % (msgspec.json.encode(self.charge), self.charge_nanos, msgspec.json.encode(self.request_id), cost.encode())
        )  # fmt: skip


def usage_object(surface: Surface, usage: Quantities) -> dict[str, Any]:
    """Quantities in a surface's words."""
    given, made = ("prompt", "completion") if surface is Surface.CHAT else ("input", "output")
    inputs = {"cached_tokens": usage.cached_input_tokens, "cache_write_tokens": usage.cache_write_tokens}
    if usage.input_image_tokens:
        inputs["image_tokens"] = usage.input_image_tokens
    return {
        f"{given}_tokens": usage.input_tokens,
        f"{given}_tokens_details": inputs,
        f"{made}_tokens": usage.output_tokens,
        f"{made}_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def finish_reply(surface: Surface, raw: bytes, receipt: Receipt, *, reported: bool = False) -> bytes:
    """A whole reply with `charge`, `charge_nanos`, `request_id` and `cost` in its `usage`; no other byte changes.

    `reported` says that the reply is known to have a usage object, which is then found without a closer look.
    Fields of those names that a provider put there itself are taken out first: nobody else speaks for the ledger.
    A reply that says one thing twice is written anew. Raises ValueError when `raw` is no JSON object.
    """
    quick = _in_usage(raw, receipt) if reported else None
    if quick is not None:
        return quick
    try:
        return with_receipt(surface, raw, receipt, 0, len(raw))
    except ValueError:
        anew = msgspec.json.encode(msgspec.json.decode(raw, type=dict[str, Any]))
        return with_receipt(surface, anew, receipt, 0, len(anew))


def _in_usage(raw: bytes, receipt: Receipt) -> bytes | None:
    """The reply with the receipt at the head of its one `usage` object; None where that takes a closer look.

    Where nothing is written with `\\u`, a name that stands once in quotes is that key: quotes inside strings have a
    backslash before them.
    """
    start = raw.rfind(b'"usage"')
    if start < 0 or raw.find(b'"usage"', 0, start) >= 0 or raw.find(b"\\u") >= 0:
        return None
    found = _USAGE.match(raw, start)
    if found is None or _ANY_OF_OURS.search(raw, start) is not None:
        return None
    at = found.end()
    return raw[:at] + receipt.fields() + b"," + raw[at:]


def with_receipt(surface: Surface, raw: bytes, receipt: Receipt, start: int, end: int) -> bytes:
    """`raw` with the receipt in the `usage` of the object at `start`…`end`, which is made where it is missing."""
    spans = members(raw, start, end)
    missing = b"{" + receipt.fields() + b"," + msgspec.json.encode(usage_object(surface, receipt.usage))[1:]
    if "usage" not in spans:
        at = raw.index(b"{", start) + 1
        comma = b"," if spans else b""
        return raw[:at] + b'"usage":' + missing + comma + raw[at:]
    _, begin, stop = spans["usage"]
    if raw[begin : begin + 1] != b"{":
        return raw[:begin] + missing + raw[stop:]
    inner = members(raw, begin, stop)
    if not inner:
        return raw[:begin] + missing + raw[stop:]
    if _OURS.isdisjoint(inner):
        tail, comma = raw[begin + 1 : stop], b","
    else:
        kept = [raw[name:after] for key, (name, _, after) in inner.items() if key not in _OURS]
        tail = b",".join(kept) + b"}"
        comma = b"," if kept else b""
    return raw[: begin + 1] + receipt.fields() + comma + tail + raw[stop:]


_USAGE = re.compile(rb'"usage"\s*:\s*\{(?=\s*")')
_ANY_OF_OURS = re.compile(rb'"(?:charge|charge_nanos|request_id|cost)"')
_OURS = frozenset({"charge", "charge_nanos", "request_id", "cost"})
