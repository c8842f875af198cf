-- What an operator entered of a provider. `sealed` is the credential, encrypted under a key that is not in the database
-- and bound to this row's provider, address and id; a new credential has a new id. rejected_at and rejected_status say
-- when the provider last refused it and how: after a 401 it is not used again.
CREATE TABLE provider_credential (
    provider TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    base_url TEXT NOT NULL,
    surfaces TEXT NOT NULL CHECK (surfaces IN ('chat', 'responses', 'chat responses')),
    sealed TEXT NOT NULL,
    key_version INTEGER NOT NULL CHECK (key_version > 0),
    last_four TEXT NOT NULL CHECK (length(last_four) IN (0, 4)),
    created_at INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL CHECK (rotated_at >= created_at),
    set_by_kind TEXT NOT NULL CHECK (set_by_kind IN ('person', 'operator')),
    set_by TEXT NOT NULL,
    rejected_at INTEGER,
    rejected_status INTEGER,
    CHECK ((rejected_at IS NULL) = (rejected_status IS NULL))
) STRICT, WITHOUT ROWID;
