-- Which top-up or payment an event of a payment service tells of: its body names who paid, and is erased with their
-- organization. Of an event that moves nothing here, only that it came is kept.
ALTER TABLE payment_event ADD COLUMN topup_id TEXT;
ALTER TABLE payment_event ADD COLUMN payment_id TEXT;
UPDATE payment_event SET
    topup_id = json_extract(CAST(body AS TEXT), '$.data.object.metadata.tessera_topup'),
    payment_id = coalesce(
        json_extract(CAST(body AS TEXT), '$.data.object.payment_intent'),
        CASE WHEN type LIKE 'payment_intent.%' THEN json_extract(CAST(body AS TEXT), '$.data.object.id') END
    )
WHERE json_valid(CAST(body AS TEXT));
UPDATE payment_event SET body = x'' WHERE outcome = 'ignored';
CREATE INDEX payment_event_of_topup ON payment_event (topup_id);
CREATE INDEX payment_event_of_payment ON payment_event (payment_id);
