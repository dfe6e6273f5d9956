-- Which hub this is: known by its bucket, and by its key.
CREATE TABLE hub (
    one       INTEGER PRIMARY KEY CHECK (one = 1), -- there is one row
    id        TEXT NOT NULL,
    key_check TEXT NOT NULL                        -- what only the right secret key makes of the id
);

-- What was made by calls that their callers may repeat when no answer came.
CREATE TABLE repeatable (
    team_id TEXT NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    key     TEXT NOT NULL,    -- as the caller gave it
    made    TEXT NOT NULL,    -- the id of the package
    at      INTEGER NOT NULL,
    PRIMARY KEY (team_id, key)
) WITHOUT ROWID;
