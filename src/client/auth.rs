//! Signing in as a person.

use masv_protocol::{Credentials, SignedIn, Team};
use reqwest::Method;
use secrecy::SecretString;

use super::{Call, Cloud, CloudError, NO_BODY, ask};

impl Cloud {
    /// The teams that the key or session acts for.
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
    pub async fn sign_in(&self, email: &str, password: &SecretString) -> Result<SignedIn, CloudError> {
        let credentials = Credentials { email: email.to_owned(), password: password.clone().into() };
        let request = self.open_request(Method::POST, &["v1", "auth"])?;
        let session: SignedIn = ask(Call::SignIn, request, Some(&credentials)).await?;
        self.set_session(Some(session.clone()));
        Ok(session)
    }
}
