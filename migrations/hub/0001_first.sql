-- The hub's accounts and packages, first version. Times are milliseconds since 1970 UTC, sizes bytes; ids are ULIDs.

CREATE TABLE team (
    id   TEXT PRIMARY KEY,
    name TEXT NOT NULL
);

CREATE TABLE api_key (
    hash       BLOB PRIMARY KEY,            -- SHA-256 of the key
    team_id    TEXT NOT NULL REFERENCES team (id),
    created_at INTEGER NOT NULL
);

CREATE TABLE portal (
    id               TEXT PRIMARY KEY,
    team_id          TEXT NOT NULL REFERENCES team (id),
    subdomain        TEXT NOT NULL UNIQUE,
    name             TEXT NOT NULL,
    recipients       TEXT NOT NULL,         -- JSON
    access_code_hash TEXT
);

CREATE TABLE package (
    id            TEXT PRIMARY KEY,
    team_id       TEXT NOT NULL REFERENCES team (id),
    portal_id     TEXT REFERENCES portal (id),
    token_hash    BLOB NOT NULL,            -- SHA-256 of the access token
    name          TEXT NOT NULL,
    description   TEXT NOT NULL,
    sender        TEXT NOT NULL,
    recipients    TEXT NOT NULL,            -- JSON
    metadata      TEXT NOT NULL,            -- JSON
    password_hash TEXT,
    access_limit  INTEGER,
    expires_at    INTEGER,                  -- NULL: kept until somebody removes it
    state         TEXT NOT NULL,            -- new, finalized, expired
    size          INTEGER NOT NULL DEFAULT 0,
    files         INTEGER NOT NULL DEFAULT 0,
    created_at    INTEGER NOT NULL,
    finalized_at  INTEGER
);

CREATE TABLE file (
    id            TEXT PRIMARY KEY,
    package_id    TEXT NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    folder        TEXT NOT NULL,
    name          TEXT NOT NULL,
    size          INTEGER NOT NULL,
    last_modified INTEGER,
    upload_id     TEXT NOT NULL,
    finalized     INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX file_by_package ON file (package_id);

CREATE TABLE part (
    file_id TEXT NOT NULL REFERENCES file (id) ON DELETE CASCADE,
    number  INTEGER NOT NULL,
    size    INTEGER NOT NULL,
    md5     TEXT NOT NULL,
    content BLOB,                           -- small parts live here, others in the storage folder
    PRIMARY KEY (file_id, number)
) WITHOUT ROWID;

CREATE TABLE link (
    id            TEXT PRIMARY KEY,
    package_id    TEXT NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    secret        TEXT NOT NULL,
    email         TEXT NOT NULL,
    password_hash TEXT,
    opened        INTEGER NOT NULL DEFAULT 0,
    created_at    INTEGER NOT NULL
);
CREATE INDEX link_by_package ON link (package_id);

CREATE TABLE mail (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient  TEXT NOT NULL,
    subject    TEXT NOT NULL,
    text       TEXT NOT NULL,
    html       TEXT NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE TABLE secret (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
);
