"""What is claimed of every reply that a client has in full."""

from typing import TYPE_CHECKING

from simulation.client import Plan, Reply
from simulation.invariants import claim

if TYPE_CHECKING:
    from simulation.world import Simulation


def check_reply(simulation: "Simulation", plan: Plan, reply: Reply) -> None:
    """Claims what a whole reply must say, and that a repeat is answered with the same bytes."""
    request_id = reply.headers["x-request-id"]
    claim(not plan.revoked or reply.status != 200, f"F28: {request_id} was served with a key revoked before")
    if reply.status == 500:
        broken = any("adapter breaks" in deed.faults for deed in simulation.deeds.get(request_id, []))
        broken = broken or simulation.counts["constraint refuses"] > 0
        claim(broken, f"{request_id} was answered with 500: {reply.body[:300]!r}")
    if reply.status != 200:
        simulation.refused.append(request_id)
        return
    claim("tessera-price-max" in reply.headers, f"{request_id} does not say what it could cost")
    if reply.headers["content-type"] == "application/json":
        claim(b'"charge_nanos"' in reply.body, f"{request_id} does not say what it was charged")
    if plan.idempotency_key is None:
        return
    replayed = reply.headers.get("tessera-replayed")
    place = (plan.account.organization_id, plan.account.mode, plan.idempotency_key)
    if replayed is not None:
        simulation.fired("reply replayed")
        first = simulation.replayable.get(place)
        if first is not None and first[0] == replayed:
            claim(first[1] == _said(reply), f"{replayed} was replayed with other bytes")
    elif b'"error"' not in reply.body:
        simulation.replayable[place] = (request_id, _said(reply))


def _said(reply: Reply) -> bytes:
    """A reply without what keeps its connection alive."""
    return reply.body.replace(b": keep-alive\n\n", b"")
