//! What the operator does with a hub outside the protocol.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use masv_protocol::{EmailAddress, MemberRole, TeamId, USER_TOKEN_HEADER};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tower::ServiceExt;

use crate::clock::{after, now};
use crate::http::routes;
use crate::keys::passwords;
use crate::records::members::{self, NewMember};
use crate::records::portals::{self, Portal};
use crate::records::provision;
use crate::{Hub, HubError, Provision, ProvisionPortal, Provisioned};

/// How long an operator's call may take to arrive.
const OPERATOR_LIFE: Duration = Duration::from_secs(60);
/// Maximum size of a call's response, in bytes.
const LARGEST_ANSWER: usize = 64 << 20;

impl Hub {
    /// Makes sure that a team, a key for it and its portals exist. Idempotent.
    ///
    /// # Errors
    /// [`HubError::Invalid`] for a subdomain that is not valid, or belongs to another team; [`HubError::Database`].
    pub async fn provision(&self, provision: Provision) -> Result<Provisioned, HubError> {
        let Provision { team_name, api_key, key_name, portals } = provision;
        if team_name.trim().is_empty() || api_key.expose_secret().is_empty() {
            return Err(HubError::Invalid("the name of a team and its key must not be empty".to_owned()));
        }
        let mut prepared = Vec::new();
        for portal in portals {
            prepared.push(self.prepare(portal).await?);
        }
        let key = api_key.expose_secret().to_owned();
        let team_id = provision::ensure(self.database(), team_name, (key, key_name), prepared).await?;
        Ok(Provisioned { team_id: team_id.into_string() })
    }

    /// A portal as stored; an unchanged code keeps its hash.
    async fn prepare(&self, wanted: ProvisionPortal) -> Result<Portal, HubError> {
        let subdomain = wanted.subdomain.to_lowercase();
        if !portals::is_subdomain(&subdomain) {
            return Err(HubError::Invalid(format!("{subdomain:?} is not a valid subdomain for a portal")));
        }
        let recipients = wanted.recipients.iter().map(|recipient| address(recipient)).collect::<Result<_, _>>()?;
        let known = portals::find_by_subdomain(self.database(), subdomain.clone()).await?;
        let code = wanted.access_code.as_ref().map(|code| code.expose_secret().to_owned());
        let known_hash = known.as_ref().and_then(|portal| portal.access_code_hash.clone());
        let access_code_hash = match (code, known_hash) {
            (Some(code), Some(hash)) if passwords::matches(code.clone(), hash.clone()).await? => Some(hash),
            (code, _) => passwords::hash_given(code.as_deref()).await?,
        };
        let portal = match known {
            Some(portal) => Portal { updated_at: now(), ..portal },
            // Whose it is, is known when it is stored.
            None => Portal { subdomain, active: true, ..Portal::new(TeamId::new(""))? },
        };
        Ok(Portal { name: wanted.name, recipients, access_code_hash, ..portal })
    }

    /// Makes sure that a person with this password is a member of the team with that name, which is created if there is
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
        role: MemberRole,
    ) -> Result<(), HubError> {
        let email = address(email)?;
        let password_hash = Some(passwords::hash_of_person(password.expose_secret()).await?);
        let new = NewMember { email, name: name.to_owned(), password_hash, role };
        Ok(members::ensure(self.database(), team_name.to_owned(), new).await?)
    }

    /// Makes a call of the protocol as the operator, within this process: `target` is its path and query. The hub need not
    /// be serving, and may be served by another process. Returns the status and the JSON of the response (`null` if it has none).
    ///
    /// # Errors
    /// [`HubError::Invalid`] for a target that is none.
    pub async fn call(&self, method: Method, target: &str, body: Option<&Value>) -> Result<(u16, Value), HubError> {
        let invalid = |error: &dyn std::fmt::Display| HubError::Invalid(error.to_string());
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let token = self.context.keys.operator_token(after(now(), OPERATOR_LIFE));
        let request = Request::builder().method(method).uri(target).header(USER_TOKEN_HEADER, token).body(body);
        let request = request.map_err(|error| invalid(&error))?;
        let Ok(answer) = routes::router(self.clone()).oneshot(request).await;
        let status = answer.status().as_u16();
        let bytes = to_bytes(answer.into_body(), LARGEST_ANSWER).await.map_err(|error| invalid(&error))?;
        let value = if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes) };
        Ok((status, value.map_err(|error| invalid(&error))?))
    }
}

fn address(text: &str) -> Result<EmailAddress, HubError> {
    text.parse().map_err(|error: masv_protocol::InvalidEmailAddress| HubError::Invalid(error.to_string()))
}
