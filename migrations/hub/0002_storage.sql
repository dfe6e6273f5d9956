-- Files in a bucket, and how much teams may have stored.

ALTER TABLE file ADD COLUMN in_bucket INTEGER NOT NULL DEFAULT 0; -- else its parts are in this database and on the disk
ALTER TABLE file ADD COLUMN upload TEXT;                          -- the bucket's id of its multipart upload, once known

-- Bytes that files have or were announced with: what counts against a quota. Kept by the triggers below, so that no
-- statement that makes, changes or removes files can forget it.
ALTER TABLE package ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE team ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
ALTER TABLE team ADD COLUMN quota INTEGER;                        -- bytes; absent: none

UPDATE package SET reserved = (SELECT coalesce(sum(size), 0) FROM file WHERE package_id = package.id)
    WHERE state != 'expired';
UPDATE team SET used = (SELECT coalesce(sum(reserved), 0) FROM package WHERE team_id = team.id);

CREATE TRIGGER file_added AFTER INSERT ON file BEGIN
    UPDATE package SET reserved = reserved + NEW.size WHERE id = NEW.package_id;
END;
CREATE TRIGGER file_resized AFTER UPDATE OF size ON file BEGIN
    UPDATE package SET reserved = reserved + NEW.size - OLD.size WHERE id = NEW.package_id AND state != 'expired';
END;
CREATE TRIGGER file_removed AFTER DELETE ON file BEGIN
    UPDATE package SET reserved = reserved - OLD.size WHERE id = OLD.package_id AND state != 'expired';
END;
CREATE TRIGGER package_expired AFTER UPDATE OF state ON package WHEN NEW.state = 'expired' BEGIN
    UPDATE package SET reserved = 0 WHERE id = NEW.id;
END;
CREATE TRIGGER package_resized AFTER UPDATE OF reserved ON package BEGIN
    UPDATE team SET used = used + NEW.reserved - OLD.reserved WHERE id = NEW.team_id;
END;
CREATE TRIGGER package_removed AFTER DELETE ON package BEGIN
    UPDATE team SET used = used - OLD.reserved WHERE id = OLD.team_id;
END;
