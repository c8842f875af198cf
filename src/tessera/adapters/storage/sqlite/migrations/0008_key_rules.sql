-- What a key may be used for, as JSON; NULL is anything. Part of the key's signature: a rule cannot be changed unseen.
ALTER TABLE api_key ADD COLUMN rules TEXT;
