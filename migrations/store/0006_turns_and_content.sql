-- Uploads that somebody has moved among those of equal priority go before (below 0) or after (above 0) those that nobody has.
ALTER TABLE upload ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;

-- What the content was that was sent: BLAKE3, hexadecimal; NULL in rows of before, and for what was not sent.
ALTER TABLE ledger ADD COLUMN checksum TEXT;
-- A file of an upload is found by its inode: a package may have hundreds of thousands.
DROP INDEX ledger_by_upload;
CREATE INDEX ledger_by_upload ON ledger (upload_id, inode);
