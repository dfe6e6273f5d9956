-- Orders that came with a key of their caller's: the same order again, with the same key, is the same upload. Kept when the upload
-- is removed, so that a late repetition does not send what somebody has removed.
CREATE TABLE order_key (
    key       TEXT PRIMARY KEY,
    digest    BLOB NOT NULL,                -- BLAKE3 of the order
    upload_id TEXT NOT NULL,
    at        INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX order_key_by_time ON order_key (at);
