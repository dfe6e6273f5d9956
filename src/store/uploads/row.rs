//! An upload as its row keeps it, and back.
//!
//! Must never know: transitions.

use std::collections::BTreeMap;

use masv_protocol::TeamId;
use rusqlite::Row;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::model::{Destination, RemotePackage, Totals, Upload};
use crate::store::StoreError;
use crate::store::rows::{from_json, from_word, time, unsigned};

/// What [`upload`] reads, in this order.
pub(super) const COLUMNS: &str = "id, position, destination, name, description, password, options, team_id, chunk_size, priority, \
     auto_finalize, rule, state, closing, problem, package_id, package_token, links, files, files_done, bytes, \
     bytes_done, created_at, started_at, idle_at, completed_at, package_cloud";

/// [`Destination`] as its column keeps it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StoredDestination {
    Email { recipients: Vec<String> },
    Link,
    Portal { subdomain: String, sender: String, access_code: Option<String>, metadata: BTreeMap<String, String> },
}

impl From<&Destination> for StoredDestination {
    fn from(destination: &Destination) -> Self {
        match destination {
            Destination::Email { recipients } => Self::Email { recipients: recipients.clone() },
            Destination::Link => Self::Link,
            Destination::Portal { subdomain, sender, access_code, metadata } => Self::Portal {
                subdomain: subdomain.clone(),
                sender: sender.clone(),
                access_code: access_code.as_ref().map(|code| code.expose_secret().to_owned()),
                metadata: metadata.clone(),
            },
        }
    }
}

impl From<StoredDestination> for Destination {
    fn from(stored: StoredDestination) -> Self {
        match stored {
            StoredDestination::Email { recipients } => Self::Email { recipients },
            StoredDestination::Link => Self::Link,
            StoredDestination::Portal { subdomain, sender, access_code, metadata } => {
                Self::Portal { subdomain, sender, access_code: access_code.map(SecretString::from), metadata }
            }
        }
    }
}

/// The upload in a row of [`COLUMNS`].
pub(super) fn upload(row: &Row<'_>) -> Result<Upload, StoreError> {
    let destination: StoredDestination = from_json(&row.get::<_, String>(2)?, "upload.destination")?;
    let problem: Option<String> = row.get(14)?;
    let package_id: Option<String> = row.get(15)?;
    let package_token: Option<String> = row.get(16)?;
    let (team_id, cloud): (Option<String>, _) = (row.get(7)?, row.get(26)?);
    Ok(Upload {
        id: row.get(0)?,
        position: row.get(1)?,
        destination: destination.into(),
        name: row.get(3)?,
        description: row.get(4)?,
        password: row.get::<_, Option<String>>(5)?.map(SecretString::from),
        options: from_json(&row.get::<_, String>(6)?, "upload.options")?,
        team_id: team_id.clone().map(TeamId::from),
        chunk_size: row.get::<_, Option<i64>>(8)?.map(unsigned),
        priority: row.get(9)?,
        auto_finalize: row.get(10)?,
        rule: row.get(11)?,
        state: from_word(row.get(12)?, "upload.state")?,
        closing: row.get(13)?,
        problem: problem.map(|text| from_json(&text, "upload.problem")).transpose()?,
        package: package_id.zip(package_token).map(|(id, token)| RemotePackage {
            cloud,
            team: team_id.map(TeamId::from),
            id: id.into(),
            token: token.into(),
        }),
        links: from_json(&row.get::<_, String>(17)?, "upload.links")?,
        totals: Totals {
            files: unsigned(row.get(18)?),
            files_done: unsigned(row.get(19)?),
            bytes: unsigned(row.get(20)?),
            bytes_done: unsigned(row.get(21)?),
        },
        created_at: time(row.get(22)?),
        started_at: row.get::<_, Option<i64>>(23)?.map(time),
        idle_at: row.get::<_, Option<i64>>(24)?.map(time),
        completed_at: row.get::<_, Option<i64>>(25)?.map(time),
    })
}
