-- The agent's state, first version. Times are milliseconds since 1970 UTC, sizes bytes; paths are the raw bytes of
-- the file system. What several columns describe together is explained in src/store/.

CREATE TABLE upload (
    id            TEXT PRIMARY KEY,
    position      INTEGER NOT NULL,
    destination   TEXT NOT NULL,            -- JSON
    name          TEXT NOT NULL,
    description   TEXT,
    password      TEXT,
    options       TEXT NOT NULL,            -- JSON
    team_id       TEXT,
    chunk_size    INTEGER,
    priority      INTEGER NOT NULL,
    auto_finalize INTEGER NOT NULL,
    rule          TEXT,
    state         TEXT NOT NULL,
    closing       INTEGER NOT NULL DEFAULT 0, -- finalize may have been asked for: nothing can be added any more
    problem       TEXT,                     -- JSON
    package_id    TEXT,
    package_token TEXT,
    links         TEXT NOT NULL DEFAULT '[]', -- JSON
    files         INTEGER NOT NULL,
    files_done    INTEGER NOT NULL DEFAULT 0,
    bytes         INTEGER NOT NULL,
    bytes_done    INTEGER NOT NULL DEFAULT 0,
    created_at    INTEGER NOT NULL,
    started_at    INTEGER,
    idle_at       INTEGER,
    completed_at  INTEGER
);
CREATE INDEX upload_by_turn ON upload (state, priority, position);
CREATE INDEX upload_by_rule ON upload (rule, created_at);

CREATE TABLE file (
    upload_id    TEXT NOT NULL REFERENCES upload (id) ON DELETE CASCADE,
    number       INTEGER NOT NULL,
    path         TEXT NOT NULL,
    source       BLOB NOT NULL,
    size         INTEGER NOT NULL,
    mtime_ns     INTEGER NOT NULL,
    ctime_ns     INTEGER NOT NULL,
    device       INTEGER NOT NULL,
    inode        INTEGER NOT NULL,
    state        TEXT NOT NULL,
    remote_id    TEXT,
    multipart_id TEXT,
    chunk_size   INTEGER,
    bytes_done   INTEGER NOT NULL DEFAULT 0,
    checksum     TEXT,
    problem      TEXT,
    PRIMARY KEY (upload_id, number)
) WITHOUT ROWID;
CREATE INDEX file_by_state ON file (upload_id, state, number);

CREATE TABLE part (
    upload_id   TEXT NOT NULL,
    file_number INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    etag        TEXT NOT NULL,
    tree        BLOB,                       -- BLAKE3 subtree of the part's bytes
    PRIMARY KEY (upload_id, file_number, number),
    FOREIGN KEY (upload_id, file_number) REFERENCES file (upload_id, number) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE ledger (
    rule        TEXT NOT NULL,
    path        BLOB NOT NULL,
    size        INTEGER NOT NULL,
    mtime_ns    INTEGER NOT NULL,
    ctime_ns    INTEGER NOT NULL,
    device      INTEGER NOT NULL,
    inode       INTEGER NOT NULL,
    outcome     TEXT NOT NULL,
    upload_id   TEXT,
    at          INTEGER NOT NULL,
    PRIMARY KEY (rule, path)
) WITHOUT ROWID;
CREATE INDEX ledger_by_upload ON ledger (upload_id);

CREATE TABLE rule (
    name          TEXT PRIMARY KEY,
    first_seen_at INTEGER NOT NULL,
    paused        INTEGER NOT NULL DEFAULT 0,
    last_run_at   INTEGER,
    sequence_day  TEXT,
    sequence      INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE event (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    at        INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    upload_id TEXT,
    rule      TEXT,
    body      TEXT NOT NULL                 -- JSON
);

CREATE TABLE outbox (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT NOT NULL,
    body       TEXT NOT NULL,               -- JSON
    attempts   INTEGER NOT NULL DEFAULT 0,
    due_at     INTEGER NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX outbox_by_due ON outbox (due_at);

CREATE TABLE setting (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL                     -- JSON
);
