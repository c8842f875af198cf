-- Where in its wallet's chain of movements an alert was raised: after the movement chain_seq, as the number-th there. Live
-- events are told in this order. NULL for what was raised before places were kept: it is told to nobody any more.
ALTER TABLE notice ADD COLUMN wallet_id INTEGER REFERENCES wallet (id);
ALTER TABLE notice ADD COLUMN chain_seq INTEGER;
ALTER TABLE notice ADD COLUMN number INTEGER;
CREATE UNIQUE INDEX notice_of_wallet ON notice (wallet_id, chain_seq, number);
