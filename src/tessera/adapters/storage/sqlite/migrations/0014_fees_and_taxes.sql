-- What payment services keep of payments, and tax that is collected with them.

-- The accounts `fees` and `tax` stand beside the others, as disputes do: the account `cash` is cash_nanos less both.
-- fees is an expense, below zero like every other; tax is owed to the state.
ALTER TABLE wallet ADD COLUMN fees_nanos INTEGER NOT NULL DEFAULT 0;
ALTER TABLE wallet ADD COLUMN tax_nanos INTEGER NOT NULL DEFAULT 0 CHECK (tax_nanos >= 0);

-- taxed: the page was opened to collect tax. tax_nanos came beside amount_nanos, which is what was credited. fee_due_at is
-- when the service is asked for its fee next; NULL once it is known, or not asked for.
ALTER TABLE topup ADD COLUMN taxed INTEGER NOT NULL DEFAULT 0 CHECK (taxed IN (0, 1));
ALTER TABLE topup ADD COLUMN tax_nanos INTEGER NOT NULL DEFAULT 0 CHECK (
    tax_nanos >= 0 AND tax_nanos % 10000000 = 0 AND (tax_nanos = 0 OR taxed = 1)
);
ALTER TABLE topup ADD COLUMN fee_due_at INTEGER;
CREATE INDEX topup_fee_due ON topup (fee_due_at) WHERE fee_due_at IS NOT NULL;

-- A fee as the service booked it: id is its balance transaction. Below zero: given back. One that is told before its
-- payment waits for it; mode is what its news proved, and a payment of the other mode never gets it.
CREATE TABLE payment_fee (
    service TEXT NOT NULL,
    id TEXT NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    payment_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('charge', 'dispute')),
    amount_nanos INTEGER NOT NULL,
    charged_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'booked')),
    PRIMARY KEY (service, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX payment_fee_of_payment ON payment_fee (service, payment_id);

-- More kinds of movements. A column's constraint cannot be changed: the table is made anew, its rows as they are.
DROP VIEW entry;
DROP VIEW transfer;
DROP VIEW account;

CREATE TABLE adjustment_anew (
    id TEXT PRIMARY KEY,
    wallet_id INTEGER NOT NULL REFERENCES wallet (id),
    lot_id TEXT REFERENCES lot (id),
    kind TEXT NOT NULL CHECK (kind IN (
        'payment_refund', 'payment_refund_failed', 'dispute', 'dispute_won', 'charge_refund', 'tax', 'fee',
        'fee_returned'
    )),
    from_account TEXT NOT NULL,
    to_account TEXT NOT NULL CHECK (to_account <> from_account),
    amount_nanos INTEGER NOT NULL CHECK (amount_nanos > 0),
    subject TEXT NOT NULL,
    note TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    chain_seq INTEGER NOT NULL,
    chain_link BLOB NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO adjustment_anew SELECT id, wallet_id, lot_id, kind, from_account, to_account, amount_nanos, subject, note,
    created_at_us, chain_seq, chain_link FROM adjustment;
DROP TABLE adjustment;
ALTER TABLE adjustment_anew RENAME TO adjustment;
CREATE INDEX adjustment_of_wallet ON adjustment (wallet_id, id);
CREATE UNIQUE INDEX adjustment_once ON adjustment (subject, kind, from_account, to_account, coalesce(lot_id, ''));
CREATE INDEX adjustment_fees ON adjustment (created_at_us) WHERE kind IN ('fee', 'fee_returned');

CREATE VIEW transfer AS
SELECT id || '.hold' AS id, wallet_id, 'hold' AS kind, 'available' AS from_account, 'held' AS to_account,
    amount_nanos, id AS request_id, placed_at_us AS created_at_us
FROM hold WHERE amount_nanos > 0
UNION ALL
SELECT hold.id || '.settle', wallet_id, 'settle', 'held', 'revenue', event.charge_nanos, hold.id, event.settled_at_us
FROM usage_event AS event JOIN hold ON hold.number = event.hold_number WHERE event.charge_nanos > 0
UNION ALL
SELECT hold.id || '.release', wallet_id, 'release', 'held', 'available', hold.amount_nanos - event.charge_nanos,
    hold.id, event.settled_at_us
FROM usage_event AS event JOIN hold ON hold.number = event.hold_number WHERE hold.amount_nanos <> event.charge_nanos
UNION ALL
SELECT hold.id || '.cost', wallet_id, 'cost', 'provider_cost', 'provider_payable', event.cost_nanos, hold.id,
    event.settled_at_us
FROM usage_event AS event JOIN hold ON hold.number = event.hold_number WHERE event.cost_nanos > 0
UNION ALL
SELECT hold.id || '.loss', wallet_id, 'loss', 'operator_loss', 'provider_payable', event.loss_nanos, hold.id,
    event.settled_at_us
FROM usage_event AS event JOIN hold ON hold.number = event.hold_number WHERE event.loss_nanos > 0
UNION ALL
SELECT id, wallet_id, kind, from_account, to_account, amount_nanos, NULL, created_at_us FROM credit
UNION ALL
SELECT id, wallet_id, kind, from_account, to_account, amount_nanos,
    CASE WHEN kind = 'charge_refund' THEN subject END, created_at_us
FROM adjustment;

CREATE VIEW entry AS
SELECT id AS transfer_id, wallet_id, kind, from_account AS account, -amount_nanos AS amount_nanos, request_id,
    created_at_us
FROM transfer
UNION ALL
SELECT id, wallet_id, kind, to_account, amount_nanos, request_id, created_at_us FROM transfer;

CREATE VIEW account AS
SELECT id AS wallet_id, 'available' AS account, available_nanos - disputed_nanos AS balance_nanos FROM wallet
UNION ALL SELECT id, 'held', held_nanos FROM wallet
UNION ALL SELECT id, 'revenue', revenue_nanos FROM wallet
UNION ALL SELECT id, 'cash', cash_nanos + disputed_nanos - fees_nanos - tax_nanos FROM wallet
UNION ALL SELECT id, 'promotions', promotions_nanos FROM wallet
UNION ALL SELECT id, 'provider_cost', provider_cost_nanos FROM wallet
UNION ALL SELECT id, 'provider_payable', provider_payable_nanos FROM wallet
UNION ALL SELECT id, 'operator_loss', operator_loss_nanos FROM wallet
UNION ALL SELECT id, 'fees', fees_nanos FROM wallet
UNION ALL SELECT id, 'tax', tax_nanos FROM wallet;
