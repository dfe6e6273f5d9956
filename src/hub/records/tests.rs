//! What the tests of the records and the jobs share: a separate database, and initial values; and that both engines take the same
//! statements and have the same tables.

use jiff::Timestamp;
use masv_db::scratch::Scratch;
use masv_db::{Database, values};
use masv_protocol::{PackageState, TeamId};
use serde_json::Value;
use tempfile::TempDir;

use super::jobs::Chore;
use super::packages::{NewPackage, Package};
use super::{Error, schema, teams};

/// Where a database of a test is: gone with this.
pub(crate) struct Place {
    folder: TempDir,
    scratch: Option<Scratch>,
}

impl Place {
    /// A folder, or tables of their own where the tests are to run on PostgreSQL.
    fn new() -> Self {
        let scratch = if Scratch::is_wanted() { Scratch::new() } else { None };
        Self { folder: tempfile::tempdir().unwrap(), scratch }
    }

    /// Opens it, as each process does for itself.
    pub(crate) async fn open(&self) -> Database {
        match &self.scratch {
            Some(scratch) => Database::connect(&scratch.url(), None, &schema::POSTGRES).await.unwrap(),
            None => Database::open(&self.folder.path().join("hub.db"), schema::MIGRATIONS).unwrap(),
        }
    }
}

/// An empty database with a team in it, gone with its place.
pub(crate) async fn database() -> (Place, Database, TeamId) {
    let place = Place::new();
    let database = place.open().await;
    let team = teams::create(&database, "Team".into(), None).await.unwrap();
    (place, database, team.id)
}

/// Leaves no chore but this one.
pub(crate) async fn only_chore(database: &Database, chore: Chore) {
    let removing = database.transact(move |work| {
        work.run("DELETE FROM job WHERE kind = 'chore' AND id != ?1", values![chore.as_str()])?;
        Ok::<_, Error>(())
    });
    removing.await.unwrap();
}

/// A new package that nothing is set of.
pub(crate) fn package(id: &str) -> Package {
    Package {
        id: id.into(),
        team_id: "T".into(),
        portal_id: None,
        received: false,
        epoch: 0,
        state: PackageState::New,
        name: String::new(),
        description: String::new(),
        sender: String::new(),
        recipients: Vec::new(),
        cc_recipients: Vec::new(),
        sends_receipt: true,
        password_hash: None,
        access_limit: None,
        expiry_days: None,
        unlimited_storage: false,
        tag_id: None,
        teamspace_id: None,
        metadata: Value::Null,
        size: 0,
        file_count: 0,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        finalized_at: None,
        expires_at: None,
    }
}

/// A package to be made that nothing is set of.
pub(crate) fn new_package(team: &TeamId) -> NewPackage {
    NewPackage {
        team_id: team.clone(),
        portal_id: None,
        name: "Dailies".into(),
        description: String::new(),
        sender: String::new(),
        recipients: Vec::new(),
        cc_recipients: Vec::new(),
        sends_receipt: true,
        password_hash: None,
        access_limit: None,
        expiry_days: None,
        unlimited_storage: false,
        tag: None,
        metadata: Value::Null,
        key: None,
    }
}

/// The statements in the source that are a whole: those that are put together run in the tests of both engines.
fn statements() -> Vec<(String, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(root.join("records")).into_iter().map(Result::unwrap) {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "rs") || path.ends_with("tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for literal in text.split('"').skip(1).step_by(2) {
            let is_statement =
                ["SELECT ", "INSERT ", "UPDATE ", "DELETE "].iter().any(|word| literal.starts_with(word));
            if is_statement && !literal.contains('{') && !literal.contains('\\') {
                found.push((path.display().to_string(), literal.to_owned()));
            }
        }
    }
    assert!(found.len() > 90, "{} statements are found", found.len());
    found
}

/// There is one text of SQL: every statement is taken by SQLite and by PostgreSQL.
#[tokio::test]
async fn both_engines_take_every_statement() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Database::open(&folder.path().join("hub.db"), schema::MIGRATIONS).unwrap();
    let mut engines = vec![("SQLite", sqlite)];
    let scratch = Scratch::new();
    if let Some(scratch) = &scratch {
        engines.push(("PostgreSQL", Database::connect(&scratch.url(), None, &schema::POSTGRES).await.unwrap()));
    }
    let mut refused = Vec::new();
    for (engine, database) in &engines {
        for (file, statement) in statements() {
            let sql = statement.clone();
            if let Err(error) = database.query(move |work| work.prepare(&sql)).await {
                let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), |why| format!("{why:?}"));
                refused.push(format!("{engine}: {file}: {statement}: {why}"));
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// What a table has: its columns, whether each may be empty, and its indexes by name.
type Shape = std::collections::BTreeMap<String, std::collections::BTreeSet<String>>;

/// Both sets of migrations lead to the same tables, but for what PostgreSQL's indexes cannot have.
#[tokio::test]
async fn both_engines_have_the_same_tables() {
    let Some(scratch) = Scratch::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Database::open(&folder.path().join("hub.db"), schema::MIGRATIONS).unwrap();
    let postgres = Database::connect(&scratch.url(), None, &schema::POSTGRES).await.unwrap();
    let of_sqlite = "SELECT t.name, c.name || CASE WHEN c.\"notnull\" = 1 OR c.pk > 0 THEN ' always' ELSE '' END
            FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c WHERE t.type = 'table'
         UNION ALL SELECT tbl_name, 'index ' || name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL";
    let of_postgres = "SELECT table_name, column_name || CASE is_nullable WHEN 'NO' THEN ' always' ELSE '' END
            FROM information_schema.columns WHERE table_schema = current_schema() AND table_name != 'schema_version'
         UNION ALL SELECT tablename, 'index ' || indexname FROM pg_indexes WHERE schemaname = current_schema()
            AND indexname NOT LIKE '%_pkey' AND indexname NOT LIKE '%_key'";
    let shape = |database: Database, sql: &'static str| async move {
        let reading = database
            .query(move |work| work.all(sql, values![], |row| Ok((row.get::<String>(0)?, row.get::<String>(1)?))));
        let mut shape = Shape::new();
        for (table, what) in reading.await.unwrap() {
            shape.entry(table).or_default().insert(what);
        }
        shape
    };
    let (expected, mut found) = (shape(sqlite, of_sqlite).await, shape(postgres, of_postgres).await);
    // Paths and names are too long for an index there.
    assert!(found.get_mut("file").unwrap().remove("index file_unfinished"));
    assert_eq!(found, expected);
}
