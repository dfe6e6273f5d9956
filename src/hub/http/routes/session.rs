//! Signing in as a person.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Hub;
use crate::error::Refusal;
use crate::http::auth::From;
use crate::http::wire::{JsonBody, now};
use crate::keys::attempt_limiter::guess;
use crate::keys::{passwords, tokens};
use crate::records::accounts;
use crate::records::audit::Actor;

#[derive(Deserialize)]
pub(super) struct Credentials {
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
}

pub(super) async fn sign_in(
    State(hub): State<Hub>,
    From(from): From,
    JsonBody(given): JsonBody<Credentials>,
) -> Result<Json<Value>, Refusal> {
    let wrong = || Refusal::unauthorized("the address or the password is wrong");
    let email = given.email.trim().to_lowercase();
    let what = format!("account {email}");
    let account = hub.database().read(move |connection| accounts::account_by_email(connection, &email)).await?;
    let Some(account) = account else {
        hub.shared.guesses.check(&what, from, Instant::now())?;
        passwords::match_nothing(given.password).await?;
        hub.shared.guesses.wrong(&what, from, Instant::now());
        return Err(wrong());
    };
    if !guess(&hub, &what, from, given.password, account.password_hash.clone()).await? {
        return Err(wrong());
    }
    let token = tokens::random_secret().map_err(|error| Refusal::internal(&error))?;
    let shown = json!({ "token": token, "user": account.json() });
    let teams = hub
        .database()
        .write(move |connection| {
            accounts::insert_session(connection, &token, &account.id, now())?;
            let teams = accounts::teams_of(connection, &account.id)?;
            for team in &teams {
                let team = team["id"].as_str().map(str::to_owned);
                Actor { team, name: account.email.clone(), address: from }.note(connection, "session.begun", "")?;
            }
            Ok::<_, Refusal>(teams)
        })
        .await?;
    let mut answer = shown;
    answer["teams"] = teams.into();
    Ok(Json(answer))
}
