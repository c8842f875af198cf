"""Which deployments may serve a call, best first."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface

TRANSLATED = {Surface.CHAT: Surface.RESPONSES, Surface.RESPONSES: Surface.CHAT}
"""The surface a call can be translated to when no deployment speaks its own."""


class Speaks(Protocol):
    """Anything that states the surfaces it understands."""

    @property
    def surfaces(self) -> tuple[Surface, ...]: ...


D = TypeVar("D", bound=Speaks)


def plan(surface: Surface, deployments: Sequence[D], model: str) -> tuple[tuple[D, Surface], ...]:
    """Each deployment that can serve a call on `surface`, with the surface it will be called on.

    Deployments keep the operator's order, but those that speak the caller's surface come before those that need
    translation. Raises `no_deployment` when none can.
    """
    same = [(d, surface) for d in deployments if surface in d.surfaces]
    other = TRANSLATED.get(surface)
    translated = [(d, other) for d in deployments if other in d.surfaces and surface not in d.surfaces] if other else []
    if not same and not translated:
        raise TesseraError(
            ErrorCode.NO_DEPLOYMENT,
            f"No provider is configured here that can serve {model} for this key. Test keys work for every model; for "
            "live calls the operator adds a provider.",
        )
    return tuple(same + translated)
