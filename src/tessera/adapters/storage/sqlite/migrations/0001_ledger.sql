-- Money is integer nano-dollars (…_nanos). Times end in _at (seconds since 1970) or _at_us (microseconds).
-- Rows of hold, usage_event and credit are never deleted; their links chain them per wallet, in chain_seq order.

CREATE TABLE organization (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    suspended INTEGER NOT NULL DEFAULT 0 CHECK (suspended IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE project (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization (id),
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (organization_id, name)
) STRICT, WITHOUT ROWID;

-- An API key is known by the HMAC of its secret only. signature pins whose money the key may spend.
CREATE TABLE api_key (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization (id),
    project_id TEXT NOT NULL REFERENCES project (id),
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    name TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    display TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    signature BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per organization and mode: the customer's accounts, the operator's accounts of this organization, and the
-- signed end of the hash chain. Every movement takes from one account what it gives another.
CREATE TABLE wallet (
    id INTEGER PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization (id),
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    available_nanos INTEGER NOT NULL DEFAULT 0 CHECK (available_nanos >= 0),
    held_nanos INTEGER NOT NULL DEFAULT 0 CHECK (held_nanos >= 0),
    revenue_nanos INTEGER NOT NULL DEFAULT 0,
    cash_nanos INTEGER NOT NULL DEFAULT 0,
    promotions_nanos INTEGER NOT NULL DEFAULT 0,
    provider_cost_nanos INTEGER NOT NULL DEFAULT 0,
    provider_payable_nanos INTEGER NOT NULL DEFAULT 0,
    operator_loss_nanos INTEGER NOT NULL DEFAULT 0,
    chain_seq INTEGER NOT NULL DEFAULT 0,
    chain_link BLOB NOT NULL CHECK (length(chain_link) = 32),
    signature BLOB NOT NULL CHECK (length(signature) = 32),
    UNIQUE (organization_id, mode),
    CONSTRAINT entries_sum_to_zero CHECK (
        available_nanos + held_nanos + revenue_nanos + cash_nanos + promotions_nanos
        + provider_cost_nanos + provider_payable_nanos + operator_loss_nanos = 0
    )
) STRICT;

CREATE TABLE lot (
    id TEXT PRIMARY KEY,
    wallet_id INTEGER NOT NULL REFERENCES wallet (id),
    kind TEXT NOT NULL CHECK (kind IN ('purchase', 'promotion', 'manual')),
    amount_nanos INTEGER NOT NULL CHECK (amount_nanos > 0),
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    remaining_nanos INTEGER NOT NULL CHECK (remaining_nanos >= 0),
    held_nanos INTEGER NOT NULL DEFAULT 0 CHECK (held_nanos >= 0),
    spent_nanos INTEGER NOT NULL DEFAULT 0 CHECK (spent_nanos >= 0),
    expired_nanos INTEGER NOT NULL DEFAULT 0 CHECK (expired_nanos >= 0),
    CONSTRAINT lot_adds_up CHECK (remaining_nanos + held_nanos + spent_nanos + expired_nanos = amount_nanos)
) STRICT, WITHOUT ROWID;
CREATE INDEX lot_of_wallet ON lot (wallet_id, created_at);

-- Movements that belong to no call: credit added to a lot, and what of a lot expired.
CREATE TABLE credit (
    id TEXT PRIMARY KEY,
    wallet_id INTEGER NOT NULL REFERENCES wallet (id),
    lot_id TEXT NOT NULL REFERENCES lot (id),
    kind TEXT NOT NULL CHECK (kind IN ('purchase', 'promotion', 'manual', 'expiry')),
    from_account TEXT NOT NULL,
    to_account TEXT NOT NULL CHECK (to_account <> from_account),
    amount_nanos INTEGER NOT NULL CHECK (amount_nanos > 0),
    expires_at INTEGER,
    note TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    chain_seq INTEGER NOT NULL,
    chain_link BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX credit_of_wallet ON credit (wallet_id, id);
CREATE UNIQUE INDEX credit_opens_lot ON credit (lot_id) WHERE kind <> 'expiry';

-- number is shared with usage_event, so that a call's two rows meet by integer. Everything up to chain_link is
-- written once; state and charge_nanos change once, when the hold is resolved.
CREATE TABLE hold (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    wallet_id INTEGER NOT NULL REFERENCES wallet (id),
    project_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    amount_nanos INTEGER NOT NULL CHECK (amount_nanos >= 0),
    asked_nanos INTEGER NOT NULL CHECK (asked_nanos >= amount_nanos),
    asked_min_nanos INTEGER NOT NULL CHECK (asked_min_nanos <= amount_nanos),
    draws TEXT NOT NULL,
    idempotency_key TEXT,
    fingerprint BLOB NOT NULL,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    stream INTEGER NOT NULL CHECK (stream IN (0, 1)),
    owner TEXT NOT NULL,
    placed_at_us INTEGER NOT NULL,
    chain_seq INTEGER NOT NULL,
    chain_link BLOB NOT NULL,
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'settled', 'released', 'expired')),
    charge_nanos INTEGER NOT NULL DEFAULT 0 CHECK (charge_nanos >= 0),
    UNIQUE (wallet_id, id),
    CONSTRAINT charge_within_hold CHECK (charge_nanos <= amount_nanos)
) STRICT;
CREATE INDEX hold_open ON hold (owner) WHERE state = 'open';

-- The quote a hold was placed on, apart from the hold: the row that changes when a call ends stays small.
CREATE TABLE hold_quote (
    hold_number INTEGER PRIMARY KEY REFERENCES hold (number),
    quote BLOB NOT NULL
) STRICT;

CREATE TABLE usage_event (
    hold_number INTEGER PRIMARY KEY REFERENCES hold (number),
    outcome TEXT NOT NULL,
    status INTEGER NOT NULL,
    deployment TEXT NOT NULL,
    served_tier TEXT NOT NULL,
    price_version TEXT NOT NULL,
    input_tokens INTEGER NOT NULL CHECK (input_tokens >= 0),
    cached_input_tokens INTEGER NOT NULL CHECK (cached_input_tokens >= 0),
    cache_write_tokens INTEGER NOT NULL CHECK (cache_write_tokens >= 0),
    input_image_tokens INTEGER NOT NULL CHECK (input_image_tokens >= 0),
    output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
    reasoning_tokens INTEGER NOT NULL CHECK (reasoning_tokens >= 0),
    output_image_tokens INTEGER NOT NULL CHECK (output_image_tokens >= 0),
    usage_source TEXT NOT NULL,
    predicted_input_tokens INTEGER NOT NULL,
    predicted_image_tokens INTEGER NOT NULL,
    charge_nanos INTEGER NOT NULL CHECK (charge_nanos >= 0),
    waived_nanos INTEGER NOT NULL CHECK (waived_nanos >= 0),
    cost_nanos INTEGER NOT NULL CHECK (cost_nanos >= 0),
    loss_nanos INTEGER NOT NULL CHECK (loss_nanos >= 0),
    charge BLOB NOT NULL,
    attempts BLOB NOT NULL,
    settled_at_us INTEGER NOT NULL,
    latency_ms INTEGER NOT NULL,
    first_byte_ms INTEGER,
    chain_seq INTEGER NOT NULL,
    chain_link BLOB NOT NULL
) STRICT;

-- Only keys that clients sent. The finished reply is here when it was kept; rows go after the retention time.
CREATE TABLE idempotency (
    wallet_id INTEGER NOT NULL REFERENCES wallet (id),
    key TEXT NOT NULL,
    hold_number INTEGER NOT NULL REFERENCES hold (number),
    fingerprint BLOB NOT NULL,
    placed_at_us INTEGER NOT NULL,
    status INTEGER,
    content_type TEXT,
    body BLOB,
    PRIMARY KEY (wallet_id, key)
) STRICT;
CREATE UNIQUE INDEX idempotency_of_hold ON idempotency (hold_number);

CREATE TABLE quote (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    mode TEXT NOT NULL,
    model TEXT NOT NULL,
    max_nanos INTEGER NOT NULL,
    price_version TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    expires_at_us INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX quote_expiry ON quote (expires_at_us);

-- Processes that place holds. heartbeat_at_us shows life to whoever cannot see the process's lock file.
CREATE TABLE process (
    owner TEXT PRIMARY KEY,
    started_at_us INTEGER NOT NULL,
    heartbeat_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Settlements that came too late or did not fit their hold: for reconciliation, never applied by themselves.
CREATE TABLE refused_settlement (
    number INTEGER PRIMARY KEY,
    hold_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    event BLOB NOT NULL,
    refused_at_us INTEGER NOT NULL,
    UNIQUE (hold_id, event)
) STRICT;

-- Which lots a hold drew on, and what of each draw was charged: draws pay in order until the charge is paid.
CREATE VIEW lot_draw AS
SELECT
    hold.number AS hold_number,
    hold.wallet_id AS wallet_id,
    hold.state AS state,
    json_extract(draw.value, '$[0]') AS lot_id,
    json_extract(draw.value, '$[1]') AS amount_nanos,
    max(0, min(json_extract(draw.value, '$[1]'), hold.charge_nanos - coalesce((
        SELECT sum(json_extract(earlier.value, '$[1]')) FROM json_each(hold.draws) AS earlier WHERE earlier.key < draw.key
    ), 0))) AS charge_nanos
FROM hold, json_each(hold.draws) AS draw;

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
SELECT id, wallet_id, kind, from_account, to_account, amount_nanos, NULL, created_at_us FROM credit;

CREATE VIEW entry AS
SELECT id AS transfer_id, wallet_id, kind, from_account AS account, -amount_nanos AS amount_nanos, request_id,
    created_at_us
FROM transfer
UNION ALL
SELECT id, wallet_id, kind, to_account, amount_nanos, request_id, created_at_us FROM transfer;

CREATE VIEW account AS
SELECT id AS wallet_id, 'available' AS account, available_nanos AS balance_nanos FROM wallet
UNION ALL SELECT id, 'held', held_nanos FROM wallet
UNION ALL SELECT id, 'revenue', revenue_nanos FROM wallet
UNION ALL SELECT id, 'cash', cash_nanos FROM wallet
UNION ALL SELECT id, 'promotions', promotions_nanos FROM wallet
UNION ALL SELECT id, 'provider_cost', provider_cost_nanos FROM wallet
UNION ALL SELECT id, 'provider_payable', provider_payable_nanos FROM wallet
UNION ALL SELECT id, 'operator_loss', operator_loss_nanos FROM wallet;
