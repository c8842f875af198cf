"""The ledger's own figure inside the provider's usage object."""

import msgspec

from tessera.domain.request import Surface


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a settled call tells its caller. `charge` is the decimal USD of `charge_nanos`."""

    charge: str
    charge_nanos: int
    request_id: str


def finish_reply(surface: Surface, raw: bytes, receipt: Receipt) -> bytes:
    """A whole reply with `charge`, `charge_nanos`, `request_id` and `cost` in its `usage`; no other byte changes."""
    raise NotImplementedError
