-- What is stored counts, not only what was announced.

ALTER TABLE file ADD COLUMN sized INTEGER NOT NULL DEFAULT 1; -- announced with its size; else it grows with its parts

-- How many files and folders a package has, finalized or not: to count them each time would take longer with each.
ALTER TABLE package ADD COLUMN entries INTEGER NOT NULL DEFAULT 0;
UPDATE package SET entries = (SELECT count(*) FROM file WHERE package_id = package.id);
CREATE TRIGGER entry_added AFTER INSERT ON file BEGIN
    UPDATE package SET entries = entries + 1 WHERE id = NEW.package_id;
END;
CREATE TRIGGER entry_removed AFTER DELETE ON file BEGIN
    UPDATE package SET entries = entries - 1 WHERE id = OLD.package_id;
END;
