//! What the operator does with a hub from the outside of the protocol.

use secrecy::{ExposeSecret, SecretString};

use super::accounts::{self, Account, Role};
use super::error::{HubError, Refusal};
use super::portals::{self, Portal};
use super::wire::{new_id, now};
use super::{Hub, Provision, ProvisionPortal, Provisioned, passwords};

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
                let team = match accounts::team_by_name(connection, &team_name)? {
                    Some(team) => team,
                    None => {
                        let team = new_id()?;
                        accounts::insert_team(connection, &team, &team_name, now())?;
                        team
                    }
                };
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
                tag_id: None,
                restrictions: serde_json::json!({}),
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
            let team = match accounts::team_by_name(connection, &team_name)? {
                Some(team) => team,
                None => {
                    let team = new_id()?;
                    accounts::insert_team(connection, &team, &team_name, now())?;
                    team
                }
            };
            accounts::put_account(connection, &account, now())?;
            accounts::put_member(connection, &team, &account.email, role)
        });
        Ok(put.await?)
    }
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
