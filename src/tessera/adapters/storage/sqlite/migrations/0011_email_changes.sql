-- A change of a person's e-mail address that waits for the new mailbox: one for each person, the last one asked for.
CREATE TABLE email_change (
    person_id TEXT PRIMARY KEY REFERENCES person (id),
    digest TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
