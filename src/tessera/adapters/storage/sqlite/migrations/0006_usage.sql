-- What was used, added up in the commit of the settle that ends a call, so that a report never reads single calls.

-- What calls are told apart by. A series is made by its first call and never changes.
CREATE TABLE usage_series (
    id INTEGER PRIMARY KEY,
    wallet_id INTEGER NOT NULL REFERENCES wallet (id),
    project_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    model TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    tier TEXT NOT NULL,
    UNIQUE (wallet_id, project_id, key_id, model, endpoint, tier)
) STRICT;

-- The exact sums of a series' usage events settled in the width_s seconds from start_at on (UTC): a minute, an hour, a
-- day. first_number and last_number bound the holds behind them. No foreign keys: rows are written with every settle.
CREATE TABLE usage_sum (
    wallet_id INTEGER NOT NULL,
    width_s INTEGER NOT NULL CHECK (width_s IN (60, 3600, 86400)),
    start_at INTEGER NOT NULL,
    series_id INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    input_image_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    output_image_tokens INTEGER NOT NULL,
    charge_nanos INTEGER NOT NULL,
    cost_nanos INTEGER NOT NULL,
    first_number INTEGER NOT NULL,
    last_number INTEGER NOT NULL,
    PRIMARY KEY (wallet_id, width_s, start_at, series_id)
) STRICT, WITHOUT ROWID;

INSERT INTO usage_series (wallet_id, project_id, key_id, model, endpoint, tier)
SELECT DISTINCT wallet_id, project_id, key_id, model, endpoint, served_tier
FROM usage_event JOIN hold ON hold.number = hold_number;

INSERT INTO usage_sum
SELECT hold.wallet_id, 60, settled_at_us / 60000000 * 60, series.id, count(*), sum(input_tokens),
    sum(cached_input_tokens), sum(cache_write_tokens), sum(input_image_tokens), sum(output_tokens),
    sum(reasoning_tokens), sum(output_image_tokens), sum(event.charge_nanos), sum(cost_nanos), min(number), max(number)
FROM usage_event AS event JOIN hold ON hold.number = hold_number
JOIN usage_series AS series ON series.wallet_id = hold.wallet_id AND series.project_id = hold.project_id
    AND series.key_id = hold.key_id AND series.model = hold.model AND series.endpoint = hold.endpoint
    AND series.tier = served_tier
GROUP BY hold.wallet_id, settled_at_us / 60000000 * 60, series.id;

INSERT INTO usage_sum
SELECT wallet_id, 3600, start_at / 3600 * 3600, series_id, sum(requests), sum(input_tokens), sum(cached_input_tokens),
    sum(cache_write_tokens), sum(input_image_tokens), sum(output_tokens), sum(reasoning_tokens),
    sum(output_image_tokens), sum(charge_nanos), sum(cost_nanos), min(first_number), max(last_number)
FROM usage_sum WHERE width_s = 60 GROUP BY wallet_id, start_at / 3600 * 3600, series_id;

INSERT INTO usage_sum
SELECT wallet_id, 86400, start_at / 86400 * 86400, series_id, sum(requests), sum(input_tokens), sum(cached_input_tokens),
    sum(cache_write_tokens), sum(input_image_tokens), sum(output_tokens), sum(reasoning_tokens),
    sum(output_image_tokens), sum(charge_nanos), sum(cost_nanos), min(first_number), max(last_number)
FROM usage_sum WHERE width_s = 3600 GROUP BY wallet_id, start_at / 86400 * 86400, series_id;
