//! Signing in as a person.

use reqwest::Method;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::types::text;
use super::{Call, Cloud, CloudError, NO_BODY, ask};

/// A person signed in.
#[derive(Debug, Clone)]
pub struct Session {
    /// Authorises team calls for some days.
    pub token: SecretString,
    /// Who it is.
    pub user: User,
    /// The teams the person belongs to.
    pub teams: Vec<Team>,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// The cloud's id.
    #[serde(deserialize_with = "text")]
    pub id: String,
    /// Mail address.
    #[serde(default)]
    pub email: String,
    /// Name for people.
    #[serde(default)]
    pub name: String,
}

/// A team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Team {
    /// The cloud's id.
    #[serde(deserialize_with = "text")]
    pub id: String,
    /// Name for people.
    #[serde(default)]
    pub name: String,
}

#[derive(Deserialize)]
struct SignedIn {
    token: SecretString,
    user: User,
    #[serde(default)]
    teams: Vec<Team>,
}

impl Cloud {
    /// The teams that our key or session acts for.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn teams(&self) -> Result<Vec<Team>, CloudError> {
        ask(Call::ListTeams, self.team_request(Method::GET, &["v1", "teams"])?, NO_BODY).await
    }

    /// Signs in and uses the session from now on.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 401 for a wrong address or password.
    pub async fn sign_in(&self, email: &str, password: &SecretString) -> Result<Session, CloudError> {
        let body = json!({ "email": email, "password": password.expose_secret() });
        let request = self.open_request(Method::POST, &["v1", "auth"])?;
        let SignedIn { token, user, teams } = ask(Call::SignIn, request, Some(&body)).await?;
        let session = Session { token, user, teams };
        self.set_session(Some(session.clone()));
        Ok(session)
    }
}
