-- The folder that a rule watches and where it lies (JSON), so that another file system in its place is told after a restart, too.
ALTER TABLE rule ADD COLUMN folder TEXT;
