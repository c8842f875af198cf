-- When an organization was deleted: pages that it had opened are closed then, and what is paid to it all the same goes back.
ALTER TABLE organization ADD COLUMN closed_at INTEGER;
UPDATE organization SET closed_at = (
    SELECT max(created_at) FROM audit_event WHERE action = 'organization.deleted' AND object_id = organization.id
) WHERE EXISTS (
    SELECT 1 FROM audit_event WHERE action = 'organization.deleted' AND object_id = organization.id
);
CREATE INDEX organization_closed ON organization (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX topup_open ON topup (organization_id) WHERE state = 'open';
