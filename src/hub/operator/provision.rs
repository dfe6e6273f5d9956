//! What the operator does with a hub from the outside of the protocol.

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tower::ServiceExt;

use crate::error::{HubError, Refusal};
use crate::http::routes::access::person_password;
use crate::http::wire::{new_id, now};
use crate::http::{auth, routes};
use crate::keys::passwords;
use crate::records::accounts;
use crate::records::accounts::{Account, NewKey, Role};
use crate::records::portals;
use crate::records::portals::Portal;
use crate::records::restrictions::Restrictions;
use crate::{Hub, Provision, ProvisionPortal, Provisioned};

/// Seconds that an operator's call may take to arrive.
const OPERATOR_LIFE: i64 = 60;
/// The largest answer of a call, bytes.
const LARGEST_ANSWER: usize = 64 << 20;

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
                let key = api_key.expose_secret();
                let new = NewKey { id: &new_id()?, team: &team, name: "agent", role: Role::Admin, key };
                accounts::insert_key(connection, &new, now())?;
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
                closes_at: None,
                access_code_hash,
                download_password_hash: None,
                expiry_days: None,
                unlimited_storage: false,
                tag_id: None,
                restrictions: Restrictions::default(),
                fields: Vec::new(),
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
        let password_hash = person_password(password.expose_secret()).await?;
        let new = Account { id: new_id()?, email, name: name.to_owned(), password_hash };
        let team_name = team_name.to_owned();
        let put = self.database().write(move |connection| {
            let team = make_sure_of_team(connection, &team_name)?;
            accounts::put_account(connection, &new, now())?;
            let account = accounts::account_by_email(connection, &new.email)?.unwrap_or(new);
            accounts::put_member(connection, &team, &account.id, role)
        });
        Ok(put.await?)
    }

    /// Makes a call of the protocol as whoever runs the hub, within this process: `target` is its path and query. The hub need not
    /// be serving, and may be served by another process. Returns the status and the JSON of the answer (`null` when it has none).
    ///
    /// # Errors
    /// [`HubError::Invalid`] for a target that is none.
    pub async fn call(&self, method: Method, target: &str, body: Option<&Value>) -> Result<(u16, Value), HubError> {
        let invalid = |error: &dyn std::fmt::Display| HubError::Invalid(error.to_string());
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let token = self.keys().operator_token(now() / 1000 + OPERATOR_LIFE);
        let request = Request::builder().method(method).uri(target).header(auth::USER_TOKEN, token).body(body);
        let request = request.map_err(|error| invalid(&error))?;
        let Ok(answer) = routes::router(self.clone()).oneshot(request).await;
        let status = answer.status().as_u16();
        let bytes = to_bytes(answer.into_body(), LARGEST_ANSWER).await.map_err(|error| invalid(&error))?;
        let value = if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes) };
        Ok((status, value.map_err(|error| invalid(&error))?))
    }
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
