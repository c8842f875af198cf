-- Letters to people wait in the outbox too, written in the commit that makes them necessary. One belongs to no notice; its
-- target is the address, and its row is gone once it was sent or given up. letter says what it is and the nonce that its
-- link follows from, under a key that is in no database. A column's constraint cannot be changed: the table is made anew.
CREATE TABLE delivery_anew (
    id TEXT PRIMARY KEY,
    notice_id TEXT REFERENCES notice (id),
    kind TEXT NOT NULL CHECK (kind IN ('mail', 'webhook', 'letter')),
    target TEXT NOT NULL,
    letter TEXT,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'given_up')),
    tries INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL,
    error TEXT,
    ended_at INTEGER,
    UNIQUE (notice_id, kind, target),
    CONSTRAINT letter_or_notice CHECK (
        (kind = 'letter') = (notice_id IS NULL) AND (kind = 'letter') = (letter IS NOT NULL)
    ),
    CONSTRAINT letters_only_wait CHECK (kind <> 'letter' OR state = 'waiting')
) STRICT, WITHOUT ROWID;
INSERT INTO delivery_anew (id, notice_id, kind, target, state, tries, next_at, error, ended_at)
SELECT id, notice_id, kind, target, state, tries, next_at, error, ended_at FROM delivery;
DROP TABLE delivery;
ALTER TABLE delivery_anew RENAME TO delivery;
CREATE INDEX delivery_waiting ON delivery (next_at) WHERE state = 'waiting';
CREATE INDEX delivery_to ON delivery (target) WHERE kind = 'letter';
