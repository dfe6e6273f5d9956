-- Packages that came through portals: which were taken by which download rule, each once. And of downloads: the folder of the
-- portal, who owns the files, what they hash to.

CREATE TABLE delivery (
    rule        TEXT NOT NULL,
    package_id  TEXT NOT NULL,             -- the cloud's
    name        TEXT NOT NULL,
    portal      TEXT NOT NULL,             -- its subdomain
    outcome     TEXT NOT NULL,
    download_id TEXT,                      -- NULL where nothing was fetched
    at          INTEGER NOT NULL,
    PRIMARY KEY (rule, package_id)
) WITHOUT ROWID;
CREATE INDEX delivery_by_download ON delivery (download_id);

ALTER TABLE download ADD COLUMN team_id TEXT;         -- whose inbox the package is in; NULL for links
ALTER TABLE download ADD COLUMN portal TEXT;          -- subdomain of the portal that it came through
ALTER TABLE download ADD COLUMN portal_folder INTEGER NOT NULL DEFAULT 0;
ALTER TABLE download ADD COLUMN remove_package INTEGER NOT NULL DEFAULT 0; -- from the cloud, once all is here
ALTER TABLE download ADD COLUMN owner_uid INTEGER;
ALTER TABLE download ADD COLUMN owner_gid INTEGER;
ALTER TABLE download_file ADD COLUMN checksum TEXT;   -- BLAKE3, hexadecimal
ALTER TABLE download_part ADD COLUMN tree BLOB;       -- BLAKE3 subtree of the part's bytes
CREATE INDEX download_by_rule ON download (rule, created_at);
