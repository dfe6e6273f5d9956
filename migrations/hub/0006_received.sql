-- What happened stays true when the portal that it happened through is removed.

ALTER TABLE package ADD COLUMN received INTEGER NOT NULL DEFAULT 0; -- begun through a portal, by whoever that was
ALTER TABLE package ADD COLUMN restrictions TEXT;                   -- of a portal that was removed while it was being filled

-- Activities still name the portals that are gone.
UPDATE package SET received = 1
    WHERE portal_id IS NOT NULL OR id IN (SELECT package_id FROM activity WHERE portal_id IS NOT NULL);

CREATE TRIGGER portal_removed BEFORE DELETE ON portal BEGIN
    UPDATE package SET restrictions = OLD.restrictions WHERE portal_id = OLD.id AND state = 'new';
END;
