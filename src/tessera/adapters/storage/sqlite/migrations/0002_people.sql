-- People, what they may do, and what they did. Times end in _at, seconds since 1970. A digest is the hexadecimal HMAC of a
-- secret under the operator's pepper; no secret stands here. Plain types and plain SQL: both engines take these tables.

ALTER TABLE project ADD COLUMN archived_at INTEGER;

-- email is in lower case. A person who was erased keeps the id, which the audit log names, and nothing else.
-- totp_nonce is not the second factor's secret: that is derived from it and the pepper. totp_step is the last one used.
CREATE TABLE person (
    id TEXT PRIMARY KEY,
    email TEXT UNIQUE,
    name TEXT NOT NULL,
    password_hash TEXT,
    is_operator INTEGER NOT NULL DEFAULT 0 CHECK (is_operator IN (0, 1)),
    totp_nonce TEXT,
    totp_confirmed INTEGER NOT NULL DEFAULT 0 CHECK (totp_confirmed IN (0, 1)),
    totp_step INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    erased_at INTEGER,
    CONSTRAINT erased_or_whole CHECK (
        (erased_at IS NULL) = (email IS NOT NULL) AND (erased_at IS NULL) = (password_hash IS NOT NULL)
    )
) STRICT, WITHOUT ROWID;

CREATE TABLE recovery_code (
    digest TEXT PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES person (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX recovery_code_of_person ON recovery_code (person_id);

CREATE TABLE session (
    digest TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    person_id TEXT NOT NULL REFERENCES person (id),
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    address TEXT NOT NULL,
    user_agent TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_of_person ON session (person_id);

-- One-time links: what a person proves by holding one. For a sign-up it carries what becomes the person.
CREATE TABLE link (
    digest TEXT PRIMARY KEY,
    purpose TEXT NOT NULL CHECK (purpose IN ('operator', 'sign_up', 'password_reset')),
    email TEXT,
    name TEXT,
    password_hash TEXT,
    invitation_id TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX link_expiry ON link (expires_at);

-- Tries within a window, counted before they are allowed: sign-in, codes, mail.
CREATE TABLE attempt (
    bucket TEXT NOT NULL,
    window_at INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    PRIMARY KEY (bucket, window_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_window ON attempt (window_at);

CREATE TABLE membership (
    organization_id TEXT NOT NULL REFERENCES organization (id),
    person_id TEXT NOT NULL REFERENCES person (id),
    role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'billing', 'viewer')),
    added_at INTEGER NOT NULL,
    PRIMARY KEY (organization_id, person_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX membership_of_person ON membership (person_id);

CREATE TABLE invitation (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization (id),
    email TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'billing', 'viewer')),
    digest TEXT NOT NULL UNIQUE,
    invited_by TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    accepted_at INTEGER,
    withdrawn_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX invitation_of_organization ON invitation (organization_id, id);
CREATE INDEX invitation_of_email ON invitation (email);

-- A key for administration. Its rights are those its maker has at the time of use; the operator's own has no maker.
CREATE TABLE admin_key (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization (id),
    person_id TEXT REFERENCES person (id),
    name TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,
    display TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX admin_key_of_organization ON admin_key (organization_id, id);

-- Who made an API key over HTTP or in the console; keys made by the operator's commands have no row here.
CREATE TABLE api_key_maker (
    api_key_id TEXT PRIMARY KEY REFERENCES api_key (id),
    person_id TEXT NOT NULL REFERENCES person (id)
) STRICT, WITHOUT ROWID;

-- What was done, by whom, to what. One chain per scope, an organization's id or 'instance'; link covers the link before
-- and details_digest, so that details (which may name people) can be erased and the chain stays whole.
CREATE TABLE audit_event (
    scope TEXT NOT NULL,
    seq INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    actor_kind TEXT NOT NULL CHECK (actor_kind IN ('person', 'admin_key', 'operator', 'nobody')),
    actor_id TEXT NOT NULL,
    action TEXT NOT NULL,
    object_id TEXT NOT NULL,
    details TEXT,
    details_digest TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    link TEXT NOT NULL,
    PRIMARY KEY (scope, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_event_listed ON audit_event (scope, id);

CREATE TABLE audit_head (
    scope TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    link TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER audit_event_stays BEFORE DELETE ON audit_event BEGIN
    SELECT raise(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_event_unchanged BEFORE UPDATE ON audit_event
WHEN new.details IS NOT NULL OR new.scope <> old.scope OR new.seq <> old.seq OR new.id <> old.id
    OR new.actor_kind <> old.actor_kind OR new.actor_id <> old.actor_id OR new.action <> old.action
    OR new.object_id <> old.object_id OR new.details_digest <> old.details_digest OR new.created_at <> old.created_at
    OR new.link <> old.link
BEGIN
    SELECT raise(ABORT, 'the audit log is append-only');
END;
