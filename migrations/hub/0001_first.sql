-- The hub's state, first version. Times are milliseconds since 1970 UTC, sizes bytes, ids upper-case ULIDs. Tokens and
-- link secrets are not kept: they are computed from the ids and the secret key beside the database. Passwords are
-- argon2 hashes in PHC form, keys and sessions SHA-256 of random values.

CREATE TABLE team (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
);

CREATE TABLE api_key (
    id         TEXT PRIMARY KEY,
    hash       BLOB NOT NULL UNIQUE,
    team_id    TEXT NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE TABLE account (
    id            TEXT PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE,       -- lower case
    name          TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at    INTEGER NOT NULL
);

CREATE TABLE membership (
    team_id    TEXT NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    account_id TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    role       TEXT NOT NULL,                 -- owner, admin, member
    PRIMARY KEY (team_id, account_id)
);

CREATE TABLE session (
    hash       BLOB PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
);

CREATE TABLE tag (
    id      TEXT PRIMARY KEY,
    team_id TEXT NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    UNIQUE (team_id, name)
);

CREATE TABLE portal (
    id                     TEXT PRIMARY KEY,
    team_id                TEXT NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    subdomain              TEXT NOT NULL UNIQUE, -- lower case
    name                   TEXT NOT NULL,
    message                TEXT NOT NULL,
    recipients             TEXT NOT NULL,     -- JSON array of addresses
    active                 INTEGER NOT NULL,
    access_code_hash       TEXT,
    download_password_hash TEXT,
    expiry_days            INTEGER,
    unlimited_storage      INTEGER NOT NULL,
    tag_id                 TEXT REFERENCES tag (id) ON DELETE SET NULL,
    restrictions           TEXT NOT NULL,     -- JSON object, see portals.rs
    created_at             INTEGER NOT NULL,
    updated_at             INTEGER NOT NULL
);
CREATE INDEX portal_by_team ON portal (team_id);

CREATE TABLE package (
    id                TEXT PRIMARY KEY,
    team_id           TEXT NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    portal_id         TEXT REFERENCES portal (id) ON DELETE SET NULL,
    state             TEXT NOT NULL,          -- new, finalized, expired, archived
    name              TEXT NOT NULL,
    description       TEXT NOT NULL,
    sender            TEXT NOT NULL,          -- mail address, empty when unknown
    recipients        TEXT NOT NULL,          -- JSON array of addresses
    password_hash     TEXT,
    access_limit      INTEGER,
    expiry_days       INTEGER,                -- counted from finalize
    unlimited_storage INTEGER NOT NULL,
    tag_id            TEXT REFERENCES tag (id) ON DELETE SET NULL,
    teamspace_id      TEXT,
    metadata          TEXT NOT NULL,          -- JSON, as the sender gave it
    size              INTEGER NOT NULL DEFAULT 0, -- of finalized files
    file_count        INTEGER NOT NULL DEFAULT 0, -- of finalized files
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    finalized_at      INTEGER,
    expires_at        INTEGER
);
CREATE INDEX package_by_team ON package (team_id, created_at);
CREATE INDEX package_by_state ON package (state, updated_at);
CREATE INDEX package_by_portal ON package (portal_id);
CREATE INDEX package_by_expiry ON package (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE file (
    number        INTEGER PRIMARY KEY,        -- part keys are made of it
    id            TEXT NOT NULL UNIQUE,
    package_id    TEXT NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    kind          TEXT NOT NULL,              -- file, directory
    path          TEXT NOT NULL,              -- folder in the package, empty for its root
    name          TEXT NOT NULL,
    size          INTEGER NOT NULL,           -- as announced, then as finalized
    last_modified INTEGER NOT NULL,
    finalized_at  INTEGER,
    etag          TEXT,                       -- of the whole, once finalized
    crc           INTEGER                     -- CRC-32 of the whole, once finalized
);
CREATE UNIQUE INDEX file_by_package ON file (package_id, path, name, number);

-- key = file.number * 16384 + part number, so that a file's parts lie together in order without a second index.
CREATE TABLE part (
    key     INTEGER PRIMARY KEY,
    size    INTEGER NOT NULL,
    md5     BLOB NOT NULL,
    crc     INTEGER NOT NULL,                 -- CRC-32
    place   TEXT,                             -- where in the storage; absent for small parts
    content BLOB                              -- of small parts
);

CREATE TABLE link (
    id            TEXT PRIMARY KEY,
    package_id    TEXT NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    email         TEXT,
    password_hash TEXT,                       -- absent: the package's
    access_limit  INTEGER,                    -- absent: none
    access_count  INTEGER NOT NULL DEFAULT 0,
    active        INTEGER NOT NULL DEFAULT 1,
    expires_at    INTEGER,                    -- absent: the package's
    created_at    INTEGER NOT NULL
);
CREATE INDEX link_by_package ON link (package_id);

-- One visit of a link counts once against its limit, however many files it takes.
CREATE TABLE link_visit (
    link_id    TEXT NOT NULL REFERENCES link (id) ON DELETE CASCADE,
    visit      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (link_id, visit)
) WITHOUT ROWID;

CREATE TABLE mail (
    id         TEXT PRIMARY KEY,
    link_id    TEXT NOT NULL REFERENCES link (id) ON DELETE CASCADE,
    recipient  TEXT NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    due_at     INTEGER,                       -- absent: sent, given up, or (no attempt yet) waiting for its package
    sent_at    INTEGER,
    problem    TEXT
);
CREATE INDEX mail_by_link ON mail (link_id);
CREATE INDEX mail_due ON mail (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE webhook (
    id         TEXT PRIMARY KEY,
    team_id    TEXT NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    url        TEXT NOT NULL,
    method     TEXT NOT NULL,
    events     TEXT NOT NULL,                 -- JSON array
    headers    TEXT NOT NULL,                 -- JSON object
    extras     TEXT NOT NULL,                 -- JSON object
    active     INTEGER NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE INDEX webhook_by_team ON webhook (team_id);

CREATE TABLE webhook_call (
    id         TEXT PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    body       TEXT NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    due_at     INTEGER,
    problem    TEXT
);
CREATE INDEX webhook_call_by_webhook ON webhook_call (webhook_id);
CREATE INDEX webhook_call_due ON webhook_call (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE activity (
    number     INTEGER PRIMARY KEY,
    team_id    TEXT NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    at         INTEGER NOT NULL,
    event      TEXT NOT NULL,                 -- see activity.rs
    kind       TEXT NOT NULL,
    state      TEXT NOT NULL,
    package_id TEXT NOT NULL,                 -- which may be gone
    package    TEXT NOT NULL,                 -- its name
    portal_id  TEXT,
    actor      TEXT NOT NULL
);
CREATE INDEX activity_by_team ON activity (team_id, number);
