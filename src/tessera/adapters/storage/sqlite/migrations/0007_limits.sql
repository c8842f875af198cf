-- What each key, project and organization has used in each mode, and the limits on it; NULL is no limit. The counters are
-- sums of holds and usage events: held and open of those open, spent of all charges, month and day of the charges settled
-- in the last UTC month (year * 12 + month - 1) and day (days since 1970-01-01) that has any. requests_at_us and
-- tokens_at_us are when a minute's worth is whole again.
CREATE TABLE meter (
    wallet_id INTEGER NOT NULL REFERENCES wallet (id),
    kind TEXT NOT NULL CHECK (kind IN ('key', 'project', 'organization')),
    subject_id TEXT NOT NULL,
    spent_nanos INTEGER NOT NULL DEFAULT 0 CHECK (spent_nanos >= 0),
    held_nanos INTEGER NOT NULL DEFAULT 0 CHECK (held_nanos >= 0),
    open_calls INTEGER NOT NULL DEFAULT 0 CHECK (open_calls >= 0),
    month INTEGER NOT NULL DEFAULT 0,
    month_nanos INTEGER NOT NULL DEFAULT 0 CHECK (month_nanos BETWEEN 0 AND spent_nanos),
    day INTEGER NOT NULL DEFAULT 0,
    day_nanos INTEGER NOT NULL DEFAULT 0 CHECK (day_nanos BETWEEN 0 AND spent_nanos),
    requests_at_us INTEGER NOT NULL DEFAULT 0,
    tokens_at_us INTEGER NOT NULL DEFAULT 0,
    used_at_us INTEGER NOT NULL DEFAULT 0,
    budget_total_nanos INTEGER CHECK (budget_total_nanos >= 0),
    budget_month_nanos INTEGER CHECK (budget_month_nanos >= 0),
    budget_day_nanos INTEGER CHECK (budget_day_nanos >= 0),
    requests_per_minute INTEGER CHECK (requests_per_minute > 0),
    tokens_per_minute INTEGER CHECK (tokens_per_minute > 0),
    concurrent_max INTEGER CHECK (concurrent_max >= 0),
    PRIMARY KEY (wallet_id, kind, subject_id)
) STRICT, WITHOUT ROWID;

-- Raised with every change of a limit, so that whoever keeps meters in memory sees that they are not the same any more.
ALTER TABLE organization ADD COLUMN limits_version INTEGER NOT NULL DEFAULT 0;

-- Every call three times, once for each of its subjects; the month by the civil calendar's arithmetic on days.
CREATE TABLE metered AS
SELECT wallet_id, kind, subject_id, state, amount_nanos, charge_nanos, placed_at_us, day,
    (yoe + era * 400) * 12 + mp + 2 AS month
FROM (
    SELECT dated.*, (5 * doy + 2) / 153 AS mp FROM (
        SELECT aged.*, doe - (365 * yoe + yoe / 4 - yoe / 100) AS doy FROM (
            SELECT counted.*, (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365 AS yoe FROM (
                SELECT called.*, (day + 719468) / 146097 AS era, (day + 719468) % 146097 AS doe FROM (
                    SELECT wallet_id, kind, state, amount_nanos, hold.charge_nanos, placed_at_us,
                        CASE kind WHEN 'key' THEN key_id WHEN 'project' THEN project_id ELSE organization_id END
                            AS subject_id,
                        coalesce(settled_at_us, 0) / 86400000000 AS day
                    FROM hold
                    JOIN wallet ON wallet.id = hold.wallet_id
                    LEFT JOIN usage_event AS event ON event.hold_number = hold.number
                    CROSS JOIN (
                        SELECT 'key' AS kind UNION ALL SELECT 'project' UNION ALL SELECT 'organization'
                    ) AS kinds
                ) AS called
            ) AS counted
        ) AS aged
    ) AS dated
) AS monthly;

INSERT INTO meter (wallet_id, kind, subject_id, spent_nanos, held_nanos, open_calls, used_at_us)
SELECT wallet_id, kind, subject_id, sum(charge_nanos), sum(CASE state WHEN 'open' THEN amount_nanos ELSE 0 END),
    sum(CASE state WHEN 'open' THEN 1 ELSE 0 END), max(placed_at_us)
FROM metered GROUP BY wallet_id, kind, subject_id;

CREATE TABLE metered_last AS
SELECT wallet_id, kind, subject_id, max(day) AS day, max(month) AS month FROM metered WHERE charge_nanos > 0
GROUP BY wallet_id, kind, subject_id;

UPDATE meter SET day = last.day, month = last.month FROM metered_last AS last
WHERE last.wallet_id = meter.wallet_id AND last.kind = meter.kind AND last.subject_id = meter.subject_id;

UPDATE meter SET
    day_nanos = (
        SELECT coalesce(sum(charge_nanos), 0) FROM metered WHERE metered.wallet_id = meter.wallet_id
        AND metered.kind = meter.kind AND metered.subject_id = meter.subject_id AND metered.day = meter.day
    ),
    month_nanos = (
        SELECT coalesce(sum(charge_nanos), 0) FROM metered WHERE metered.wallet_id = meter.wallet_id
        AND metered.kind = meter.kind AND metered.subject_id = meter.subject_id AND metered.month = meter.month
    );

DROP TABLE metered_last;
DROP TABLE metered;
