-- Which cloud has an upload's package; NULL in rows of before: the agent's own.

ALTER TABLE upload ADD COLUMN package_cloud TEXT;
