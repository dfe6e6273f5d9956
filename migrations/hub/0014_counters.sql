-- What may be done so often in a time. A hub on this database counts in memory: the table is there because hubs that share a database have
-- it, and the statements are the same.
CREATE TABLE counter (
    key     BLOB PRIMARY KEY,              -- a digest of what is counted
    over_at INTEGER NOT NULL,              -- when it counts no more
    count   INTEGER NOT NULL
) WITHOUT ROWID;
