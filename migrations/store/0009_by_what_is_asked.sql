-- What is asked at every drop is found by an index, however much was ever sent.

-- The next upload's place is after the last.
CREATE INDEX upload_by_position ON upload (position);
CREATE INDEX download_by_position ON download (position);
-- Those of a rule that have failed, or are open.
CREATE INDEX upload_by_rule_and_state ON upload (rule, state);
-- What is old enough to be forgotten.
CREATE INDEX upload_by_completion ON upload (completed_at) WHERE state = 'complete';
CREATE INDEX download_by_completion ON download (completed_at) WHERE state = 'complete';
-- A file that may have been renamed since it was sent.
CREATE INDEX ledger_by_content ON ledger (rule, inode, size);
-- What is forgotten when its file is gone.
CREATE INDEX ledger_cancelled ON ledger (rule, path) WHERE outcome = 'cancelled';
-- What is to be looked after next.
CREATE INDEX taken_away_by_due ON taken_away (rule, due_at);
