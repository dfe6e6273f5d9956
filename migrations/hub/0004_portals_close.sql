-- Portals that close by themselves.

ALTER TABLE portal ADD COLUMN closes_at INTEGER; -- absent: never
