//! The hub's tables, version by version.

use masv_db::PostgresSchema;

/// The same tables in PostgreSQL. A change that an earlier version of the program cannot live with comes one release after the one that
/// can live with both, and moves `readable_from`.
pub(crate) const POSTGRES: PostgresSchema = PostgresSchema {
    migrations: &[
        include_str!("../../../migrations/hub-postgres/0001_first.sql"),
        include_str!("../../../migrations/hub-postgres/0002_counters.sql"),
        include_str!("../../../migrations/hub-postgres/0003_lists.sql"),
    ],
    readable_from: 1,
};

/// What takes the database from one version to the next; the list only ever grows.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/hub/0001_first.sql"),
    include_str!("../../../migrations/hub/0002_storage.sql"),
    include_str!("../../../migrations/hub/0003_administration.sql"),
    include_str!("../../../migrations/hub/0004_portals_close.sql"),
    include_str!("../../../migrations/hub/0005_moments.sql"),
    include_str!("../../../migrations/hub/0006_received.sql"),
    include_str!("../../../migrations/hub/0007_portal_fields.sql"),
    include_str!("../../../migrations/hub/0008_trash_and_jobs.sql"),
    include_str!("../../../migrations/hub/0009_credentials.sql"),
    include_str!("../../../migrations/hub/0010_stored.sql"),
    include_str!("../../../migrations/hub/0011_downloads.sql"),
    include_str!("../../../migrations/hub/0012_pages.sql"),
    include_str!("../../../migrations/hub/0013_several.sql"),
    include_str!("../../../migrations/hub/0014_counters.sql"),
    include_str!("../../../migrations/hub/0015_lists.sql"),
];

#[cfg(test)]
mod tests {
    use masv_db::Database;
    use masv_db::scratch::Scratch;

    use super::*;
    use crate::records::teams;

    /// The statements of a migration, without comments. Bodies of functions have their statements to themselves.
    fn statements(migration: &str) -> Vec<String> {
        let code: String =
            migration.lines().map(|line| line.split("--").next().unwrap_or_default().to_owned() + "\n").collect();
        let mut found = vec![String::new()];
        for (number, text) in code.split("$$").enumerate() {
            let mut pieces = if number % 2 == 0 { text.split(';').collect() } else { vec![text] }.into_iter();
            found.last_mut().unwrap().push_str(pieces.next().unwrap_or_default());
            found.extend(pieces.map(str::to_owned));
        }
        let words = found.iter().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
        words.filter(|text| !text.is_empty()).collect()
    }

    /// Why a program that does not know it could not go on with what a statement leaves, after the `earlier` ones; nothing if it could.
    fn contracts(statement: &str, earlier: &[String]) -> Option<&'static str> {
        let upper = statement.to_uppercase();
        let begins = |start: &str| upper.starts_with(start);
        if ["CREATE TABLE ", "CREATE UNLOGGED TABLE ", "CREATE INDEX "].into_iter().any(begins) {
            return None;
        }
        if let Some(index) = upper.strip_prefix("DROP INDEX ") {
            // Without it a program is slower, and goes on; without one that is unique, ON CONFLICT is an error.
            let made = format!("CREATE INDEX {index} ");
            let only_speeds_up = earlier.iter().any(|text| text.to_uppercase().starts_with(&made));
            return (!only_speeds_up).then_some("it is not known that nothing but speed depends on the index");
        }
        if let Some((_, change)) = upper.strip_prefix("ALTER TABLE ").and_then(|rest| rest.split_once(' ')) {
            // Each of several changes; a comma in a type or a default is taken for the end of one, and refused.
            return change.split(", ").find_map(|change| {
                let adds_column = change.starts_with("ADD COLUMN ");
                let may_be_left_out = !change.contains(" NOT NULL") || change.contains(" DEFAULT ");
                let demands = [" UNIQUE", " CHECK", " REFERENCES", " PRIMARY KEY"];
                match () {
                    () if !adds_column => Some("it changes more than to add a column"),
                    () if !may_be_left_out => Some("who does not know the column must be able to leave it out"),
                    () if demands.iter().any(|word| change.contains(word)) => {
                        Some("who does not know the column cannot keep to what it demands")
                    }
                    () => None,
                }
            });
        }
        Some("it is none of those that are known to leave the version before running")
    }

    /// Case: two hubs of different versions serve side by side while they are upgraded one after the other: a migration that the version
    /// before cannot live with moves `readable_from`, so that this is refused instead of tried.
    #[test]
    fn what_the_version_before_cannot_live_with_is_declared() {
        let mut earlier = Vec::new();
        for (index, migration) in POSTGRES.migrations.iter().enumerate() {
            let version = index as u64 + 1;
            let statements = statements(migration);
            for statement in statements.iter().filter(|_| index > 0) {
                let Some(why) = contracts(statement, &earlier) else { continue };
                assert!(
                    POSTGRES.readable_from >= version,
                    "version {version}, `{statement}`: {why}; move readable_from"
                );
            }
            earlier.extend(statements);
        }
        assert!(POSTGRES.readable_from <= POSTGRES.migrations.len() as u64);
    }

    #[test]
    fn the_rule_tells_what_extends_from_what_takes_away() {
        let extends = [
            "CREATE TABLE new (id TEXT)",
            "CREATE UNLOGGED TABLE new (id TEXT)",
            "CREATE INDEX by_name ON package (name)",
            "DROP INDEX by_size",
            "ALTER TABLE package ADD COLUMN note TEXT",
            "ALTER TABLE package ADD COLUMN note TEXT, ADD COLUMN count BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE package ADD COLUMN note BIGINT NOT NULL DEFAULT 0",
        ];
        let takes_away = [
            "DROP TABLE package",
            "ALTER TABLE package DROP COLUMN name",
            "ALTER TABLE package RENAME COLUMN name TO title",
            "ALTER TABLE package ALTER COLUMN name TYPE BIGINT",
            "ALTER TABLE package ADD COLUMN note TEXT NOT NULL",
            "ALTER TABLE package ADD COLUMN note TEXT UNIQUE",
            "CREATE UNIQUE INDEX by_name ON package (name)",
            "CREATE TRIGGER t AFTER INSERT ON file FOR EACH ROW EXECUTE FUNCTION t()",
            "UPDATE package SET state = 'done'",
            "ALTER TABLE package ADD COLUMN note TEXT, DROP COLUMN name",
            "ALTER TABLE package ADD COLUMN note TEXT, RENAME TO parcel",
            "ALTER TABLE package ADD COLUMN note TEXT, ALTER COLUMN name SET NOT NULL",
            "ALTER TABLE package ADD COLUMN note TEXT, ALTER name SET DEFAULT ''",
            "ALTER TABLE package ADD COLUMN count BIGINT NOT NULL DEFAULT 0, ADD COLUMN note TEXT NOT NULL",
            "DROP INDEX only_name",
            "DROP INDEX by_nobody",
        ];
        let earlier = ["CREATE INDEX by_size ON package (size)", "CREATE UNIQUE INDEX only_name ON package (name)"];
        let earlier = earlier.map(str::to_owned);
        let found = |statements: &[&str]| statements.iter().filter(|text| contracts(text, &earlier).is_some()).count();
        assert_eq!((found(&extends), found(&takes_away)), (0, takes_away.len()));
        let several = "-- A comment; with a semicolon.\nCREATE TABLE a (b TEXT); -- more\nCREATE FUNCTION f() AS $$ BEGIN x; y; END $$;\nDROP TABLE c;";
        let read = statements(several);
        assert_eq!(read.len(), 3, "{read:?}");
    }

    /// Case: a hub of the version before starts over tables that a new one has changed, and both go on with them.
    #[tokio::test]
    async fn the_version_before_starts_and_works_over_the_tables_of_this_one() {
        let Some(scratch) = Scratch::new() else { return };
        let before = POSTGRES.migrations.split_last().map(|(_, before)| before).unwrap();
        if POSTGRES.readable_from > before.len() as u64 {
            return;
        }
        let before =
            PostgresSchema { migrations: before, readable_from: POSTGRES.readable_from.min(before.len() as u64) };
        let old = Database::connect(&scratch.url(), None, &before).await.unwrap();
        let made = teams::create(&old, "Before".into(), None).await.unwrap();
        let new = Database::connect(&scratch.url(), None, &POSTGRES).await.unwrap();
        let again = Database::connect(&scratch.url(), None, &before).await.unwrap();
        for (number, database) in [&old, &new, &again].into_iter().enumerate() {
            teams::create(database, format!("Team {number}"), None).await.unwrap();
            assert!(teams::list(database).await.unwrap().iter().any(|team| team.id == made.id));
        }
    }
}
