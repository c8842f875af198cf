-- Credit that an operator gives over HTTP. Beyond what one operator may give alone, it waits for another one: then
-- approved_by is not made_by. One that waits past approve_until has expired; no row says so.
CREATE TABLE manual_credit (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization (id),
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    kind TEXT NOT NULL CHECK (kind IN ('manual', 'promotion')),
    amount_nanos INTEGER NOT NULL CHECK (amount_nanos > 0),
    note TEXT NOT NULL,
    credit_expires_at INTEGER,
    state TEXT NOT NULL CHECK (state IN ('pending', 'given', 'withdrawn')),
    made_by TEXT NOT NULL REFERENCES person (id),
    made_at INTEGER NOT NULL,
    approve_until INTEGER NOT NULL,
    approved_by TEXT REFERENCES person (id),
    lot_id TEXT UNIQUE REFERENCES lot (id),
    idempotency_key TEXT NOT NULL,
    UNIQUE (made_by, idempotency_key),
    CONSTRAINT given_is_a_lot CHECK ((state = 'given') = (lot_id IS NOT NULL)),
    CONSTRAINT two_persons CHECK (approved_by IS NULL OR (state = 'given' AND approved_by <> made_by))
) STRICT, WITHOUT ROWID;
CREATE INDEX manual_credit_of_person ON manual_credit (made_by, made_at);
