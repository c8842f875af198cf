-- What refunds are still owed by running calls.

-- A refund that Tessera did not make may find its payment's credit held by running calls. It waits for left_nanos of that,
-- which stands on the account `owed` and in the wallet's disputed_nanos, so that no other call holds it once it came back:
-- the account `available` is available_nanos less disputed_nanos and more what is owed.
-- The rest of amount_nanos was collected, is the operator's loss, or is owed no more because the refund failed.
CREATE TABLE owed_refund (
    service TEXT NOT NULL,
    id TEXT NOT NULL,
    wallet_id INTEGER NOT NULL REFERENCES wallet (id),
    lot_id TEXT NOT NULL REFERENCES lot (id),
    amount_nanos INTEGER NOT NULL CHECK (amount_nanos > 0),
    left_nanos INTEGER NOT NULL,
    created_at_us INTEGER NOT NULL,
    PRIMARY KEY (service, id),
    FOREIGN KEY (service, id) REFERENCES payment_claim (service, id),
    CONSTRAINT owed_once CHECK (left_nanos >= 0 AND left_nanos <= amount_nanos)
) STRICT, WITHOUT ROWID;
CREATE INDEX owed_refund_left ON owed_refund (wallet_id) WHERE left_nanos > 0;

-- The calls that it waits for, and what each drew on credit that was paid for. A row goes once its call has ended.
CREATE TABLE owed_draw (
    service TEXT NOT NULL,
    refund_id TEXT NOT NULL,
    hold_number INTEGER NOT NULL REFERENCES hold (number),
    lot_id TEXT NOT NULL REFERENCES lot (id),
    amount_nanos INTEGER NOT NULL CHECK (amount_nanos > 0),
    PRIMARY KEY (service, refund_id, hold_number, lot_id),
    FOREIGN KEY (service, refund_id) REFERENCES owed_refund (service, id)
) STRICT, WITHOUT ROWID;

-- Two more kinds of movements: what a refund collects when calls end, and what it does not get. A refund may collect as often
-- as calls end: what bounds it is owed_once. A column's constraint cannot be changed: the table is made anew, its rows as they are.
DROP VIEW entry;
DROP VIEW transfer;
DROP VIEW account;

CREATE TABLE adjustment_anew (
    id TEXT PRIMARY KEY,
    wallet_id INTEGER NOT NULL REFERENCES wallet (id),
    lot_id TEXT REFERENCES lot (id),
    kind TEXT NOT NULL CHECK (kind IN (
        'payment_refund', 'payment_refund_failed', 'dispute', 'dispute_won', 'charge_refund', 'tax', 'fee',
        'fee_returned', 'refund_collected', 'refund_lost'
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
CREATE UNIQUE INDEX adjustment_once ON adjustment (subject, kind, from_account, to_account, coalesce(lot_id, ''))
    WHERE kind NOT IN ('refund_collected', 'refund_lost');
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

CREATE VIEW owed AS
SELECT wallet_id, CAST(sum(left_nanos) AS INTEGER) AS nanos FROM owed_refund WHERE left_nanos > 0 GROUP BY wallet_id;

CREATE VIEW account AS
SELECT wallet.id AS wallet_id, 'available' AS account,
    available_nanos - disputed_nanos + coalesce(owed.nanos, 0) AS balance_nanos
FROM wallet LEFT JOIN owed ON owed.wallet_id = wallet.id
UNION ALL SELECT id, 'held', held_nanos FROM wallet
UNION ALL SELECT id, 'revenue', revenue_nanos FROM wallet
UNION ALL SELECT id, 'cash', cash_nanos + disputed_nanos - fees_nanos - tax_nanos FROM wallet
UNION ALL SELECT id, 'promotions', promotions_nanos FROM wallet
UNION ALL SELECT id, 'provider_cost', provider_cost_nanos FROM wallet
UNION ALL SELECT id, 'provider_payable', provider_payable_nanos FROM wallet
UNION ALL SELECT id, 'operator_loss', operator_loss_nanos FROM wallet
UNION ALL SELECT id, 'fees', fees_nanos FROM wallet
UNION ALL SELECT id, 'tax', tax_nanos FROM wallet
UNION ALL SELECT wallet.id, 'owed', -coalesce(owed.nanos, 0) FROM wallet LEFT JOIN owed ON owed.wallet_id = wallet.id;
