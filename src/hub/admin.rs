//! What the operator does with a hub from the outside of the protocol.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::accounts::{self, Account, Role};
use super::error::{HubError, Refusal};
use super::listing::{self, Asked};
use super::packages::{self, Which};
use super::portals::{self, Portal};
use super::restrictions::Restrictions;
use super::wire::{new_id, now};
use super::{Hub, Provision, ProvisionPortal, Provisioned, passwords, sign};

/// The fewest characters of a person's password.
const SHORTEST_PASSWORD: usize = 8;

impl From<Refusal> for HubError {
    fn from(refusal: Refusal) -> Self {
        Self::Invalid(refusal.message)
    }
}

impl Hub {
    /// Makes sure of a team, a key for it and its portals. Doing it again with the same changes nothing.
    ///
    /// # Errors
    /// [`HubError::Invalid`] for a subdomain that is none, or is another team's; [`HubError::Database`].
    pub async fn provision(&self, provision: Provision) -> Result<Provisioned, HubError> {
        let Provision { team_name, api_key, portals } = provision;
        if team_name.trim().is_empty() || api_key.expose_secret().is_empty() {
            return Err(HubError::Invalid("a team needs a name and its key some characters".to_owned()));
        }
        let mut prepared = Vec::new();
        for portal in portals {
            prepared.push(self.prepare(portal).await?);
        }
        let team_id = self
            .database()
            .write(move |connection| {
                let team = make_sure_of_team(connection, &team_name)?;
                accounts::insert_key(connection, &new_id()?, &team, "agent", api_key.expose_secret(), now())?;
                for portal in prepared {
                    put_portal(connection, &team, portal)?;
                }
                Ok::<_, Refusal>(team)
            })
            .await?;
        Ok(Provisioned { team_id })
    }

    /// A portal as it is stored; a code that is the stored one already keeps its hash.
    async fn prepare(&self, wanted: ProvisionPortal) -> Result<Portal, HubError> {
        let subdomain = wanted.subdomain.to_lowercase();
        if !portals::is_subdomain(&subdomain) {
            return Err(HubError::Invalid(format!("{subdomain:?} can not be the subdomain of a portal")));
        }
        let known = {
            let subdomain = subdomain.clone();
            self.database().read(move |connection| portals::find_by_subdomain(connection, &subdomain)).await?
        };
        let code = wanted.access_code.as_ref().map(|code| code.expose_secret().to_owned());
        let known_hash = known.as_ref().and_then(|portal| portal.access_code_hash.clone());
        let access_code_hash = match (code, known_hash) {
            (Some(code), Some(hash)) if passwords::matches(code.clone(), hash.clone()).await? => Some(hash),
            (code, _) => passwords::hash_given(code.as_deref()).await?,
        };
        let (name, recipients) = (wanted.name, wanted.recipients);
        Ok(match known {
            Some(portal) => Portal { name, recipients, access_code_hash, updated_at: now(), ..portal },
            None => Portal {
                id: String::new(),
                team_id: String::new(),
                subdomain,
                name,
                message: String::new(),
                recipients,
                active: true,
                access_code_hash,
                download_password_hash: None,
                expiry_days: None,
                unlimited_storage: false,
                tag_id: None,
                restrictions: Restrictions::default(),
                created_at: now(),
                updated_at: now(),
            },
        })
    }

    /// Makes sure of a person with this password, as a member of the team of that name, which is made if there is
    /// none.
    ///
    /// # Errors
    /// [`HubError::Invalid`] for an address that is none or a password that is too short; [`HubError::Database`].
    pub async fn put_user(
        &self,
        team_name: &str,
        email: &str,
        name: &str,
        password: &SecretString,
        role: Role,
    ) -> Result<(), HubError> {
        let email = email.trim().to_lowercase();
        if email.parse::<lettre::Address>().is_err() {
            return Err(HubError::Invalid(format!("{email:?} is not a mail address")));
        }
        if password.expose_secret().chars().count() < SHORTEST_PASSWORD {
            return Err(HubError::Invalid(format!("a password has at least {SHORTEST_PASSWORD} characters")));
        }
        let password_hash = passwords::hash(password.expose_secret().to_owned()).await?;
        let account = Account { id: new_id()?, email, name: name.to_owned(), password_hash };
        let team_name = team_name.to_owned();
        let put = self.database().write(move |connection| {
            let team = make_sure_of_team(connection, &team_name)?;
            accounts::put_account(connection, &account, now())?;
            accounts::put_member(connection, &team, &account.email, role)
        });
        Ok(put.await?)
    }

    /// Takes a person out of the hub; their sessions end at once.
    ///
    /// # Errors
    /// [`HubError::NotFound`], [`HubError::Database`].
    pub async fn remove_user(&self, email: &str) -> Result<(), HubError> {
        let (email, wanted) = (email.trim().to_lowercase(), email.to_owned());
        let removed = self.database().write(move |connection| {
            Ok::<_, Refusal>(connection.execute("DELETE FROM account WHERE email = ?1", [email])?)
        });
        found(removed.await?, "user", &wanted)
    }

    /// The people of a team, as the protocol shows them.
    ///
    /// # Errors
    /// [`HubError::NotFound`] for the team, [`HubError::Database`].
    pub async fn users(&self, team_name: &str) -> Result<Vec<Value>, HubError> {
        let team = self.team(team_name).await?;
        Ok(self.database().read(move |connection| accounts::members(connection, &team)).await?)
    }

    /// Makes a key that acts for a team, which is made if there is none. It is told once and stored as a hash only.
    ///
    /// # Errors
    /// [`HubError::Secret`], [`HubError::Database`].
    pub async fn create_key(&self, team_name: &str, name: &str) -> Result<SecretString, HubError> {
        let key = sign::random_secret().map_err(|error| HubError::Secret(error.to_string()))?;
        let (team_name, name, stored) = (team_name.to_owned(), name.to_owned(), key.clone());
        let made = self.database().write(move |connection| {
            let team = make_sure_of_team(connection, &team_name)?;
            accounts::insert_key(connection, &new_id()?, &team, &name, &stored, now())
        });
        made.await?;
        Ok(key.into())
    }

    /// The keys of a team: `id`, `name`, `created_at`.
    ///
    /// # Errors
    /// [`HubError::NotFound`] for the team, [`HubError::Database`].
    pub async fn keys_of(&self, team_name: &str) -> Result<Vec<Value>, HubError> {
        let team = self.team(team_name).await?;
        Ok(self.database().read(move |connection| accounts::keys(connection, &team)).await?)
    }

    /// Takes a key back; it holds no more at once.
    ///
    /// # Errors
    /// [`HubError::NotFound`], [`HubError::Database`].
    pub async fn remove_key(&self, id: &str) -> Result<(), HubError> {
        let (id, wanted) = (id.to_owned(), id.to_owned());
        let removed = self
            .database()
            .write(move |connection| Ok::<_, Refusal>(connection.execute("DELETE FROM api_key WHERE id = ?1", [id])?));
        found(removed.await?, "key", &wanted)
    }

    /// Makes sure of a portal of a team, which is made if there is none.
    ///
    /// # Errors
    /// As [`Hub::provision`].
    pub async fn put_portal(&self, team_name: &str, portal: ProvisionPortal) -> Result<(), HubError> {
        let portal = self.prepare(portal).await?;
        let team_name = team_name.to_owned();
        let put = self.database().write(move |connection| {
            let team = make_sure_of_team(connection, &team_name)?;
            put_portal(connection, &team, portal)
        });
        Ok(put.await?)
    }

    /// The portals of a team, as the protocol shows them.
    ///
    /// # Errors
    /// [`HubError::NotFound`] for the team, [`HubError::Database`].
    pub async fn portals(&self, team_name: &str) -> Result<Vec<Value>, HubError> {
        let team = self.team(team_name).await?;
        let all = Asked::new(Some("sort=name&limit=100"));
        let listed = self.database().read(move |connection| portals::list(connection, &team, &all));
        Ok(listed.await?.1.iter().map(Portal::json).collect())
    }

    /// Removes a portal; the packages that came through it stay.
    ///
    /// # Errors
    /// [`HubError::NotFound`], [`HubError::Database`].
    pub async fn remove_portal(&self, subdomain: &str) -> Result<(), HubError> {
        let (subdomain, wanted) = (subdomain.to_lowercase(), subdomain.to_owned());
        let removed = self.database().write(move |connection| {
            Ok::<_, Refusal>(connection.execute("DELETE FROM portal WHERE subdomain = ?1", [subdomain])?)
        });
        found(removed.await?, "portal", &wanted)
    }

    /// A page of a team's packages, sent or received by portals, as the protocol lists them: `query` is that of
    /// `GET /v1.1/teams/{team}/packages`.
    ///
    /// # Errors
    /// [`HubError::NotFound`] for the team, [`HubError::Database`].
    pub async fn packages(&self, team_name: &str, received: bool, query: &str) -> Result<Value, HubError> {
        let team = self.team(team_name).await?;
        let which = if received { Which::Received } else { Which::Sent };
        let asked = Asked::new(Some(query));
        let listed = self.database().read(move |connection| packages::list(connection, &team, which, &asked));
        let (total, packages) = listed.await?;
        Ok(listing::page(total, packages.iter().map(packages::Package::json).collect()))
    }

    /// Removes a package with everything that belongs to it.
    ///
    /// # Errors
    /// [`HubError::NotFound`], [`HubError::Database`].
    pub async fn remove_package(&self, id: &str) -> Result<(), HubError> {
        let package = id.to_owned();
        let removed = self.database().write(move |connection| packages::delete(connection, &package)).await;
        match removed {
            Err(refusal) if refusal.status == axum::http::StatusCode::NOT_FOUND => found(0, "package", id),
            Err(refusal) => Err(refusal.into()),
            Ok(uploads) => {
                self.storage().remove_package(id, &uploads).await;
                Ok(())
            }
        }
    }

    async fn team(&self, name: &str) -> Result<String, HubError> {
        let wanted = name.to_owned();
        let team = self.database().read(move |connection| accounts::team_by_name(connection, &wanted)).await?;
        team.ok_or_else(|| HubError::NotFound { what: "team", name: name.to_owned() })
    }
}

fn found(removed: usize, what: &'static str, name: &str) -> Result<(), HubError> {
    if removed == 0 { Err(HubError::NotFound { what, name: name.to_owned() }) } else { Ok(()) }
}

fn make_sure_of_team(connection: &rusqlite::Connection, name: &str) -> Result<String, Refusal> {
    if let Some(team) = accounts::team_by_name(connection, name)? {
        return Ok(team);
    }
    let team = new_id()?;
    accounts::insert_team(connection, &team, name, now())?;
    Ok(team)
}

fn put_portal(connection: &rusqlite::Connection, team: &str, portal: Portal) -> Result<(), Refusal> {
    match portals::find_by_subdomain(connection, &portal.subdomain)? {
        Some(known) if known.team_id != team => {
            Err(Refusal::conflict(format!("the subdomain {} is another team's", portal.subdomain)))
        }
        Some(known) => portals::update(connection, &Portal { id: known.id, team_id: known.team_id, ..portal }),
        None => portals::insert(connection, &Portal { id: new_id()?, team_id: team.to_owned(), ..portal }),
    }
}
