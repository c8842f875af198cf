-- Old keys are looked for every ten seconds, while calls wait: without reading all of them.
CREATE INDEX idempotency_age ON idempotency (placed_at_us);
