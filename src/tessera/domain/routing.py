"""Which deployments may serve a call, best first, and which are left alone for a while because they fail."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface

TRANSLATED = {Surface.CHAT: Surface.RESPONSES, Surface.RESPONSES: Surface.CHAT}
"""The surface a call can be translated to when no deployment speaks its own."""


FAILURES_MAX = 5
"""Failures in a row after which a deployment is ejected (as Envoy's outlier detection counts)."""
EJECTIONS_COUNTED_MAX = 10


class Health:
    """What is known against a deployment, or a credential, since it last served.

    After `FAILURES_MAX` failures in a row it is ejected for n times `ejection_ms`, n counting ejections with no success
    in between; a success is the end of its record. Times are milliseconds of any clock that never jumps.
    """

    __slots__ = ("_ejections", "_failures", "_until_ms")

    def __init__(self) -> None:
        self._failures = 0
        self._ejections = 0
        self._until_ms = 0

    def ejected(self, now_ms: int) -> bool:
        """Whether it is to be left alone now."""
        return now_ms < self._until_ms

    def failed(self, now_ms: int, ejection_ms: int) -> bool:
        """Counts a failure; True when it leads to an ejection. Failures of calls already on their way do not count."""
        if self.ejected(now_ms):
            return False
        self._failures += 1
        return self._failures >= FAILURES_MAX and self.reject(now_ms, ejection_ms)

    def reject(self, now_ms: int, ejection_ms: int) -> bool:
        """Ejects at once, as for a credential that is refused. Returns whether it was not ejected already."""
        if self.ejected(now_ms):
            return False
        self._failures = 0
        self._ejections = min(self._ejections + 1, EJECTIONS_COUNTED_MAX)
        self._until_ms = now_ms + self._ejections * ejection_ms
        return True


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


class Named(Protocol):
    """A deployment by its own name and its provider's."""

    @property
    def name(self) -> str: ...

    @property
    def provider(self) -> str: ...


N = TypeVar("N", bound=Named)


def standing(
    ways: tuple[tuple[N, Surface], ...], health: Mapping[str, Health], now_ms: int
) -> tuple[tuple[N, Surface], ...]:
    """The ways of a plan that are not ejected, under their deployment's or their provider's name; all of them when
    none would be left: the last deployment is never ejected."""
    if not health or len(ways) == 1:
        return ways
    left = tuple(
        (deployment, surface)
        for deployment, surface in ways
        if not any(name in health and health[name].ejected(now_ms) for name in (deployment.name, deployment.provider))
    )
    return left or ways
