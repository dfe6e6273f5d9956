//! Packages: their rows, and the questions about one.

mod change;
mod life;
mod lists;
mod trash;

use std::str::FromStr;

use jiff::Timestamp;
use masv_db::{Database, DbError, Row, Work, values};
use masv_protocol::{self as protocol, EmailAddress, PackageId, PackageState, PortalId, TagId, TeamId, TeamspaceId};
use serde_json::Value;

pub(crate) use change::{Change, change};
pub(super) use life::touch;
pub(crate) use life::{NewPackage, create, end_tokens, finalize, set_expiry};
pub(crate) use lists::{Filter, ORDERS, Which, all, epochs, list, of_team};
pub(crate) use trash::{
    abandoned, delete_by, expire, forget_expired, give_up, over, purge, restore, trashed, trashed_since, with_content,
};

use super::{Error, OrNotFound};

/// A package.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub id: PackageId,
    pub team_id: TeamId,
    /// The portal that it came through, as long as there is that portal: whether it came through one, [`Self::received`] says.
    pub portal_id: Option<PortalId>,
    /// It was started through a portal: the holder of its token is an outsider.
    pub received: bool,
    /// Incremented to revoke all issued tokens.
    pub epoch: i64,
    pub state: PackageState,
    pub name: String,
    pub description: String,
    /// An e-mail address, empty when unknown, as its sender gave it.
    pub sender: String,
    pub recipients: Vec<EmailAddress>,
    /// Who is told of it when it is finalized, without a link.
    pub cc_recipients: Vec<EmailAddress>,
    /// Whether its sender is told by mail that all is there.
    pub sends_receipt: bool,
    pub password_hash: Option<String>,
    /// How often each link may be used; absent: any number.
    pub access_limit: Option<u64>,
    /// Days from finalizing; absent: the hub's default.
    pub expiry_days: Option<u64>,
    pub unlimited_storage: bool,
    pub tag_id: Option<TagId>,
    pub teamspace_id: Option<TeamspaceId>,
    /// The sender's metadata.
    pub metadata: Value,
    /// Bytes of its finalized files.
    pub size: u64,
    /// How many these are.
    pub file_count: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub finalized_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
}

/// The columns that [`Package::from_row`] reads.
const COLUMNS: &str = "id, team_id, portal_id, state, name, description, sender, recipients, password_hash, \
    access_limit, expiry_days, unlimited_storage, tag_id, teamspace_id, metadata, size, file_count, created_at, \
    updated_at, finalized_at, expires_at, received, cc_recipients, sends_receipt, epoch";

/// E-mail addresses from a column; an invalid one that an earlier version accepted is left out.
pub(super) fn addresses(row: &Row<'_>, column: usize) -> Result<Vec<EmailAddress>, DbError> {
    let stored: Vec<String> = serde_json::from_str(&row.get::<String>(column)?).unwrap_or_default();
    Ok(stored.iter().filter_map(|address| EmailAddress::from_str(address).ok()).collect())
}

impl Package {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.text(0)?,
            team_id: row.text(1)?,
            portal_id: row.maybe_text(2)?,
            state: row.word(3)?,
            name: row.get(4)?,
            description: row.get(5)?,
            sender: row.get(6)?,
            recipients: addresses(row, 7)?,
            password_hash: row.get(8)?,
            access_limit: row.get(9)?,
            expiry_days: row.get(10)?,
            unlimited_storage: row.get(11)?,
            tag_id: row.maybe_text(12)?,
            teamspace_id: row.maybe_text(13)?,
            metadata: serde_json::from_str(&row.get::<String>(14)?).unwrap_or_default(),
            size: row.get(15)?,
            file_count: row.get(16)?,
            created_at: row.get(17)?,
            updated_at: row.get(18)?,
            finalized_at: row.get(19)?,
            expires_at: row.get(20)?,
            received: row.get(21)?,
            cc_recipients: addresses(row, 22)?,
            sends_receipt: row.get(23)?,
            epoch: row.get(24)?,
        })
    }

    /// As the protocol shows it, without any secret.
    pub(crate) fn message(&self) -> protocol::Package {
        protocol::Package {
            id: self.id.clone(),
            team_id: Some(self.team_id.clone()),
            portal_id: self.portal_id.clone(),
            state: Some(self.state.into()),
            status: Some(self.state.into()),
            name: self.name.clone(),
            description: self.description.clone(),
            sender: self.sender.clone(),
            recipients: self.recipients.iter().map(ToString::to_string).collect(),
            size: self.size,
            total_files: self.file_count,
            portal_name: None,
            downloads: None,
            access_limit: self.access_limit.unwrap_or_default(),
            password_protected: self.password_hash.is_some(),
            unlimited_storage: self.unlimited_storage,
            tag_id: self.tag_id.clone(),
            teamspace_id: self.teamspace_id.clone(),
            custom_metadata: self.metadata.clone(),
            form_data_id: self.form_data_id(),
            created_at: self.created_at.into(),
            updated_at: self.updated_at.into(),
            finalized_at: protocol_time(self.finalized_at),
            expiry: protocol_time(self.expires_at),
            tag: None,
            portal: None,
            portal_subdomain: None,
        }
    }

    /// By which what its sender filled in is known: its own id; empty where nothing was.
    pub(crate) fn form_data_id(&self) -> String {
        let filled_in = self.metadata.as_object().is_some_and(|answers| !answers.is_empty());
        if filled_in { self.id.as_str().to_owned() } else { String::new() }
    }

    /// Refuses to change an expired or removed package.
    pub(super) fn check_alive(&self) -> Result<(), Error> {
        match self.state {
            PackageState::New | PackageState::Finalized => Ok(()),
            PackageState::Expired | PackageState::Archived => Err(self.in_the_way()),
        }
    }

    /// The refusal that its state does not allow it.
    fn in_the_way(&self) -> Error {
        state_in_the_way(self.state)
    }
}

/// The refusal that the state of a package does not allow it.
pub(super) fn state_in_the_way(state: PackageState) -> Error {
    Error::Conflict(format!("the package is {state}"))
}

/// A moment, or none, as the protocol has it.
pub(crate) fn protocol_time(moment: Option<Timestamp>) -> protocol::Time {
    moment.map_or(protocol::Time::UNSET, protocol::Time::from)
}

/// The package of that id, unless it was removed. In a change nobody else changes it, or what belongs to it, until that is over.
pub(super) fn find_in(work: &Work<'_>, id: &PackageId) -> Result<Option<Package>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM package WHERE id = ?1 AND removed = 0{}", work.for_change());
    Ok(work.one(&sql, values![id.as_str()], Package::from_row)?)
}

/// In a change: nobody else changes the package, or what belongs to it, until that is over. What belongs to it is changed behind this
/// only, so that two who change it meet here and nowhere else.
pub(super) fn lock(work: &Work<'_>, id: &PackageId) -> Result<(), Error> {
    let for_change = work.for_change();
    if !for_change.is_empty() {
        let sql = format!("SELECT id FROM package WHERE id = ?1{for_change}");
        work.one(&sql, values![id.as_str()], |_| Ok(()))?;
    }
    Ok(())
}

/// The package of that id, or the refusal that there is none.
pub(super) fn get_in(work: &Work<'_>, id: &PackageId) -> Result<Package, Error> {
    find_in(work, id)?.or_not_found("package")
}

/// The package of that id, or the refusal that there is none.
pub(crate) async fn get(database: &Database, id: PackageId) -> Result<Package, Error> {
    database.query(move |work| get_in(work, &id)).await
}
