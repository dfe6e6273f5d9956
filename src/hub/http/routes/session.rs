//! Signing in as a person.

use axum::Json;
use masv_protocol::{Credentials, SignedIn};

use super::about_team;
use crate::http::access::{ClientAddress, Public};
use crate::http::json_body::JsonBody;
use crate::http::refusal::Refusal;
use crate::keys::tokens;
use crate::records::accounts;

/// No account has a longer address, bytes: it is not looked up, compared or counted.
const LONGEST_ADDRESS: usize = 254;

pub(super) async fn sign_in(
    Public(hub): Public,
    ClientAddress(address): ClientAddress,
    JsonBody(given): JsonBody<Credentials>,
) -> Result<Json<SignedIn>, Refusal> {
    let wrong = || Refusal::unauthorized("the address or the password is wrong");
    let email = given.email.trim();
    if email.len() > LONGEST_ADDRESS {
        return Err(wrong());
    }
    let email = email.to_lowercase();
    let (what, password) = (format!("account {email}"), given.password.into_exposed());
    let Some(account) = accounts::find_account(hub.database(), email).await? else {
        hub.server.limiter.guess_nothing(&what, address, password).await?;
        return Err(wrong());
    };
    if !hub.server.limiter.guess(&what, address, password, account.password_hash.clone()).await? {
        return Err(wrong());
    }
    let (token, user) = (tokens::random_secret()?, account.message());
    let teams = accounts::begin_session(hub.database(), account, &token, address).await?;
    let user = about_team::person(user, &teams);
    Ok(Json(SignedIn { token: token.into(), user, teams: about_team::all_with_limits(&hub, teams) }))
}
