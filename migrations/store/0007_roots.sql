-- Where the way begins on which no link is followed: of a file to send the watched folder, or the folder that was checked when the
-- upload was ordered; NULL in rows of before: the folder that the file is in. Of a download the folder below which files may be
-- written; NULL: the destination itself, links in its path followed.
-- The user whose file it was when it was chosen; NULL where nobody knows, or somebody has agreed to another.

ALTER TABLE file ADD COLUMN root BLOB;
ALTER TABLE file ADD COLUMN owner INTEGER;
ALTER TABLE download ADD COLUMN root BLOB;
