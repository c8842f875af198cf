-- Money in and out: top-ups, what happened to their payments, vouchers, refunds, automatic top-up.

-- What payment disputes took back, won ones given again: the account `available` is available_nanos less this, and the
-- only way below zero. Lots are not touched: available_nanos stays the sum of what they have remaining.
ALTER TABLE wallet ADD COLUMN disputed_nanos INTEGER NOT NULL DEFAULT 0 CHECK (disputed_nanos >= 0);

-- A third reason for a suspension. A column's constraint cannot be changed: the column is made anew.
ALTER TABLE organization ADD COLUMN suspension TEXT CHECK (suspension IN ('loss', 'operator', 'dispute'));
UPDATE organization SET suspension = suspended_for;
ALTER TABLE organization DROP COLUMN suspended_for;
ALTER TABLE organization RENAME COLUMN suspension TO suspended_for;

-- Movements that belong to no call and open no lot. subject names what they follow from: a claim on a payment, or a request.
-- What a payment's refund takes out of a lot counts there as expired_nanos: gone without being spent. What a charge's refund
-- gives back goes from the lot's spent_nanos to its remaining_nanos.
CREATE TABLE adjustment (
    id TEXT PRIMARY KEY,
    wallet_id INTEGER NOT NULL REFERENCES wallet (id),
    lot_id TEXT REFERENCES lot (id),
    kind TEXT NOT NULL CHECK (kind IN (
        'payment_refund', 'payment_refund_failed', 'dispute', 'dispute_won', 'charge_refund'
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
CREATE INDEX adjustment_of_wallet ON adjustment (wallet_id, id);
CREATE UNIQUE INDEX adjustment_once ON adjustment (subject, kind, from_account, coalesce(lot_id, ''));

-- A top-up: asked for once per idempotency key, paid at most once, by a payment that pays nothing else.
CREATE TABLE topup (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization (id),
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    service TEXT NOT NULL CHECK (service IN ('stripe', 'sandbox')),
    kind TEXT NOT NULL CHECK (kind IN ('checkout', 'automatic')),
    amount_nanos INTEGER NOT NULL CHECK (amount_nanos > 0 AND amount_nanos % 10000000 = 0),
    idempotency_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('created', 'open', 'paid', 'failed', 'expired')),
    save_card INTEGER NOT NULL DEFAULT 0 CHECK (save_card IN (0, 1)),
    session_id TEXT UNIQUE,
    url TEXT,
    payment_id TEXT,
    lot_id TEXT UNIQUE REFERENCES lot (id),
    failure TEXT,
    created_at INTEGER NOT NULL,
    paid_at INTEGER,
    UNIQUE (organization_id, mode, idempotency_key),
    CONSTRAINT paid_into_a_lot CHECK (
        (state = 'paid') = (lot_id IS NOT NULL) AND (state = 'paid') = (paid_at IS NOT NULL)
        AND (state <> 'paid' OR payment_id IS NOT NULL)
    )
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX topup_payment ON topup (service, payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX topup_of_organization ON topup (organization_id, mode, id);
CREATE UNIQUE INDEX topup_automatic_open ON topup (organization_id, mode)
    WHERE kind = 'automatic' AND state IN ('created', 'open');

-- A payment as its service names it: whoever decides anything about it writes here first, so that what is told of one
-- payment at the same time is decided in some order, on any number of replicas.
CREATE TABLE payment (
    service TEXT NOT NULL,
    id TEXT NOT NULL,
    touched_at INTEGER NOT NULL,
    PRIMARY KEY (service, id)
) STRICT, WITHOUT ROWID;

-- What a payment service told us, byte for byte, and what came of it.
CREATE TABLE payment_event (
    service TEXT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    body BLOB NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('applied', 'repeated', 'waiting', 'ignored', 'refused')),
    reason TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (service, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX payment_event_received ON payment_event (received_at);

-- A refund or a dispute of a payment. One that comes before its payment waits for it; reversed: the refund failed, or the
-- dispute was won.
CREATE TABLE payment_claim (
    service TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('refund', 'dispute')),
    payment_id TEXT NOT NULL,
    amount_nanos INTEGER NOT NULL CHECK (amount_nanos > 0),
    state TEXT NOT NULL CHECK (state IN ('waiting', 'applied', 'reversed')),
    note TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (service, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX payment_claim_of_payment ON payment_claim (service, payment_id);

-- A refund of a call's charge: once per call, never more than was charged.
CREATE TABLE charge_refund (
    hold_number INTEGER PRIMARY KEY REFERENCES hold (number),
    charge_nanos INTEGER NOT NULL,
    amount_nanos INTEGER NOT NULL CHECK (amount_nanos > 0),
    note TEXT NOT NULL,
    refunded_at INTEGER NOT NULL,
    CONSTRAINT refund_within_charge CHECK (amount_nanos <= charge_nanos)
) STRICT, WITHOUT ROWID;

-- A voucher is known by the HMAC of its code. credit_seconds is how long its credit lasts once redeemed; NULL: for ever.
CREATE TABLE voucher (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    display TEXT NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    amount_nanos INTEGER NOT NULL CHECK (amount_nanos > 0),
    redemptions_max INTEGER NOT NULL CHECK (redemptions_max > 0),
    redemptions INTEGER NOT NULL DEFAULT 0,
    expires_at INTEGER,
    credit_seconds INTEGER CHECK (credit_seconds > 0),
    note TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    CONSTRAINT redeemed_within_bounds CHECK (redemptions >= 0 AND redemptions <= redemptions_max)
) STRICT, WITHOUT ROWID;

CREATE TABLE voucher_redemption (
    voucher_id TEXT NOT NULL REFERENCES voucher (id),
    organization_id TEXT NOT NULL REFERENCES organization (id),
    lot_id TEXT NOT NULL UNIQUE REFERENCES lot (id),
    redeemed_at INTEGER NOT NULL,
    PRIMARY KEY (voucher_id, organization_id)
) STRICT, WITHOUT ROWID;

-- Automatic top-up by a card saved at the payment service. customer_id is the service's name for who saved it.
CREATE TABLE automatic_topup (
    organization_id TEXT NOT NULL REFERENCES organization (id),
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    customer_id TEXT,
    enabled INTEGER NOT NULL DEFAULT 0 CHECK (enabled IN (0, 1)),
    threshold_nanos INTEGER NOT NULL DEFAULT 0 CHECK (threshold_nanos >= 0),
    amount_nanos INTEGER NOT NULL DEFAULT 0 CHECK (amount_nanos >= 0),
    month_max_nanos INTEGER NOT NULL DEFAULT 0 CHECK (month_max_nanos >= 0),
    failure TEXT,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (organization_id, mode),
    CONSTRAINT enabled_with_a_card CHECK (enabled = 0 OR (customer_id IS NOT NULL AND amount_nanos > 0))
) STRICT, WITHOUT ROWID;

-- How often each comparison with a payment service's lists ran, and what it found last.
CREATE TABLE payment_comparison (
    service TEXT NOT NULL,
    mode TEXT NOT NULL,
    compared_at INTEGER NOT NULL,
    found TEXT NOT NULL,
    PRIMARY KEY (service, mode)
) STRICT, WITHOUT ROWID;

DROP VIEW entry;
DROP VIEW transfer;
DROP VIEW account;

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
UNION ALL SELECT id, 'cash', cash_nanos + disputed_nanos FROM wallet
UNION ALL SELECT id, 'promotions', promotions_nanos FROM wallet
UNION ALL SELECT id, 'provider_cost', provider_cost_nanos FROM wallet
UNION ALL SELECT id, 'provider_payable', provider_payable_nanos FROM wallet
UNION ALL SELECT id, 'operator_loss', operator_loss_nanos FROM wallet;
