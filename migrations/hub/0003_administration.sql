-- What keys may do, who changed what, what portals ask of their senders, and mails of more than one kind.

ALTER TABLE api_key ADD COLUMN role TEXT NOT NULL DEFAULT 'admin'; -- admin, sender
UPDATE membership SET role = 'sender' WHERE role = 'member';

ALTER TABLE portal ADD COLUMN fields TEXT NOT NULL DEFAULT '[]';   -- JSON array, see fields.rs

-- Who changed what. Outlives what it tells of, so it refers to nothing.
CREATE TABLE audit (
    number  INTEGER PRIMARY KEY,
    team_id TEXT,                             -- absent: of the whole hub
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,                    -- mail address of a person, "key NAME", "operator"
    address TEXT,                             -- where the request came from
    action  TEXT NOT NULL,                    -- see audit.rs
    subject TEXT NOT NULL                     -- what it was done to, as people call it
);
CREATE INDEX audit_by_team ON audit (team_id, number);

CREATE TABLE mail_2 (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,                 -- delivery: brings a link; receipt: tells the sender
    package_id TEXT NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    link_id    TEXT REFERENCES link (id) ON DELETE CASCADE, -- of a delivery
    recipient  TEXT NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    due_at     INTEGER,                       -- absent: sent, given up, or (no attempt yet) waiting for its package
    sent_at    INTEGER,
    problem    TEXT
);
INSERT INTO mail_2 (id, kind, package_id, link_id, recipient, attempts, due_at, sent_at, problem)
    SELECT mail.id, 'delivery', link.package_id, mail.link_id, mail.recipient, mail.attempts, mail.due_at, mail.sent_at, mail.problem
    FROM mail JOIN link ON link.id = mail.link_id;
DROP TABLE mail;
ALTER TABLE mail_2 RENAME TO mail;
CREATE INDEX mail_by_package ON mail (package_id);
CREATE INDEX mail_by_link ON mail (link_id);
CREATE INDEX mail_due ON mail (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX mail_by_recipient ON mail (kind, recipient);
