//! Signing in and out as a person, and changing one's own password.

use axum::Json;
use axum::http::StatusCode;
use masv_protocol::{ChangePassword, Credentials, SignedIn, WhoIsSignedIn};

use super::about_team;
use crate::http::access::{ClientAddress, Public, Session};
use crate::http::guesses;
use crate::http::json_body::{JsonBody, StrangersBody};
use crate::http::refusal::Refusal;
use crate::keys::{passwords, tokens};
use crate::records::accounts;

/// No account has a longer address, bytes: it is not looked up, compared or counted.
const LONGEST_ADDRESS: usize = 254;

pub(super) async fn sign_in(
    Public(hub): Public,
    ClientAddress(address): ClientAddress,
    StrangersBody(given, ..): StrangersBody<Credentials>,
) -> Result<Json<SignedIn>, Refusal> {
    let wrong = || Refusal::unauthorized("the address or the password is wrong");
    let email = given.email.trim();
    if email.len() > LONGEST_ADDRESS {
        return Err(wrong());
    }
    let email = email.to_lowercase();
    let (what, password) = (format!("account {email}"), given.password.into_exposed());
    let account = accounts::find_account(hub.database(), email).await?;
    let stored = account.as_ref().map(|account| account.password_hash.clone());
    let is_right = guesses::is_right(&hub, &what, address, password, stored).await?;
    let account = account.filter(|_| is_right).ok_or_else(wrong)?;
    let (token, user) = (tokens::random_secret()?, account.message());
    let teams = accounts::begin_session(hub.database(), account, &token, address).await?;
    let user = about_team::person(user, &teams);
    Ok(Json(SignedIn { token: token.into(), user, teams: about_team::all_with_limits(&hub, teams) }))
}

/// Who is signed in, and their teams.
pub(super) async fn show(Session { hub, account, .. }: Session) -> Result<Json<WhoIsSignedIn>, Refusal> {
    let user = account.message();
    let teams = accounts::teams_of(hub.database(), account.id).await?;
    let user = about_team::person(user, &teams);
    Ok(Json(WhoIsSignedIn { user, teams: about_team::all_with_limits(&hub, teams) }))
}

/// Ends the session of the call.
pub(super) async fn sign_out(Session { hub, account, token, address }: Session) -> Result<StatusCode, Refusal> {
    accounts::end_session(hub.database(), account, &token, address).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets a new password if the old one is given; all other sessions end.
pub(super) async fn change_password(
    Session { hub, account, token, address }: Session,
    JsonBody(given, ..): JsonBody<ChangePassword>,
) -> Result<StatusCode, Refusal> {
    let (what, password) = (format!("account {}", account.email), given.password.into_exposed());
    if !guesses::is_right(&hub, &what, address, password, Some(account.password_hash.clone())).await? {
        return Err(Refusal::unauthorized("the password is wrong"));
    }
    let new = passwords::hash_of_person(given.new_password.expose()).await?;
    accounts::set_own_password(hub.database(), account, (new, &token), address).await?;
    Ok(StatusCode::NO_CONTENT)
}
