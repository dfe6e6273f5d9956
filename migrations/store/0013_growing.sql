-- A file that is sent while it is written: 'growing' until its rule has found it complete, then 'unproven' until all that was sent of it
-- is known to be what it holds. `guard` is how many bytes before its end are left alone, `claim` its path below the rule's folder.
ALTER TABLE file ADD COLUMN growth TEXT;
ALTER TABLE file ADD COLUMN guard INTEGER;
ALTER TABLE file ADD COLUMN claim BLOB;
CREATE INDEX file_growing ON file (upload_id) WHERE growth = 'growing';
