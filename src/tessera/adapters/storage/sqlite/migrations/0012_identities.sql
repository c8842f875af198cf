-- Who people are at identity providers (OpenID Connect). issuer and subject never change and are given to nobody else;
-- a person has one identity at an issuer. person.password_hash is '' of who signed up this way and has chosen none.
CREATE TABLE identity (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    person_id TEXT NOT NULL REFERENCES person (id),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject),
    UNIQUE (person_id, issuer)
) STRICT, WITHOUT ROWID;

-- Sign-ins that came back from a provider, so that none comes back twice. While person_id is set, the provider has
-- vouched for that person and their second factor is waited for.
CREATE TABLE provider_sign_in (
    digest TEXT PRIMARY KEY,
    person_id TEXT REFERENCES person (id),
    issuer TEXT,
    subject TEXT,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX provider_sign_in_expiry ON provider_sign_in (expires_at);
