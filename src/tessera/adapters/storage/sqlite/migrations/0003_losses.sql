-- Why an organization is suspended: 'loss' (its losses went past a day's limit) or 'operator'; NULL when it is not.
ALTER TABLE organization ADD COLUMN suspended_for TEXT CHECK (suspended_for IN ('loss', 'operator'));

UPDATE organization SET suspended_for = 'operator' WHERE suspended = 1;

-- What the operator lost on a wallet on a day (days since 1970-01-01, UTC, by settled_at_us): the sum of its usage
-- events' losses. left_… are those of calls that their client left before any output, free: their charge names the policy
-- left-before-output. forgiven_nanos is what had been lost when a suspension was last lifted.
CREATE TABLE loss_day (
    wallet_id INTEGER NOT NULL REFERENCES wallet (id),
    day INTEGER NOT NULL,
    loss_nanos INTEGER NOT NULL CHECK (loss_nanos >= 0),
    forgiven_nanos INTEGER NOT NULL DEFAULT 0 CHECK (forgiven_nanos BETWEEN 0 AND loss_nanos),
    left_calls INTEGER NOT NULL DEFAULT 0 CHECK (left_calls >= 0),
    left_loss_nanos INTEGER NOT NULL DEFAULT 0 CHECK (left_loss_nanos BETWEEN 0 AND loss_nanos),
    PRIMARY KEY (wallet_id, day)
) STRICT, WITHOUT ROWID;

-- Losses from before there was a limit stand in the day's sum and are forgiven.
INSERT INTO loss_day (wallet_id, day, loss_nanos, forgiven_nanos)
SELECT wallet_id, settled_at_us / 86400000000, sum(loss_nanos), sum(loss_nanos)
FROM usage_event AS event JOIN hold ON hold.number = event.hold_number WHERE loss_nanos > 0
GROUP BY wallet_id, settled_at_us / 86400000000;
