//! Signing in as a person.

use masv_protocol::{Credentials, SignedIn, Team, USER_TOKEN_HEADER};
use reqwest::Method;
use secrecy::SecretString;

use super::{Call, Cloud, CloudError, NO_BODY, ask, tell};

impl Cloud {
    /// The teams that the key or session acts for.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn teams(&self) -> Result<Vec<Team>, CloudError> {
        ask(Call::ListTeams, self.team_request(Method::GET, &["v1", "teams"])?, NO_BODY).await
    }

    /// Ends a session in the cloud.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 401 if it has ended already; by a cloud that cannot end sessions with 404 or 405.
    pub async fn end_session(&self, session: &SignedIn) -> Result<(), CloudError> {
        let request = self.open_request(Method::DELETE, &["v1", "auth"])?;
        tell(Call::SignOut, request.header(USER_TOKEN_HEADER, session.token.expose()), NO_BODY).await
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
