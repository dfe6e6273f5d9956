-- The MD5 of the whole content of a file, once it is known.
ALTER TABLE file ADD COLUMN md5 BLOB;

-- How the pages of links of a team look; empty: as usual.
ALTER TABLE team ADD COLUMN primary_color TEXT NOT NULL DEFAULT '';
ALTER TABLE team ADD COLUMN logo_url TEXT NOT NULL DEFAULT '';
ALTER TABLE team ADD COLUMN background_url TEXT NOT NULL DEFAULT '';
