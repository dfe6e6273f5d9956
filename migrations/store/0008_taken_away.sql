-- Files that an after-action has taken away, until it is unlikely that somebody still writes into them.
CREATE TABLE taken_away (
    rule     TEXT NOT NULL,
    held     BLOB NOT NULL,                 -- where it is: beneath the watched folder when hidden, else absolute
    hidden   INTEGER NOT NULL,              -- it is removed in the end
    root     BLOB NOT NULL,                 -- the watched folder
    path     BLOB NOT NULL,                 -- where it was dropped, beneath that
    size     INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    device   INTEGER NOT NULL,
    inode    INTEGER NOT NULL,
    due_at   INTEGER NOT NULL,
    PRIMARY KEY (rule, held)
) WITHOUT ROWID;
