-- Activities are objects whose state moves, and events tell how it did. Of every download is known by whom, when, what and from where.

ALTER TABLE activity RENAME TO activity_1;
DROP INDEX activity_by_team;
CREATE INDEX activity_1_by_package ON activity_1 (kind, package_id, number);

CREATE TABLE activity (
    number     INTEGER PRIMARY KEY,
    team_id    TEXT NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL,                 -- see activity.rs
    subject    TEXT NOT NULL,                 -- what there is one for each of: a package, a link, a visit of a link
    state      TEXT NOT NULL,
    event      TEXT NOT NULL,                 -- the last one
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    package_id TEXT NOT NULL,                 -- which may be gone
    package    TEXT NOT NULL,                 -- its name
    portal_id  TEXT,
    link_id    TEXT,                          -- which may be gone
    actor      TEXT NOT NULL
);
CREATE TABLE activity_event (
    number   INTEGER PRIMARY KEY,
    activity INTEGER NOT NULL REFERENCES activity (number) ON DELETE CASCADE,
    at       INTEGER NOT NULL,
    event    TEXT NOT NULL,
    state    TEXT NOT NULL,                   -- of the activity since then
    actor    TEXT NOT NULL,
    address  TEXT                             -- where the request came from
);

-- What an earlier version noted: uploads by their package; links and downloads did not say which.
INSERT INTO activity (number, team_id, kind, subject, state, event, created_at, updated_at, package_id, package, portal_id, actor)
    SELECT number, team_id, kind, package_id,
        CASE WHEN EXISTS (SELECT 1 FROM activity_1 AS later WHERE later.kind = begun.kind
            AND later.package_id = begun.package_id AND later.state = 'complete') THEN 'complete'
        ELSE (SELECT state FROM activity_1 AS later WHERE later.kind = begun.kind
            AND later.package_id = begun.package_id ORDER BY number DESC LIMIT 1) END,
        (SELECT event FROM activity_1 AS later WHERE later.kind = begun.kind
            AND later.package_id = begun.package_id ORDER BY number DESC LIMIT 1),
        at,
        (SELECT at FROM activity_1 AS later WHERE later.kind = begun.kind
            AND later.package_id = begun.package_id ORDER BY number DESC LIMIT 1),
        package_id, package, portal_id, actor
    FROM activity_1 AS begun WHERE kind = 'package_upload_to_masv' AND NOT EXISTS (SELECT 1 FROM activity_1 AS earlier
        WHERE earlier.kind = begun.kind AND earlier.package_id = begun.package_id AND earlier.number < begun.number);
INSERT INTO activity (number, team_id, kind, subject, state, event, created_at, updated_at, package_id, package, portal_id, actor)
    SELECT number, team_id, kind, 'noted ' || number, state,
        CASE event WHEN 'package.downloaded' THEN 'package.download_started' ELSE event END,
        at, at, package_id, package, portal_id, actor
    FROM activity_1 WHERE kind != 'package_upload_to_masv';
CREATE UNIQUE INDEX activity_by_subject ON activity (kind, subject);
INSERT INTO activity_event (number, activity, at, event, state, actor)
    SELECT number, (SELECT number FROM activity WHERE kind = noted.kind AND subject = noted.package_id), at, event, state, actor
    FROM activity_1 AS noted WHERE kind = 'package_upload_to_masv';
INSERT INTO activity_event (number, activity, at, event, state, actor)
    SELECT number, number, created_at, event, state, actor FROM activity WHERE kind != 'package_upload_to_masv';
DROP TABLE activity_1;
CREATE INDEX activity_by_team ON activity (team_id, number);
CREATE INDEX activity_by_age ON activity (updated_at);
CREATE INDEX activity_event_by_activity ON activity_event (activity, number);

-- A download of a package: what of it was delivered, to whom. It outlives the package and the link.
CREATE TABLE download (
    activity    INTEGER PRIMARY KEY REFERENCES activity (number) ON DELETE CASCADE,
    package_id  TEXT NOT NULL,
    link_id     TEXT,                         -- absent: by the team
    address     TEXT,                         -- where it was begun
    agent       TEXT NOT NULL,                -- the program, as it calls itself
    ends_at     INTEGER,                      -- the end of the visit; absent: by the team
    total_files INTEGER NOT NULL,             -- with content
    files       INTEGER NOT NULL DEFAULT 0,   -- of these, delivered to the last byte
    bytes       INTEGER NOT NULL DEFAULT 0,   -- of these files
    finished_at INTEGER                       -- when all were
);
CREATE INDEX download_by_package ON download (package_id);
CREATE INDEX download_by_link ON download (link_id, ends_at) WHERE finished_at IS NULL;

-- What was delivered of each file, as long as not all of them were.
CREATE TABLE download_file (
    activity     INTEGER NOT NULL REFERENCES download (activity) ON DELETE CASCADE,
    file         INTEGER NOT NULL,            -- its number; 0: the archive with all files
    name         TEXT NOT NULL,               -- with its folder
    size         INTEGER NOT NULL,
    stretches    TEXT NOT NULL,               -- see stretches.rs
    delivered_at INTEGER,                     -- all of it
    PRIMARY KEY (activity, file)
) WITHOUT ROWID;

ALTER TABLE link ADD COLUMN opened_at INTEGER;                    -- first
ALTER TABLE link ADD COLUMN downloads INTEGER NOT NULL DEFAULT 0; -- complete ones
ALTER TABLE link ADD COLUMN downloaded_at INTEGER;                -- last
ALTER TABLE package ADD COLUMN downloads INTEGER NOT NULL DEFAULT 0;

CREATE INDEX file_lost ON file (package_id) WHERE lost_at IS NOT NULL;

-- What came through a portal still says through which, when that is removed.
ALTER TABLE package ADD COLUMN portal_name TEXT;
UPDATE package SET portal_name = (SELECT name FROM portal WHERE portal.id = package.portal_id);

-- The size of parts that its sender announced; absent: not said.
ALTER TABLE file ADD COLUMN chunk_size INTEGER;
