-- What the service's portals have and ours dropped: who is told without a link, whether senders get a receipt, how the page looks, and
-- webhooks that are called for one portal only.

ALTER TABLE portal ADD COLUMN cc_recipients TEXT NOT NULL DEFAULT '[]';   -- JSON array of addresses
ALTER TABLE portal ADD COLUMN sends_receipts INTEGER NOT NULL DEFAULT 1;
ALTER TABLE portal ADD COLUMN primary_color TEXT NOT NULL DEFAULT '';     -- #rrggbb, empty: the usual one
ALTER TABLE portal ADD COLUMN logo_url TEXT NOT NULL DEFAULT '';
ALTER TABLE portal ADD COLUMN background_url TEXT NOT NULL DEFAULT '';

-- As the portal had it when the package was begun: the portal may be changed or removed meanwhile.
ALTER TABLE package ADD COLUMN cc_recipients TEXT NOT NULL DEFAULT '[]';
ALTER TABLE package ADD COLUMN sends_receipt INTEGER NOT NULL DEFAULT 1;

-- Once attached to a portal, a webhook is called for portals only, also when these portals are removed.
ALTER TABLE webhook ADD COLUMN of_portals INTEGER NOT NULL DEFAULT 0;
CREATE TABLE portal_webhook (
    portal_id  TEXT NOT NULL REFERENCES portal (id) ON DELETE CASCADE,
    webhook_id TEXT NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    PRIMARY KEY (portal_id, webhook_id)
) WITHOUT ROWID;
CREATE INDEX portal_webhook_by_webhook ON portal_webhook (webhook_id);
