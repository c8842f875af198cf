-- When a key was revoked at once: calls that run under it are cut. Not part of the key's signature: it moves no money.
ALTER TABLE api_key ADD COLUMN cut_at INTEGER;
CREATE INDEX api_key_cut ON api_key (id) WHERE cut_at IS NOT NULL;
