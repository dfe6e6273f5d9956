-- A package that is removed or expired keeps its rows and its content for some days, and can be brought back.

ALTER TABLE package ADD COLUMN removed INTEGER NOT NULL DEFAULT 0; -- by somebody's hand, or given up: nobody sees it any more
ALTER TABLE package ADD COLUMN trashed_at INTEGER;                 -- since when its content waits to be removed for good; absent: it does not
ALTER TABLE file ADD COLUMN lost_at INTEGER;                       -- since when it is known that its content is gone
CREATE INDEX package_trashed ON package (trashed_at) WHERE trashed_at IS NOT NULL;

-- Work that the hub owes itself. One process at a time does each; what it held when it died is taken up by another.
CREATE TABLE job (
    id       TEXT PRIMARY KEY, -- of a chore, which comes again: its name
    kind     TEXT NOT NULL,    -- chore; remove, remove_bucket: of content, see jobs.rs
    subject  TEXT,             -- of a removal: JSON
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at   INTEGER,          -- absent: given up
    problem  TEXT
);
CREATE INDEX job_due ON job (due_at) WHERE due_at IS NOT NULL;
INSERT INTO job (id, kind, due_at) VALUES
    ('expire', 'chore', 0), ('sweep_disk', 'chore', 0), ('sweep_bucket', 'chore', 0), ('check', 'chore', 0);

-- What lies in the bucket and no row knows, since when: it is removed only after days.
CREATE TABLE orphan (
    package_id TEXT NOT NULL,
    file_id    TEXT NOT NULL,
    upload     TEXT NOT NULL,    -- of a multipart upload that is not complete; empty for an object
    since      INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    PRIMARY KEY (package_id, file_id, upload)
) WITHOUT ROWID;

-- What whoever runs the hub must know, as long as it is so.
CREATE TABLE notice (
    name  TEXT PRIMARY KEY, -- see notices.rs
    at    INTEGER NOT NULL,
    value TEXT NOT NULL     -- JSON
) WITHOUT ROWID;
