//! Downloads: created, listed, moved from state to state. Every transition is one transaction with its event, and with
//! the outcome of the delivery that it fetches.

mod files;

use std::path::PathBuf;

use masv_protocol::TeamId;
use rusqlite::{Connection, OptionalExtension, Row, params};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json as object};

use super::deliveries::{self, DeliveryOutcome};
use super::rows::{NAMED, from_json, from_word, json, time, unsigned, word};
use super::{Errand, Store, StoreError, events, now, outbox};
use crate::model::{Delivered, Download, DownloadId, DownloadSource, DownloadSpec, Owner};
use crate::model::{DownloadFilter, Problem, RemotePackage, State, Totals};
use masv_platform::{bytes_to_path, path_to_bytes};

const COLUMNS: &str = "id, api, link_id, link_secret, password, destination, package_folder, chosen, overwrite, \
     priority, rule, state, problem, name, package_id, package_token, listed, files, files_done, bytes, bytes_done, \
     created_at, started_at, completed_at, team_id, portal, portal_folder, remove_package, owner_uid, owner_gid, root";

fn download(row: &Row<'_>) -> Result<Download, StoreError> {
    let secret = |column| row.get::<_, Option<String>>(column).map(|text| text.map(SecretString::from));
    let link_id: Option<String> = row.get(2)?;
    let package_id: Option<String> = row.get(14)?;
    let name: Option<String> = row.get(13)?;
    let team: Option<String> = row.get(24)?;
    let source = match (link_id, team.clone(), &package_id) {
        (Some(id), ..) => {
            let secret_of_link = secret(3)?.ok_or(StoreError::Unreadable("download.link_secret"))?;
            DownloadSource::Link { id, secret: secret_of_link, password: secret(4)? }
        }
        (None, Some(team), Some(package)) => DownloadSource::Inbox(Delivered {
            team: team.into(),
            portal: row.get::<_, Option<String>>(25)?.unwrap_or_default(),
            package: package.as_str().into(),
            name: name.clone().unwrap_or_default(),
        }),
        (None, ..) => return Err(StoreError::Unreadable("download.link_id")),
    };
    let api: String = row.get(1)?;
    let package = package_id.zip(secret(15)?).map(|(id, token)| RemotePackage {
        cloud: Some(api.clone()),
        team: team.map(TeamId::from),
        id: id.into(),
        token,
    });
    let problem: Option<String> = row.get(12)?;
    Ok(Download {
        id: row.get(0)?,
        spec: DownloadSpec {
            api,
            source,
            destination: bytes_to_path(&row.get::<_, Vec<u8>>(5)?),
            root: row.get::<_, Option<Vec<u8>>>(30)?.map(|root| bytes_to_path(&root)),
            portal_folder: row.get(26)?,
            package_folder: row.get(6)?,
            chosen: from_json(&row.get::<_, String>(7)?, "download.chosen")?,
            overwrite: row.get(8)?,
            owner: Owner { uid: row.get(28)?, gid: row.get(29)? },
            priority: row.get(9)?,
            rule: row.get(10)?,
            remove_package: row.get(27)?,
        },
        state: from_word(row.get(11)?, "download.state")?,
        problem: problem.map(|text| from_json(&text, "download.problem")).transpose()?,
        name,
        package,
        listed: row.get(16)?,
        totals: Totals {
            files: unsigned(row.get(17)?),
            files_done: unsigned(row.get(18)?),
            bytes: unsigned(row.get(19)?),
            bytes_done: unsigned(row.get(20)?),
        },
        created_at: time(row.get(21)?),
        started_at: row.get::<_, Option<i64>>(22)?.map(time),
        completed_at: row.get::<_, Option<i64>>(23)?.map(time),
    })
}

fn find(connection: &Connection, id: DownloadId) -> Result<Download, StoreError> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM download WHERE id = ?1"))?
        .query_row([id], |row| Ok(download(row)))
        .optional()?
        .ok_or(StoreError::NotFound(id.into()))?
}

fn require(found: &Download, allowed: &[State]) -> Result<(), StoreError> {
    if allowed.contains(&found.state) {
        Ok(())
    } else {
        Err(StoreError::WrongState { id: found.id.into(), state: found.state.as_str() })
    }
}

fn tell(connection: &Connection, kind: &str, found: &Download, more: Value) -> Result<(), StoreError> {
    let mut body = object!({ "download_id": found.id, "name": found.name });
    if let DownloadSource::Inbox(delivered) = &found.spec.source {
        body["portal"] = delivered.portal.as_str().into();
    }
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    events::record(connection, kind, None, found.spec.rule.as_deref(), &body)
}

fn set_state(
    connection: &Connection,
    found: &Download,
    state: State,
    problem: Option<&Problem>,
    more: Value,
) -> Result<(), StoreError> {
    connection.prepare_cached("UPDATE download SET state = ?2, problem = ?3 WHERE id = ?1")?.execute(params![
        found.id,
        word(&state),
        problem.map(json)
    ])?;
    let kind = match state {
        State::Complete => "download.complete",
        State::Error => "download.error",
        State::Transferring | State::Paused | State::Idle => "download.state",
    };
    let mut body = object!({ "state": state });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    tell(connection, kind, found, body)
}

fn insert(connection: &Connection, id: DownloadId, spec: &DownloadSpec) -> Result<(), StoreError> {
    let (link, delivered) = match &spec.source {
        DownloadSource::Link { id, secret, password } => (Some((id, secret, password.as_ref())), None),
        DownloadSource::Inbox(delivered) => (None, Some(delivered)),
    };
    connection
        .prepare_cached(
            "INSERT INTO download (id, position, api, link_id, link_secret, password, destination, package_folder, \
             chosen, overwrite, priority, rule, state, package_id, name, created_at, team_id, portal, portal_folder, \
             remove_package, owner_uid, owner_gid, root) VALUES (?1, (SELECT coalesce(max(position), 0) + 1 FROM download), \
             ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'transferring', ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
        )?
        .execute(params![
            id,
            spec.api,
            link.map(|(id, _, _)| id),
            link.map(|(_, secret, _)| secret.expose_secret()),
            link.and_then(|(_, _, password)| password).map(ExposeSecret::expose_secret),
            path_to_bytes(&spec.destination),
            spec.package_folder,
            json(&spec.chosen),
            spec.overwrite,
            spec.priority,
            spec.rule,
            delivered.map(|delivered| delivered.package.as_str()),
            delivered.map(|delivered| &delivered.name),
            now(),
            delivered.map(|delivered| delivered.team.as_str()),
            delivered.map(|delivered| &delivered.portal),
            spec.portal_folder,
            spec.remove_package,
            spec.owner.uid,
            spec.owner.gid,
            spec.root.as_deref().map(path_to_bytes),
        ])?;
    if let (Some(rule), Some(delivered)) = (&spec.rule, delivered) {
        deliveries::take(connection, rule, delivered, id)?;
    }
    let found = find(connection, id)?;
    tell(connection, "download.created", &found, object!({ "state": found.state }))
}

impl Store {
    /// Creates a download; if a rule creates it for a delivery, it claims the delivery permanently.
    ///
    /// # Errors
    /// [`StoreError::AlreadyDelivered`] when the rule has taken the delivery before: nothing was made.
    pub async fn insert_download(&self, id: DownloadId, spec: DownloadSpec) -> Result<(), StoreError> {
        self.change(move |connection| insert(connection, id, &spec)).await
    }

    /// One download.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn download(&self, id: DownloadId) -> Result<Download, StoreError> {
        self.read(move |connection| find(connection, id)).await
    }

    /// The downloads that `filter` lets through, newest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn downloads(&self, filter: DownloadFilter) -> Result<Vec<Download>, StoreError> {
        self.read(move |connection| {
            let states: Vec<String> = filter.states.iter().map(word).collect();
            let named = if filter.named.is_empty() { "" } else { NAMED };
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM download WHERE (?1 = '[]' OR state IN (SELECT value FROM json_each(?1))) \
                 AND (?2 IS NULL OR id < ?2) AND (?3 IS NULL OR rule = ?3) AND created_at >= ?4 AND created_at < ?7 \
                 AND instr(lower(coalesce(name, '') || ' ' || coalesce(rule, '')), lower(?5)) > 0 \
                 {named} ORDER BY id DESC LIMIT ?8"
            ))?;
            let since = filter.since.map_or(i64::MIN, |since| since.as_millisecond());
            let until = filter.until.map_or(i64::MAX, |until| until.as_millisecond());
            let limit = if filter.limit == 0 { -1 } else { i64::from(filter.limit) };
            let mut rows = statement.query(params![
                json(&states),
                filter.before,
                filter.rule,
                since,
                filter.search,
                filter.named,
                until,
                limit
            ])?;
            let mut downloads = Vec::new();
            while let Some(row) = rows.next()? {
                downloads.push(download(row)?);
            }
            Ok(downloads)
        })
        .await
    }

    /// The link was opened: the package, the right to read it, its name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it was removed meanwhile.
    pub async fn download_opened(
        &self,
        id: DownloadId,
        package: RemotePackage,
        name: String,
    ) -> Result<(), StoreError> {
        self.change(move |connection| {
            find(connection, id)?;
            connection
                .prepare_cached(
                    "UPDATE download SET package_id = ?2, package_token = ?3, name = coalesce(name, ?4) WHERE id = ?1",
                )?
                .execute(params![id, package.id.as_str(), package.token.expose_secret(), name])?;
            Ok(())
        })
        .await
    }

    /// The folder that a download's package has for itself: `wanted`, or that with a number where another package that goes to
    /// the same place has it. Once chosen it stays.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it was removed meanwhile.
    pub async fn package_folder(&self, id: DownloadId, wanted: String) -> Result<String, StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            let chosen: Option<String> = connection
                .prepare_cached("SELECT folder FROM download WHERE id = ?1")?
                .query_row([id], |row| row.get(0))?;
            match chosen {
                Some(chosen) => return Ok(chosen),
                // Its files have their places already.
                None if found.listed => return Ok(wanted),
                None => {}
            }
            let package = found.package.map(|package| package.id.into_string());
            let mut is_taken = connection.prepare_cached(
                "SELECT count(*) FROM download AS other, download AS this WHERE this.id = ?1 AND other.id <> this.id \
                 AND other.package_folder AND other.destination = this.destination \
                 AND other.portal_folder = this.portal_folder AND (NOT this.portal_folder OR other.portal IS this.portal) \
                 AND lower(coalesce(other.folder, other.name)) = lower(?2) AND other.package_id IS NOT ?3 \
                 AND (other.folder IS NOT NULL OR other.listed)",
            )?;
            let mut folder = wanted.clone();
            let mut number = 1;
            while is_taken.query_row(params![id, folder, package], |row| row.get::<_, i64>(0))? > 0 {
                number += 1;
                folder = format!("{wanted} ({number})");
            }
            connection
                .prepare_cached("UPDATE download SET folder = ?2 WHERE id = ?1")?
                .execute(params![id, folder])?;
            Ok(folder)
        })
        .await
    }

    /// All is on the disk, in `folder`: the download is complete. Whether that is so.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::WrongState`] if it was paused meanwhile.
    pub async fn download_completed(&self, id: DownloadId, folder: PathBuf) -> Result<bool, StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            require(&found, &[State::Transferring])?;
            if found.totals.files_done < found.totals.files {
                return Ok(false);
            }
            connection
                .prepare_cached("UPDATE download SET completed_at = ?2 WHERE id = ?1")?
                .execute(params![id, now()])?;
            deliveries::settle(connection, id, DeliveryOutcome::Received)?;
            if let Some(package) = found.package.as_ref().filter(|_| found.spec.remove_package) {
                outbox::post(connection, &Errand::remove(package))?;
            }
            let more = object!({
                "files": found.totals.files, "bytes": found.totals.bytes,
                "destination": folder.to_string_lossy(),
            });
            set_state(connection, &found, State::Complete, None, more)?;
            Ok(true)
        })
        .await
    }

    /// Moves a download to `to` if it is in one of `from`; if it is already there, nothing changes.
    ///
    /// # Errors
    /// [`StoreError::WrongState`] from any other state.
    pub async fn move_download(
        &self,
        id: DownloadId,
        from: &'static [State],
        to: State,
        problem: Option<Problem>,
    ) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            if found.state == to && found.problem == problem {
                return Ok(());
            }
            require(&found, from)?;
            let more = problem.as_ref().map_or(Value::Null, |problem| object!({ "error": problem }));
            set_state(connection, &found, to, problem.as_ref(), more)
        })
        .await
    }

    /// Lets a failed or paused download try again: what failed in it is waiting once more.
    ///
    /// # Errors
    /// [`StoreError::WrongState`] when it is complete.
    pub async fn try_download_again(&self, id: DownloadId) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            require(&found, &[State::Paused, State::Error, State::Transferring])?;
            if found.state == State::Transferring {
                return Ok(());
            }
            connection
                .prepare_cached(
                    "UPDATE download_file SET state = 'waiting', problem = NULL \
                     WHERE download_id = ?1 AND state = 'error'",
                )?
                .execute([id])?;
            set_state(connection, &found, State::Transferring, None, Value::Null)
        })
        .await
    }

    /// Removes a download. A delivery whose download is not complete is downloaded again only on request.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn remove_download(&self, id: DownloadId) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            if found.state != State::Complete {
                deliveries::settle(connection, id, DeliveryOutcome::Cancelled)?;
            }
            connection.prepare_cached("DELETE FROM download WHERE id = ?1")?.execute([id])?;
            tell(connection, "download.removed", &found, object!({ "state": found.state }))
        })
        .await
    }

    /// Changes the priority.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn set_download_priority(&self, id: DownloadId, priority: i32) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            connection
                .prepare_cached("UPDATE download SET priority = ?2 WHERE id = ?1")?
                .execute(params![id, priority])?;
            tell(connection, "download.priority", &found, object!({ "priority": priority }))
        })
        .await
    }
}
