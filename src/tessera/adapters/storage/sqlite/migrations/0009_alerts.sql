-- What an organization wants to be told of. raised_in is the number of the period in which it was last raised (0 where
-- there is none), NULL while the value has not crossed the threshold.
CREATE TABLE alert (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization (id),
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    kind TEXT NOT NULL CHECK (kind IN ('budget', 'spend', 'balance')),
    subject_kind TEXT NOT NULL CHECK (subject_kind IN ('key', 'project', 'organization')),
    subject_id TEXT NOT NULL,
    period TEXT NOT NULL CHECK (period IN ('total', 'month', 'day')),
    percent INTEGER CHECK (percent BETWEEN 1 AND 100),
    amount_nanos INTEGER CHECK (amount_nanos > 0),
    created_at INTEGER NOT NULL,
    raised_in INTEGER,
    CHECK ((kind = 'budget') = (percent IS NOT NULL)),
    CHECK ((kind = 'budget') = (amount_nanos IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_of_organization ON alert (organization_id, id);

-- An address that hears of alerts. Its secret is derived from the nonce and the pepper, and stands nowhere.
CREATE TABLE webhook (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization (id),
    url TEXT NOT NULL,
    nonce TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_of_organization ON webhook (organization_id, id);

-- An alert that was raised, written in the commit that sets alert.raised_in; it outlives the alert.
CREATE TABLE notice (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization (id),
    data TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX notice_of_organization ON notice (organization_id, id);

-- The outbox: a notice to one receiver, written with the notice. Whoever moves next_at on has taken it for one try.
CREATE TABLE delivery (
    id TEXT PRIMARY KEY,
    notice_id TEXT NOT NULL REFERENCES notice (id),
    kind TEXT NOT NULL CHECK (kind IN ('mail', 'webhook')),
    target TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'given_up')),
    tries INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL,
    error TEXT,
    ended_at INTEGER,
    UNIQUE (notice_id, kind, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_waiting ON delivery (next_at) WHERE state = 'waiting';
