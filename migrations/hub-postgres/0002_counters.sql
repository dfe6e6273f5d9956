-- Wrong guesses, and what strangers may do so often in an hour, of all hubs together. What is lost with it after a crash is a few minutes'
-- count, which is not worth a log.
CREATE UNLOGGED TABLE counter (
    key     BYTEA PRIMARY KEY,
    over_at BIGINT NOT NULL,
    count   BIGINT NOT NULL
);
