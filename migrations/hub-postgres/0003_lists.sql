-- Lists of a team's packages are read in their usual order, and what has arrived since a moment is found, without looking at all others.
DROP INDEX package_by_team;
CREATE INDEX package_by_team ON package (team_id, received, removed, created_at, id);
CREATE INDEX package_by_arrival ON package (team_id, received, finalized_at);
