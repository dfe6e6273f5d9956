-- The hub's state in PostgreSQL. Tables and columns are those of SQLite after all its migrations (a test compares them), and what they
-- mean is told there, in migrations/hub. Texts compare as bytes, as they do there, so that lists have the same order.

-- What SQLite has and PostgreSQL lacks.
CREATE FUNCTION instr(whole TEXT, part TEXT) RETURNS BIGINT LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS 'SELECT CAST(strpos(whole, part) AS BIGINT)';

CREATE TABLE team (
    id         TEXT COLLATE "C" PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    used       BIGINT NOT NULL DEFAULT 0,
    quota      BIGINT,
    primary_color  TEXT COLLATE "C" NOT NULL DEFAULT '',
    logo_url       TEXT COLLATE "C" NOT NULL DEFAULT '',
    background_url TEXT COLLATE "C" NOT NULL DEFAULT ''
);

CREATE TABLE api_key (
    id           TEXT COLLATE "C" PRIMARY KEY,
    hash         BYTEA NOT NULL UNIQUE,
    team_id      TEXT COLLATE "C" NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    name         TEXT COLLATE "C" NOT NULL,
    created_at   BIGINT NOT NULL,
    role         TEXT COLLATE "C" NOT NULL DEFAULT 'admin',
    expires_at   BIGINT,
    active       BIGINT NOT NULL DEFAULT 1,
    last_used_at BIGINT
);

CREATE TABLE account (
    id            TEXT COLLATE "C" PRIMARY KEY,
    email         TEXT COLLATE "C" NOT NULL UNIQUE,
    name          TEXT COLLATE "C" NOT NULL,
    password_hash TEXT COLLATE "C" NOT NULL,
    created_at    BIGINT NOT NULL
);

CREATE TABLE membership (
    team_id    TEXT COLLATE "C" NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    role       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (team_id, account_id)
);

CREATE TABLE session (
    hash       BYTEA PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL
);

CREATE TABLE tag (
    id      TEXT COLLATE "C" PRIMARY KEY,
    team_id TEXT COLLATE "C" NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    name    TEXT COLLATE "C" NOT NULL,
    UNIQUE (team_id, name)
);

CREATE TABLE portal (
    id                     TEXT COLLATE "C" PRIMARY KEY,
    team_id                TEXT COLLATE "C" NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    subdomain              TEXT COLLATE "C" NOT NULL UNIQUE,
    name                   TEXT COLLATE "C" NOT NULL,
    message                TEXT COLLATE "C" NOT NULL,
    recipients             TEXT COLLATE "C" NOT NULL,
    active                 BIGINT NOT NULL,
    access_code_hash       TEXT COLLATE "C",
    download_password_hash TEXT COLLATE "C",
    expiry_days            BIGINT,
    unlimited_storage      BIGINT NOT NULL,
    tag_id                 TEXT COLLATE "C" REFERENCES tag (id) ON DELETE SET NULL,
    restrictions           TEXT COLLATE "C" NOT NULL,
    created_at             BIGINT NOT NULL,
    updated_at             BIGINT NOT NULL,
    fields                 TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    closes_at              BIGINT,
    cc_recipients          TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    sends_receipts         BIGINT NOT NULL DEFAULT 1,
    primary_color          TEXT COLLATE "C" NOT NULL DEFAULT '',
    logo_url               TEXT COLLATE "C" NOT NULL DEFAULT '',
    background_url         TEXT COLLATE "C" NOT NULL DEFAULT ''
);
CREATE INDEX portal_by_team ON portal (team_id);

CREATE TABLE package (
    id                TEXT COLLATE "C" PRIMARY KEY,
    team_id           TEXT COLLATE "C" NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    portal_id         TEXT COLLATE "C" REFERENCES portal (id) ON DELETE SET NULL,
    state             TEXT COLLATE "C" NOT NULL,
    name              TEXT COLLATE "C" NOT NULL,
    description       TEXT COLLATE "C" NOT NULL,
    sender            TEXT COLLATE "C" NOT NULL,
    recipients        TEXT COLLATE "C" NOT NULL,
    password_hash     TEXT COLLATE "C",
    access_limit      BIGINT,
    expiry_days       BIGINT,
    unlimited_storage BIGINT NOT NULL,
    tag_id            TEXT COLLATE "C" REFERENCES tag (id) ON DELETE SET NULL,
    teamspace_id      TEXT COLLATE "C",
    metadata          TEXT COLLATE "C" NOT NULL,
    size              BIGINT NOT NULL DEFAULT 0,
    file_count        BIGINT NOT NULL DEFAULT 0,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL,
    finalized_at      BIGINT,
    expires_at        BIGINT,
    reserved          BIGINT NOT NULL DEFAULT 0,
    received          BIGINT NOT NULL DEFAULT 0,
    restrictions      TEXT COLLATE "C",
    cc_recipients     TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    sends_receipt     BIGINT NOT NULL DEFAULT 1,
    removed           BIGINT NOT NULL DEFAULT 0,
    trashed_at        BIGINT,
    epoch             BIGINT NOT NULL DEFAULT 0,
    entries           BIGINT NOT NULL DEFAULT 0,
    downloads         BIGINT NOT NULL DEFAULT 0,
    portal_name       TEXT COLLATE "C"
);
CREATE INDEX package_by_team ON package (team_id, created_at);
CREATE INDEX package_by_state ON package (state, updated_at);
CREATE INDEX package_by_portal ON package (portal_id);
CREATE INDEX package_by_expiry ON package (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE file (
    number        BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    id            TEXT COLLATE "C" NOT NULL UNIQUE,
    package_id    TEXT COLLATE "C" NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    kind          TEXT COLLATE "C" NOT NULL,
    path          TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    size          BIGINT NOT NULL,
    last_modified BIGINT NOT NULL,
    finalized_at  BIGINT,
    etag          TEXT COLLATE "C",
    crc           BIGINT,
    in_bucket     BIGINT NOT NULL DEFAULT 0,
    upload        TEXT COLLATE "C",
    lost_at       BIGINT,
    sized         BIGINT NOT NULL DEFAULT 1,
    chunk_size    BIGINT,
    md5           BYTEA
);

CREATE TABLE part (
    key     BIGINT PRIMARY KEY,
    size    BIGINT NOT NULL,
    md5     BYTEA NOT NULL,
    crc     BIGINT NOT NULL,
    place   TEXT COLLATE "C",
    content BYTEA
);

CREATE TABLE link (
    id            TEXT COLLATE "C" PRIMARY KEY,
    package_id    TEXT COLLATE "C" NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    email         TEXT COLLATE "C",
    password_hash TEXT COLLATE "C",
    access_limit  BIGINT,
    access_count  BIGINT NOT NULL DEFAULT 0,
    active        BIGINT NOT NULL DEFAULT 1,
    expires_at    BIGINT,
    created_at    BIGINT NOT NULL,
    epoch         BIGINT NOT NULL DEFAULT 0,
    opened_at     BIGINT,
    downloads     BIGINT NOT NULL DEFAULT 0,
    downloaded_at BIGINT
);
CREATE INDEX link_by_package ON link (package_id);

CREATE TABLE link_visit (
    link_id    TEXT COLLATE "C" NOT NULL REFERENCES link (id) ON DELETE CASCADE,
    visit      TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (link_id, visit)
);

CREATE TABLE webhook (
    id         TEXT COLLATE "C" PRIMARY KEY,
    team_id    TEXT COLLATE "C" NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    name       TEXT COLLATE "C" NOT NULL,
    url        TEXT COLLATE "C" NOT NULL,
    method     TEXT COLLATE "C" NOT NULL,
    events     TEXT COLLATE "C" NOT NULL,
    headers    TEXT COLLATE "C" NOT NULL,
    extras     TEXT COLLATE "C" NOT NULL,
    active     BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    of_portals BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX webhook_by_team ON webhook (team_id);

CREATE TABLE webhook_call (
    id         TEXT COLLATE "C" PRIMARY KEY,
    webhook_id TEXT COLLATE "C" NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    body       TEXT COLLATE "C" NOT NULL,
    attempts   BIGINT NOT NULL DEFAULT 0,
    due_at     BIGINT,
    problem    TEXT COLLATE "C"
);
CREATE INDEX webhook_call_by_webhook ON webhook_call (webhook_id);
CREATE INDEX webhook_call_due ON webhook_call (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE audit (
    number  BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    team_id TEXT COLLATE "C",
    at      BIGINT NOT NULL,
    actor   TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C",
    action  TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL
);
CREATE INDEX audit_by_team ON audit (team_id, number);

CREATE TABLE mail (
    id         TEXT COLLATE "C" PRIMARY KEY,
    kind       TEXT COLLATE "C" NOT NULL,
    package_id TEXT COLLATE "C" NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    link_id    TEXT COLLATE "C" REFERENCES link (id) ON DELETE CASCADE,
    recipient  TEXT COLLATE "C" NOT NULL,
    attempts   BIGINT NOT NULL DEFAULT 0,
    due_at     BIGINT,
    sent_at    BIGINT,
    problem    TEXT COLLATE "C"
);
CREATE INDEX mail_by_package ON mail (package_id);
CREATE INDEX mail_by_link ON mail (link_id);
CREATE INDEX mail_due ON mail (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX mail_by_recipient ON mail (kind, recipient);

CREATE TABLE moment (
    name TEXT COLLATE "C" PRIMARY KEY,
    at   BIGINT NOT NULL
);

CREATE TABLE portal_webhook (
    portal_id  TEXT COLLATE "C" NOT NULL REFERENCES portal (id) ON DELETE CASCADE,
    webhook_id TEXT COLLATE "C" NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    PRIMARY KEY (portal_id, webhook_id)
);
CREATE INDEX portal_webhook_by_webhook ON portal_webhook (webhook_id);
CREATE INDEX package_trashed ON package (trashed_at) WHERE trashed_at IS NOT NULL;

CREATE TABLE job (
    id       TEXT COLLATE "C" PRIMARY KEY,
    kind     TEXT COLLATE "C" NOT NULL,
    subject  TEXT COLLATE "C",
    attempts BIGINT NOT NULL DEFAULT 0,
    due_at   BIGINT,
    problem  TEXT COLLATE "C"
);
CREATE INDEX job_due ON job (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE orphan (
    package_id TEXT COLLATE "C" NOT NULL,
    file_id    TEXT COLLATE "C" NOT NULL,
    upload     TEXT COLLATE "C" NOT NULL,
    since      BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    PRIMARY KEY (package_id, file_id, upload)
);

CREATE TABLE notice (
    name  TEXT COLLATE "C" PRIMARY KEY,
    at    BIGINT NOT NULL,
    value TEXT COLLATE "C" NOT NULL
);

CREATE TABLE activity (
    number     BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    team_id    TEXT COLLATE "C" NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    kind       TEXT COLLATE "C" NOT NULL,
    subject    TEXT COLLATE "C" NOT NULL,
    state      TEXT COLLATE "C" NOT NULL,
    event      TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    package_id TEXT COLLATE "C" NOT NULL,
    package    TEXT COLLATE "C" NOT NULL,
    portal_id  TEXT COLLATE "C",
    link_id    TEXT COLLATE "C",
    actor      TEXT COLLATE "C" NOT NULL
);

CREATE TABLE activity_event (
    number   BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    activity BIGINT NOT NULL REFERENCES activity (number) ON DELETE CASCADE,
    at       BIGINT NOT NULL,
    event    TEXT COLLATE "C" NOT NULL,
    state    TEXT COLLATE "C" NOT NULL,
    actor    TEXT COLLATE "C" NOT NULL,
    address  TEXT COLLATE "C"
);
CREATE UNIQUE INDEX activity_by_subject ON activity (kind, subject);
CREATE INDEX activity_by_team ON activity (team_id, number);
CREATE INDEX activity_by_age ON activity (updated_at);
CREATE INDEX activity_event_by_activity ON activity_event (activity, number);

CREATE TABLE download (
    activity    BIGINT PRIMARY KEY REFERENCES activity (number) ON DELETE CASCADE,
    package_id  TEXT COLLATE "C" NOT NULL,
    link_id     TEXT COLLATE "C",
    address     TEXT COLLATE "C",
    agent       TEXT COLLATE "C" NOT NULL,
    ends_at     BIGINT,
    total_files BIGINT NOT NULL,
    files       BIGINT NOT NULL DEFAULT 0,
    bytes       BIGINT NOT NULL DEFAULT 0,
    finished_at BIGINT
);
CREATE INDEX download_by_package ON download (package_id);
CREATE INDEX download_by_link ON download (link_id, ends_at) WHERE finished_at IS NULL;

CREATE TABLE download_file (
    activity     BIGINT NOT NULL REFERENCES download (activity) ON DELETE CASCADE,
    file         BIGINT NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    size         BIGINT NOT NULL,
    stretches    TEXT COLLATE "C" NOT NULL,
    delivered_at BIGINT,
    PRIMARY KEY (activity, file)
);
CREATE INDEX file_lost ON file (package_id) WHERE lost_at IS NOT NULL;

CREATE TABLE hub (
    one       BIGINT PRIMARY KEY CHECK (one = 1),
    id        TEXT COLLATE "C" NOT NULL,
    key_check TEXT COLLATE "C" NOT NULL
);

CREATE TABLE repeatable (
    team_id TEXT COLLATE "C" NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    key     TEXT COLLATE "C" NOT NULL,
    made    TEXT COLLATE "C" NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (team_id, key)
);

-- Files of a path and name that are not finalized: looked for with each announced file. The texts themselves can be longer than what an
-- index takes.
CREATE INDEX file_by_package ON file (package_id, number);
CREATE INDEX file_unfinished ON file (package_id, md5(path || '/' || name)) WHERE finalized_at IS NULL;

-- Sums, kept as in SQLite: no statement that makes, changes or removes files can forget them.
CREATE FUNCTION file_added() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE package SET reserved = reserved + NEW.size, entries = entries + 1 WHERE id = NEW.package_id;
    RETURN NULL;
END $$;
CREATE TRIGGER file_added AFTER INSERT ON file FOR EACH ROW EXECUTE FUNCTION file_added();

CREATE FUNCTION file_resized() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE package SET reserved = reserved + NEW.size - OLD.size WHERE id = NEW.package_id AND state != 'expired';
    RETURN NULL;
END $$;
CREATE TRIGGER file_resized AFTER UPDATE OF size ON file FOR EACH ROW WHEN (NEW.size != OLD.size)
    EXECUTE FUNCTION file_resized();

CREATE FUNCTION file_removed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE package SET reserved = CASE state WHEN 'expired' THEN reserved ELSE reserved - OLD.size END, entries = entries - 1
        WHERE id = OLD.package_id;
    RETURN NULL;
END $$;
CREATE TRIGGER file_removed AFTER DELETE ON file FOR EACH ROW EXECUTE FUNCTION file_removed();

CREATE FUNCTION package_expired() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.reserved := 0;
    RETURN NEW;
END $$;
CREATE TRIGGER package_expired BEFORE UPDATE OF state ON package FOR EACH ROW WHEN (NEW.state = 'expired')
    EXECUTE FUNCTION package_expired();

CREATE FUNCTION package_resized() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE team SET used = used + NEW.reserved - OLD.reserved WHERE id = NEW.team_id;
    RETURN NULL;
END $$;
CREATE TRIGGER package_resized AFTER UPDATE ON package FOR EACH ROW WHEN (NEW.reserved != OLD.reserved)
    EXECUTE FUNCTION package_resized();

CREATE FUNCTION package_removed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE team SET used = used - OLD.reserved WHERE id = OLD.team_id;
    RETURN NULL;
END $$;
CREATE TRIGGER package_removed AFTER DELETE ON package FOR EACH ROW WHEN (OLD.reserved != 0)
    EXECUTE FUNCTION package_removed();

CREATE FUNCTION portal_removed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE package SET restrictions = OLD.restrictions WHERE portal_id = OLD.id AND state = 'new';
    RETURN OLD;
END $$;
CREATE TRIGGER portal_removed BEFORE DELETE ON portal FOR EACH ROW EXECUTE FUNCTION portal_removed();

INSERT INTO job (id, kind, due_at) VALUES
    ('expire', 'chore', 0), ('sweep_disk', 'chore', 0), ('sweep_bucket', 'chore', 0), ('check', 'chore', 0);
