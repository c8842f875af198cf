-- People, what they may do, and what they did. Times end in _at, seconds since 1970. A digest is the hexadecimal HMAC of a
-- secret under the operator's pepper; no secret stands here. Plain types and plain SQL: both engines take these tables.

ALTER TABLE project ADD COLUMN archived_at BIGINT;

-- email is in lower case. A person who was erased keeps the id, which the audit log names, and nothing else.
-- totp_nonce is not the second factor's secret: that is derived from it and the pepper. totp_step is the last one used.
CREATE TABLE person (
    id TEXT COLLATE "C" PRIMARY KEY,
    email TEXT COLLATE "C" UNIQUE,
    name TEXT COLLATE "C" NOT NULL,
    password_hash TEXT COLLATE "C",
    is_operator BIGINT NOT NULL DEFAULT 0 CHECK (is_operator IN (0, 1)),
    totp_nonce TEXT COLLATE "C",
    totp_confirmed BIGINT NOT NULL DEFAULT 0 CHECK (totp_confirmed IN (0, 1)),
    totp_step BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    erased_at BIGINT,
    CONSTRAINT erased_or_whole CHECK (
        (erased_at IS NULL) = (email IS NOT NULL) AND (erased_at IS NULL) = (password_hash IS NOT NULL)
    )
);

CREATE TABLE recovery_code (
    digest TEXT COLLATE "C" PRIMARY KEY,
    person_id TEXT COLLATE "C" NOT NULL REFERENCES person (id)
);
CREATE INDEX recovery_code_of_person ON recovery_code (person_id);

CREATE TABLE session (
    digest TEXT COLLATE "C" PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    person_id TEXT COLLATE "C" NOT NULL REFERENCES person (id),
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    user_agent TEXT COLLATE "C" NOT NULL
);
CREATE INDEX session_of_person ON session (person_id);

-- One-time links: what a person proves by holding one. For a sign-up it carries what becomes the person.
CREATE TABLE link (
    digest TEXT COLLATE "C" PRIMARY KEY,
    purpose TEXT COLLATE "C" NOT NULL CHECK (purpose IN ('operator', 'sign_up', 'password_reset')),
    email TEXT COLLATE "C",
    name TEXT COLLATE "C",
    password_hash TEXT COLLATE "C",
    invitation_id TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX link_expiry ON link (expires_at);

-- Tries within a window, counted before they are allowed: sign-in, codes, mail.
CREATE TABLE attempt (
    bucket TEXT COLLATE "C" NOT NULL,
    window_at BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    PRIMARY KEY (bucket, window_at)
);
CREATE INDEX attempt_window ON attempt (window_at);

CREATE TABLE membership (
    organization_id TEXT COLLATE "C" NOT NULL REFERENCES organization (id),
    person_id TEXT COLLATE "C" NOT NULL REFERENCES person (id),
    role TEXT COLLATE "C" NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'billing', 'viewer')),
    added_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, person_id)
);
CREATE INDEX membership_of_person ON membership (person_id);

CREATE TABLE invitation (
    id TEXT COLLATE "C" PRIMARY KEY,
    organization_id TEXT COLLATE "C" NOT NULL REFERENCES organization (id),
    email TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'billing', 'viewer')),
    digest TEXT COLLATE "C" NOT NULL UNIQUE,
    invited_by TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    accepted_at BIGINT,
    withdrawn_at BIGINT
);
CREATE INDEX invitation_of_organization ON invitation (organization_id, id);
CREATE INDEX invitation_of_email ON invitation (email);

-- A key for administration. Its rights are those its maker has at the time of use; the operator's own has no maker.
CREATE TABLE admin_key (
    id TEXT COLLATE "C" PRIMARY KEY,
    organization_id TEXT COLLATE "C" NOT NULL REFERENCES organization (id),
    person_id TEXT COLLATE "C" REFERENCES person (id),
    name TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL UNIQUE,
    display TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX admin_key_of_organization ON admin_key (organization_id, id);

-- Who made an API key over HTTP or in the console; keys made by the operator's commands have no row here.
CREATE TABLE api_key_maker (
    api_key_id TEXT COLLATE "C" PRIMARY KEY REFERENCES api_key (id),
    person_id TEXT COLLATE "C" NOT NULL REFERENCES person (id)
);

-- What was done, by whom, to what. One chain per scope, an organization's id or 'instance'; link covers the link before
-- and details_digest, so that details (which may name people) can be erased and the chain stays whole.
CREATE TABLE audit_event (
    scope TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    actor_kind TEXT COLLATE "C" NOT NULL CHECK (actor_kind IN ('person', 'admin_key', 'operator', 'nobody')),
    actor_id TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    object_id TEXT COLLATE "C" NOT NULL,
    details TEXT COLLATE "C",
    details_digest TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    link TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (scope, seq)
);
CREATE INDEX audit_event_listed ON audit_event (scope, id);

CREATE TABLE audit_head (
    scope TEXT COLLATE "C" PRIMARY KEY,
    seq BIGINT NOT NULL,
    link TEXT COLLATE "C" NOT NULL
);

CREATE FUNCTION refuse_audit_change() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE TRIGGER audit_event_stays BEFORE DELETE ON audit_event FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_event_emptied BEFORE TRUNCATE ON audit_event EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_event_unchanged BEFORE UPDATE ON audit_event FOR EACH ROW
WHEN (new.details IS NOT NULL OR new.scope <> old.scope OR new.seq <> old.seq OR new.id <> old.id
    OR new.actor_kind <> old.actor_kind OR new.actor_id <> old.actor_id OR new.action <> old.action
    OR new.object_id <> old.object_id OR new.details_digest <> old.details_digest OR new.created_at <> old.created_at
    OR new.link <> old.link)
EXECUTE FUNCTION refuse_audit_change();
