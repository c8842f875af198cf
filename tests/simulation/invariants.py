"""What must hold after every step: I1 to I10 of the money design, checked by SQL of their own, and what was promised.

Nothing here calls the product's audit or its ledger rules: two descriptions of the same law, compared.
"""

import json
from typing import TYPE_CHECKING, Any

from simulation.provider import Deed
from simulation.rules import AS_OF, rules
from tessera.domain.request import Tier
from tessera.ports import UpstreamCall

if TYPE_CHECKING:
    from simulation.engine import Look
    from simulation.world import Simulation

NANOS = 10**9
MILLION = 10**6
LEASE_AND_MARGIN_S = 120

_WALLETS = """
SELECT id, organization_id, mode, available_nanos, held_nanos, revenue_nanos, cash_nanos, promotions_nanos,
    provider_cost_nanos, provider_payable_nanos, operator_loss_nanos FROM wallet
"""
_ENTRIES = "SELECT wallet_id, account, sum(amount_nanos) FROM entry GROUP BY wallet_id, account"
_ACCOUNTS = "SELECT wallet_id, account, balance_nanos FROM account"
_HOLDS = "SELECT number, state, charge_nanos FROM hold"
_NEW_EVENTS = """
SELECT hold.number, hold.id, hold.amount_nanos, hold.charge_nanos, hold.state, hold_quote.quote, hold.stream,
    hold.model, hold.owner, event.outcome, event.charge_nanos, event.waived_nanos, event.charge, event.input_tokens,
    event.output_tokens, event.usage_source, event.deployment, event.cost_nanos, event.loss_nanos,
    event.predicted_input_tokens, wallet.mode, event.served_tier, event.cached_input_tokens
FROM hold JOIN usage_event AS event ON event.hold_number = hold.number JOIN wallet ON wallet.id = hold.wallet_id
JOIN hold_quote ON hold_quote.hold_number = hold.number
WHERE hold.number = ?
"""
_OPEN = "SELECT wallet_id, sum(amount_nanos) FROM hold WHERE state = 'open' GROUP BY wallet_id"
_LOTS = "SELECT wallet_id, sum(remaining_nanos), sum(held_nanos) FROM lot GROUP BY wallet_id"
_EVENT_SUMS = """
SELECT hold.wallet_id, sum(event.charge_nanos), sum(hold.charge_nanos) FROM hold
JOIN usage_event AS event ON event.hold_number = hold.number GROUP BY hold.wallet_id
"""
_SETTLES = "SELECT wallet_id, sum(amount_nanos) FROM transfer WHERE kind = 'settle' GROUP BY wallet_id"
_EXPIRED_TO_REVENUE = """
SELECT wallet_id, sum(amount_nanos) FROM credit WHERE kind = 'expiry' AND to_account = 'revenue' GROUP BY wallet_id
"""
_LOT_CREDITS = "SELECT lot_id, count(*) FROM credit WHERE kind <> 'expiry' GROUP BY lot_id HAVING count(*) <> 1"
_TWICE = """
SELECT wallet_id, idempotency_key, count(*) FROM hold WHERE idempotency_key IS NOT NULL AND charge_nanos > 0
GROUP BY wallet_id, idempotency_key HAVING count(*) > 1
"""
_EVERYTHING = (
    "SELECT * FROM wallet ORDER BY id",
    "SELECT * FROM lot ORDER BY id",
    "SELECT * FROM credit ORDER BY id",
    "SELECT * FROM hold ORDER BY number",
    "SELECT * FROM usage_event ORDER BY hold_number",
    "SELECT * FROM hold_quote ORDER BY hold_number",
    "SELECT * FROM idempotency ORDER BY hold_number",
    "SELECT * FROM loss_day ORDER BY wallet_id, day",
    "SELECT * FROM meter ORDER BY wallet_id, kind, subject_id",
    "SELECT hold_id, reason FROM refused_settlement ORDER BY number",
)


class ViolationError(Exception):
    """An invariant does not hold."""


violations: list[str] = []
"""What broke in this run: kept here too, because the product may catch what is raised inside its tasks."""


def claim(holds: bool, what: str) -> None:
    """Raises ViolationError unless it holds. Not `assert`: it must not depend on how Python was started."""
    if not holds:
        violations.append(what)
        raise ViolationError(what)


class Checker:
    """Looks at the ledger through a connection of its own after every commit, and remembers what it saw."""

    def __init__(self, simulation: "Simulation", connection: "Look") -> None:
        self._simulation = simulation
        self.connection = connection
        self._open: set[int] = set()
        self._resolved: dict[int, tuple[str, int]] = {}
        self._outcomes: dict[str, tuple[str, int]] = {}
        self.checks = 0
        from simulation.limits import LimitRules
        from simulation.losses import LossRules

        self._losses = LossRules(simulation, self.connection)
        self._limits = LimitRules(simulation, self.connection)

    # ---- after every commit -----------------------------------------------------------------------------------------

    def check(self) -> None:
        """Everything that follows from the rows alone."""
        self.checks += 1
        self.connection.execute("BEGIN")
        try:
            self._wallets()
            self._holds()
            self._losses.check()
            self._limits.check()
        finally:
            self.connection.execute("ROLLBACK")

    def _by_wallet(self, sql: str) -> dict[int, Any]:
        return {row[0]: row[1] if len(row) == 2 else row[1:] for row in self.connection.execute(sql)}

    def _wallets(self) -> None:
        held, lots = self._by_wallet(_OPEN), self._by_wallet(_LOTS)
        charged, settled = self._by_wallet(_EVENT_SUMS), self._by_wallet(_SETTLES)
        expired = self._by_wallet(_EXPIRED_TO_REVENUE)
        for row in self.connection.execute(_WALLETS).fetchall():
            wallet, balances = row[0], row[3:]
            claim(all(type(b) is int and abs(b) < 2**63 for b in balances), f"I7: wallet {wallet} holds {balances}")
            claim(sum(balances) == 0, f"I1: the balances of wallet {wallet} sum to {sum(balances)}")
            available, holding, revenue = balances[0], balances[1], balances[2]
            claim(available >= 0, f"I2: wallet {wallet} has {available} available")
            claim(holding == held.get(wallet, 0), f"I2: wallet {wallet} holds {holding}, open {held.get(wallet, 0)}")
            claim(
                (available, holding) == lots.get(wallet, (0, 0)),
                f"I2: wallet {wallet} has {available} + {holding}, its lots {lots.get(wallet)}",
            )
            events, holds = charged.get(wallet, (0, 0))
            claim(
                events == holds == settled.get(wallet, 0) == revenue - expired.get(wallet, 0),
                f"I9: wallet {wallet}: events {events}, holds {holds}, settles {settled.get(wallet)}, "
                f"revenue {revenue}",
            )
        entries = {(row[0], row[1]): row[2] for row in self.connection.execute(_ENTRIES)}
        for wallet, account, balance in self.connection.execute(_ACCOUNTS):
            found = entries.pop((wallet, account), 0)
            claim(found == balance, f"I1: {account} of wallet {wallet} is {balance}, its entries sum to {found}")
        claim(not entries, f"I1: entries without an account: {entries}")
        twice = self.connection.execute(_TWICE).fetchall()
        claim(not twice, f"I10: one idempotency key was charged for twice: {twice}")
        claim(not self.connection.execute(_LOT_CREDITS).fetchall(), "I5: a lot was not credited exactly once")

    def _holds(self) -> None:
        seen = 0
        for number, state, charge in self.connection.execute(_HOLDS).fetchall():
            known = self._resolved.get(number)
            if known is not None:
                seen += 1
                claim(known == (state, charge), f"I3: hold {number} was {known} and is {(state, charge)}")
                continue
            event = self.connection.execute(_NEW_EVENTS, (number,)).fetchone()
            claim((state == "open") == (event is None), f"I3: hold {number} is {state}, event: {event is not None}")
            if event is not None:
                self._resolved[number] = (state, charge)
                seen += 1
                self._event(event)
                self._simulation.note("resolved", event[1], *event[9:12])
            elif number not in self._open:
                self._open.add(number)
                self._simulation.note("held", number, self._id(number))
        claim(seen == len(self._resolved), "I3: a resolved hold has gone")

    def _id(self, number: int) -> str:
        found: str = self.connection.execute("SELECT id FROM hold WHERE number = ?", (number,)).fetchone()[0]
        return found

    def _event(self, row: tuple[Any, ...]) -> None:
        (_, hold_id, amount, hold_charge, state, quote, _, _, _, outcome, charge, waived, receipt, *_) = row
        self._outcomes[hold_id] = (outcome, charge)
        if outcome == "revoked":
            self._simulation.fired("call cut")
        quoted = json.loads(quote)["max_nanos"]
        claim(0 <= charge <= amount, f"I4: {hold_id} held {amount} and was charged {charge}")
        claim(charge <= quoted and amount <= quoted, f"I4: {hold_id}: {charge} of {amount}, quoted {quoted}")
        claim(charge == hold_charge, f"I6: {hold_id} was charged {charge} and {hold_charge}")
        written = json.loads(receipt)
        total = sum(line["quantity"] * _nanos(line["price_per_million"]) for line in written["lines"])
        claim(
            -(-total // MILLION) == charge + waived and written["nanos"] == charge,
            f"I6: {hold_id}: lines cost {total}, charged {charge}, waived {waived}",
        )
        expected = "expired" if outcome == "expired" else None
        if outcome == "completed" or charge > 0:
            expected = "settled"
        claim(state == (expected or "released"), f"I3: {hold_id} is {state} after {outcome} for {charge}")
        self._who_pays(row, self._simulation.deeds.get(hold_id, []))

    def _who_pays(self, row: tuple[Any, ...], deeds: list[Deed]) -> None:
        """The published policy, from what the provider truly did."""
        hold_id, outcome, charge, waived = row[1], row[9], row[10], row[11]
        inputs, outputs, source = row[13], row[14], row[15]
        last = deeds[-1] if deeds else None
        policy = json.loads(row[12])["policy"]
        self._who_bears(row, deeds)
        if outcome in ("provider_error", "provider_timeout", "refused", "cancelled", "expired"):
            claim(charge == 0 and waived == 0, f"policy: {hold_id} ended as {outcome} and was charged {charge}")
        if last is None:
            claim(charge == 0, f"policy: {hold_id} was charged {charge} and no provider was called")
            return
        if charge:
            claim(last.taken, f"policy: {hold_id} was charged {charge} for a call nobody took")
            claim(
                bool(last.said)
                or bool(last.usage)
                or outcome == "completed"
                or self._losses.may_be_charged(row[7], policy, row[20]),
                f"policy: {hold_id} was charged {charge} for nothing ({outcome})",
            )
        if outcome == "client_disconnected" and not last.said and not last.ended:
            claim(
                charge == 0 or self._losses.may_be_charged(row[7], policy, row[20]),
                f"policy: {hold_id} left before the first token and was charged {charge} by {policy}",
            )
        if outcome != "completed":
            return
        self._priced(row, last)
        believed = last.usage is not None and last.usage_true
        if believed and last.usage is not None:
            given, made = ("prompt", "completion") if "prompt_tokens" in last.usage else ("input", "output")
            stated = (last.usage[f"{given}_tokens"], last.usage[f"{made}_tokens"])
            model = rules(self._simulation.operator_prices)[0].model(row[7])
            if model.context_max is not None and sum(stated) > 4 * model.context_max * last.choices:
                claim(
                    source == "quarantined" and outputs <= last.output_max,
                    f"policy: {hold_id} used {stated}, which no context holds, and the charge is {source}",
                )
                return
            claim(
                (inputs, outputs) == stated and source == "provider",
                f"policy: {hold_id} used {stated} and was charged for {(inputs, outputs)} by {source}",
            )
        elif last.said:
            own = ("local",) if last.usage is None else ("local", "quarantined")
            claim(source in own, f"policy: {hold_id} has no usage to believe, and the charge is {source}")
            claim(
                inputs == row[19] and 0 < outputs <= last.output_max,
                f"policy: {hold_id} was counted as {(inputs, outputs)}, predicted {row[19]}, cap {last.output_max}",
            )

    def _priced(self, row: tuple[Any, ...], deed: Deed) -> None:
        """Faults F36: the rates are those of the tier that served; of the tier that was asked for if it has none."""
        hold_id, receipt, model, inputs, mode = row[1], json.loads(row[12]), row[7], row[13], row[20]
        if not receipt["lines"]:
            return
        catalogue, prices = rules(self._simulation.operator_prices)
        provider = deed.deployment.partition("/")[0] if mode == "live" else catalogue.model(model).provider
        tiers = prices.tiers(model, AS_OF, provider=provider)
        tier = Tier(deed.stated_tier) if deed.stated_tier in tiers else deed.asked_tier
        claim(row[21] == tier, f"F36: {hold_id} was served as {tier} and is booked as {row[21]}")
        rates = prices.price(model, tier, provider=provider, as_of=AS_OF).rates_for(inputs)
        for line in receipt["lines"]:
            rate = getattr(rates, line["unit"])
            rate = rates.input if rate is None else rate
            stated = _nanos(line["price_per_million"])
            claim(stated == rate, f"F36: {hold_id} pays {stated} for {line['unit']}, {tier} costs {rate}")

    def _who_bears(self, row: tuple[Any, ...], deeds: list[Deed]) -> None:
        """The operator's side: what is paid for costs what the cost rows say; what nobody pays for is a loss."""
        last = deeds[-1] if deeds else None
        hold_id, outcome, price, cost, loss, mode = row[1], row[9], row[10] + row[11], row[17], row[18], row[20]
        if outcome == "expired" and mode == "live":
            likely = json.loads(row[5])["input_predicted_nanos"]
            claim(
                (cost, loss) == (0, likely), f"F21: {hold_id} died unknown, cost {cost} and lost {loss}, not {likely}"
            )
            return
        if mode == "test" or last is None:
            claim(cost == loss == 0, f"policy: the call {hold_id} cost {cost} and lost {loss}")
            return
        expected = self._costs(row, last.deployment.partition("/")[0]) if price else 0
        claim(cost == expected, f"policy: {hold_id} cost {cost}, its provider's rates say {expected}")
        known = last.taken and outcome not in ("expired", "cancelled", "completed")
        claim(not known or price + loss > 0, f"policy: {hold_id} was taken by a provider and cost nobody anything")
        earlier = any(deed.taken for deed in deeds[:-1])
        claim(not price or not loss or earlier, f"policy: {hold_id} is paid for, and lost {loss} all the same")

    def _costs(self, row: tuple[Any, ...], provider: str) -> int:
        model, inputs, outputs, tier, cached = row[7], row[13], row[14], row[21], row[22]
        prices = rules(self._simulation.operator_prices)[1]
        rates = prices.cost(model, Tier(tier), provider=provider, as_of=AS_OF).rates_for(inputs)
        cached_rate = rates.input if rates.cached_input is None else rates.cached_input
        total: int = (inputs - cached) * rates.input + cached * cached_rate + outputs * rates.output
        return -(-total // MILLION)

    # ---- what was promised ------------------------------------------------------------------------------------------

    def sent_upstream(self, call: UpstreamCall) -> None:
        """Faults R1: no byte goes to a provider before a hold is placed, durably."""
        row = self.connection.execute("SELECT state FROM hold WHERE id = ?", (call.request_id,)).fetchone()
        claim(row is not None and row[0] == "open", f"R1: {call.request_id} was sent upstream, its hold is {row}")

    def charged(self, request_id: str, charge_nanos: int) -> None:
        """A reply that names a charge has been sent whole: it must be durable, and the same."""
        found = self._outcomes.get(request_id)
        if found is None:
            found = self._simulation.waiting_in_outbox().get(request_id)
        claim(found is not None, f"a reply said that {request_id} was charged {charge_nanos}, which is not durable")
        assert found is not None
        claim(found[1] == charge_nanos, f"a reply said {charge_nanos} for {request_id}, the ledger says {found[1]}")

    def outcome(self, request_id: str) -> tuple[str, int] | None:
        """How a call ended and what it was charged, once the ledger says so."""
        return self._outcomes.get(request_id)

    def open_holds(self) -> list[tuple[str, str]]:
        """Id and owner of every open hold."""
        return self.connection.execute("SELECT id, owner FROM hold WHERE state = 'open'").fetchall()

    def no_orphans(self, alive: set[str], what: str) -> None:
        """I8, at a moment when every dead process must have been buried."""
        left = [hold for hold, owner in self.open_holds() if owner not in alive]
        claim(not left, f"I8: {what}, and holds of dead processes are open: {left}")

    def everything(self) -> list[tuple[Any, ...]]:
        """All rows that money is made of."""
        return [row for sql in _EVERYTHING for row in self.connection.execute(sql)]


def _nanos(price: str) -> int:
    whole, _, decimals = price.partition(".")
    return int(whole) * NANOS + int((decimals or "0").ljust(9, "0"))
