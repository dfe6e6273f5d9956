-- Every credential has an end, and can be ended.

ALTER TABLE api_key ADD COLUMN expires_at INTEGER;               -- absent: when it is removed
ALTER TABLE api_key ADD COLUMN active INTEGER NOT NULL DEFAULT 1;
ALTER TABLE api_key ADD COLUMN last_used_at INTEGER;             -- to the minute; absent: never

-- Counted up to end what was given out before: tokens of the package, visits of the link.
ALTER TABLE package ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE link ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;

-- Package tokens of earlier versions say nothing of their end: they hold for another two weeks.
INSERT OR REPLACE INTO moment (name, at)
    VALUES ('old_tokens_end', (CAST(strftime('%s', 'now') AS INTEGER) + 14 * 24 * 60 * 60) * 1000);
