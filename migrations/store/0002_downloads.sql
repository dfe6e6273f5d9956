-- Downloads: packages that are fetched into a folder. Times are milliseconds since 1970 UTC unless their name says
-- otherwise, sizes bytes.

CREATE TABLE download (
    id             TEXT PRIMARY KEY,
    position       INTEGER NOT NULL,
    api            TEXT NOT NULL,           -- base URL of the cloud that has the package
    link_id        TEXT,                    -- NULL where the package is fetched by its token
    link_secret    TEXT,
    password       TEXT,
    destination    BLOB NOT NULL,           -- the raw bytes of an absolute path
    package_folder INTEGER NOT NULL,
    chosen         TEXT NOT NULL,           -- JSON: ids of the wanted files, empty for all
    overwrite      INTEGER NOT NULL,
    priority       INTEGER NOT NULL,
    rule           TEXT,
    state          TEXT NOT NULL,
    problem        TEXT,                    -- JSON
    name           TEXT,
    package_id     TEXT,
    package_token  TEXT,
    listed         INTEGER NOT NULL DEFAULT 0, -- its files are in download_file
    files          INTEGER NOT NULL DEFAULT 0,
    files_done     INTEGER NOT NULL DEFAULT 0,
    bytes          INTEGER NOT NULL DEFAULT 0,
    bytes_done     INTEGER NOT NULL DEFAULT 0,
    created_at     INTEGER NOT NULL,
    started_at     INTEGER,
    completed_at   INTEGER
);
CREATE INDEX download_by_turn ON download (state, priority, position);

CREATE TABLE download_file (
    download_id TEXT NOT NULL REFERENCES download (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    remote_id   TEXT NOT NULL,
    path        TEXT NOT NULL,              -- below the destination, made safe
    size        INTEGER NOT NULL,           -- as the storage has it
    listed_size INTEGER NOT NULL,           -- as the cloud lists it
    modified_ns INTEGER,                    -- nanoseconds since 1970
    etag        TEXT,                       -- the storage's tag, once a part was asked for
    part_size   INTEGER,                    -- of each part but the last, once begun
    state       TEXT NOT NULL,
    bytes_done  INTEGER NOT NULL DEFAULT 0,
    problem     TEXT,                       -- JSON
    PRIMARY KEY (download_id, number)
) WITHOUT ROWID;
CREATE INDEX download_file_by_remote ON download_file (download_id, remote_id);
CREATE INDEX download_file_by_state ON download_file (download_id, state, number);

CREATE TABLE download_part (
    download_id TEXT NOT NULL,
    file_number INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    PRIMARY KEY (download_id, file_number, number),
    FOREIGN KEY (download_id, file_number) REFERENCES download_file (download_id, number) ON DELETE CASCADE
) WITHOUT ROWID;
