//! What the tests of the records and the jobs share: a separate database, and initial values.

use jiff::Timestamp;
use masv_db::{Database, values};
use masv_protocol::{PackageState, TeamId};
use serde_json::Value;
use tempfile::TempDir;

use super::jobs::Chore;
use super::packages::{NewPackage, Package};
use super::{Error, schema, teams};

/// An empty database with a team in it, gone with the folder.
pub(crate) async fn database() -> (TempDir, Database, TeamId) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("hub.db"), schema::MIGRATIONS).unwrap();
    let team = teams::create(&database, "Team".into(), None).await.unwrap();
    (folder, database, team.id)
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
    }
}
