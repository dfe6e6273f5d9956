//! What became of an upload in the cloud: its package, and links to it.

use masv_protocol::TeamId;
use rusqlite::params;
use secrecy::ExposeSecret;
use serde_json::json as object;

use super::{find, require, tell_state};
use crate::model::{Link, RemotePackage, State, UploadId};
use crate::store::rows::json;
use crate::store::{Errand, Store, StoreError, events, files, now, outbox};

impl Store {
    /// The cloud has made the package.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the upload was removed meanwhile; the package is then put into the outbox
    /// to be removed from the cloud.
    pub async fn package_created(&self, id: UploadId, package: RemotePackage) -> Result<(), StoreError> {
        let orphan = Errand::remove(&package);
        let known = self
            .change(move |connection| {
                let changed = connection
                    .prepare_cached(
                        "UPDATE upload SET package_id = ?2, package_token = ?3, started_at = ?4, \
                         team_id = coalesce(?5, team_id), package_cloud = ?6 WHERE id = ?1",
                    )?
                    .execute(params![
                        id,
                        package.id.as_str(),
                        package.token.expose_secret(),
                        now(),
                        package.team.as_ref().map(TeamId::as_str),
                        package.cloud
                    ])?;
                if changed == 0 {
                    outbox::post(connection, &orphan)?;
                }
                Ok(changed > 0)
            })
            .await?;
        if known { Ok(()) } else { Err(StoreError::NotFound(id.into())) }
    }

    /// The package is no longer in the cloud, and was not complete: the upload gets another one, with all its files.
    ///
    /// # Errors
    /// [`StoreError::WrongState`] unless it transfers.
    pub async fn package_vanished(&self, id: UploadId) -> Result<(), StoreError> {
        self.begin_anew(id, "vanished").await
    }

    /// The package is finalized without everything that the upload was to send: it gets another one, with all its files.
    ///
    /// # Errors
    /// [`StoreError::WrongState`] unless it transfers.
    pub async fn package_was_finalized(&self, id: UploadId) -> Result<(), StoreError> {
        self.begin_anew(id, "finalized_before").await
    }

    /// `why` names the package that is left in the event.
    async fn begin_anew(&self, id: UploadId, why: &'static str) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            require(&found, &[State::Transferring])?;
            files::begin_anew(connection, id)?;
            connection
                .prepare_cached(
                    "UPDATE upload SET package_id = NULL, package_token = NULL, package_cloud = NULL, links = '[]', \
                     closing = 0, files_done = 0, bytes_done = 0, started_at = NULL, idle_at = NULL WHERE id = ?1",
                )?
                .execute([id])?;
            let left = found.package.as_ref().map(|package| package.id.clone());
            tell_state(connection, &found, State::Transferring, object!({ why: left }))
        })
        .await
    }

    /// A link to the package was made.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn link_created(&self, id: UploadId, link: Link) -> Result<(), StoreError> {
        self.change(move |connection| {
            let mut found = find(connection, id)?;
            let body = object!({ "url": link.url, "name": found.name });
            found.links.push(link);
            connection
                .prepare_cached("UPDATE upload SET links = ?2 WHERE id = ?1")?
                .execute(params![id, json(&found.links)])?;
            events::record(connection, "upload.link", Some(id), found.rule.as_deref(), &body)
        })
        .await
    }
}
