-- As SQLite's file of this name; JSON is read otherwise here, and not at all where a NUL is in it.
ALTER TABLE payment_event ADD COLUMN topup_id TEXT COLLATE "C";
ALTER TABLE payment_event ADD COLUMN payment_id TEXT COLLATE "C";
UPDATE payment_event SET
    topup_id = convert_from(body, 'UTF8')::json #>> '{data,object,metadata,tessera_topup}',
    payment_id = coalesce(
        convert_from(body, 'UTF8')::json #>> '{data,object,payment_intent}',
        CASE WHEN type LIKE 'payment_intent.%' THEN convert_from(body, 'UTF8')::json #>> '{data,object,id}' END
    )
WHERE get_byte(body || '\x00'::bytea, 0) = 123 AND position('\\u0000'::bytea IN body) = 0;
UPDATE payment_event SET body = '' WHERE outcome = 'ignored';
CREATE INDEX payment_event_of_topup ON payment_event (topup_id);
CREATE INDEX payment_event_of_payment ON payment_event (payment_id);
