-- The folder that a download's package has got for itself, below its destination (and its portal's folder); NULL while it has
-- none, and in rows of before: the package's name.

ALTER TABLE download ADD COLUMN folder TEXT;
