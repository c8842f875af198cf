"""What a reply repeats of its request: the Responses object says the settings it was made with."""

import asyncio
from collections.abc import Mapping

from tessera.domain.dialects.repeated import read_settings
from tessera.domain.request import Surface
from tessera.ports import UpstreamCall

_ON_LOOP_BYTES_MAX = 16 * 1024


async def repeated_fields(call: UpstreamCall) -> Mapping[str, object]:
    """The fields of the request that a reply repeats, as they were sent; none on a surface that repeats nothing."""
    if call.surface is not Surface.RESPONSES:
        return {}
    if sum(map(len, call.body)) > _ON_LOOP_BYTES_MAX:
        return await asyncio.to_thread(_read, call)
    return _read(call)


def _read(call: UpstreamCall) -> Mapping[str, object]:
    return read_settings(b"".join(call.body))
