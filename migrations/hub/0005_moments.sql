-- Moments of the hub's own life: without them, what must not be removed too early cannot be told from what is due.

-- A restored backup of an earlier version has the table already.
CREATE TABLE IF NOT EXISTS moment (
    name TEXT PRIMARY KEY, -- last_seen: of the clock, while it was trusted; restored: from a backup
    at   INTEGER NOT NULL
) WITHOUT ROWID;

-- What an earlier version saw last, as far as its rows tell.
INSERT OR IGNORE INTO moment (name, at)
    SELECT 'last_seen', max(at) FROM (SELECT max(updated_at) AS at FROM package UNION ALL SELECT max(at) FROM activity) HAVING max(at) IS NOT NULL;
