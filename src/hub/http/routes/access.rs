//! Who may do what: teams, their people and keys, and the log of all changes. The hub's own calls, in the protocol's style.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::Refusal;
use crate::http::auth;
use crate::http::auth::{From, Who};
use crate::http::wire::{JsonBody, new_id, now, number, text};
use crate::keys::{passwords, tokens};
use crate::records::accounts;
use crate::records::accounts::{Account, Caller, NewKey, Role};
use crate::records::listing;
use crate::records::listing::Asked;
use crate::records::{audit, quotas};
use crate::{Hub, format};

/// The fewest characters of a person's password.
pub(crate) const SHORTEST_PASSWORD: usize = 8;
/// The longest name of a person, a key or a team, bytes.
const LONGEST_NAME: usize = 255;

/// The teams that the caller can act for.
pub(super) async fn teams(State(hub): State<Hub>, headers: HeaderMap) -> Result<Json<Vec<Value>>, Refusal> {
    let who = auth::who(&hub, &headers).await?;
    let teams = hub.database().read(move |connection| match who {
        Who::Operator => accounts::teams(connection),
        Who::Person(account) => accounts::teams_of(connection, &account.id),
        Who::Key(caller) => {
            let mut teams = accounts::teams(connection)?;
            teams.retain(|team| team["id"] == caller.team_id.as_str());
            teams.iter_mut().for_each(|team| team["role"] = caller.role.as_str().into());
            Ok(teams)
        }
    });
    Ok(Json(teams.await?))
}

#[derive(Deserialize)]
pub(super) struct GivenName {
    #[serde(default, deserialize_with = "text")]
    name: Option<String>,
}

pub(super) async fn create_team(
    State(hub): State<Hub>,
    From(from): From,
    headers: HeaderMap,
    JsonBody(given): JsonBody<GivenName>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    if !matches!(auth::who(&hub, &headers).await?, Who::Operator) {
        return Err(Refusal::forbidden("only who runs the hub may make a team"));
    }
    let name = plain_name(given.name)?;
    let id = new_id()?;
    let answer = json!({ "id": id, "name": name });
    hub.database()
        .write(move |connection| {
            if accounts::team_by_name(connection, &name)?.is_some() {
                return Err(Refusal::conflict(format!("there is a team {name:?} already")));
            }
            accounts::insert_team(connection, &id, &name, now())?;
            let actor = audit::Actor { team: Some(id), name: "operator".to_owned(), address: from };
            actor.note(connection, "team.added", &name)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(answer)))
}

/// How much a team has stored, and how much it may.
pub(super) async fn usage(
    State(hub): State<Hub>,
    Path(team): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    auth::team(&hub, &headers, &team).await?;
    Ok(Json(hub.database().read(move |connection| quotas::usage(connection, &team)).await?))
}

#[derive(Deserialize)]
pub(super) struct GivenQuota {
    /// `null` takes the limit away; leaving it out does not.
    #[serde(default, deserialize_with = "given_number")]
    quota: Option<Option<u64>>,
}

fn given_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    number(deserializer).map(Some)
}

pub(super) async fn set_quota(
    State(hub): State<Hub>,
    Path(team): Path<String>,
    From(from): From,
    headers: HeaderMap,
    JsonBody(given): JsonBody<GivenQuota>,
) -> Result<Json<Value>, Refusal> {
    let caller = auth::team(&hub, &headers, &team).await?;
    if caller.role < Role::Operator {
        return Err(Refusal::forbidden("only who runs the hub may set a quota"));
    }
    let quota = given.quota.ok_or_else(|| Refusal::invalid("quota is missing: a number of bytes, or null for none"))?;
    let usage = hub.database().write(move |connection| {
        quotas::set(connection, &team, quota)?;
        let shown = quota.map_or_else(|| "none".to_owned(), format::bytes);
        caller.at(from).note(connection, "team.changed", &format!("quota {shown}"))?;
        quotas::usage(connection, &team)
    });
    Ok(Json(usage.await?))
}

fn plain_name(given: Option<String>) -> Result<String, Refusal> {
    let name = given.unwrap_or_default().trim().to_owned();
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(Refusal::invalid(format!(
            "name must have 1 to {LONGEST_NAME} bytes, none of them control characters"
        )));
    }
    Ok(name)
}

pub(super) async fn keys(
    State(hub): State<Hub>,
    Path(team): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Vec<Value>>, Refusal> {
    auth::team_admin(&hub, &headers, &team).await?;
    Ok(Json(hub.database().read(move |connection| accounts::keys(connection, &team)).await?))
}

#[derive(Deserialize)]
pub(super) struct GivenKey {
    #[serde(default, deserialize_with = "text")]
    name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    role: Option<String>,
}

/// Makes a key: this answer alone tells it.
pub(super) async fn create_key(
    State(hub): State<Hub>,
    Path(team): Path<String>,
    From(from): From,
    headers: HeaderMap,
    JsonBody(given): JsonBody<GivenKey>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let caller = auth::team_admin(&hub, &headers, &team).await?;
    let name = plain_name(given.name)?;
    let role = match role(given.role.as_deref())? {
        None => Role::Sender,
        Some(Role::Owner) => return Err(Refusal::invalid("the role of a key is sender or admin")),
        Some(role) => role,
    };
    let key = tokens::random_secret().map_err(|error| Refusal::internal(&error))?;
    let id = new_id()?;
    let answer = json!({ "id": id, "name": name, "role": role.as_str(), "key": key, "api_key": key });
    hub.database()
        .write(move |connection| {
            let new = NewKey { id: &id, team: &team, name: &name, role, key: &key };
            accounts::insert_key(connection, &new, now())?;
            caller.at(from).note(connection, "key.added", &format!("{name} ({})", role.as_str()))
        })
        .await?;
    Ok((StatusCode::CREATED, Json(answer)))
}

pub(super) async fn remove_key(
    State(hub): State<Hub>,
    Path((team, key)): Path<(String, String)>,
    From(from): From,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let caller = auth::team_admin(&hub, &headers, &team).await?;
    hub.database()
        .write(move |connection| {
            let (name, role) = accounts::delete_key(connection, &team, &key)?;
            caller.at(from).note(connection, "key.removed", &format!("{name} ({})", role.as_str()))
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn role(given: Option<&str>) -> Result<Option<Role>, Refusal> {
    let given = given.filter(|given| !given.is_empty());
    let unknown = |given| Refusal::invalid(format!("role is {given:?}, not \"sender\", \"admin\" or \"owner\""));
    given.map(|given| Role::parse(given).ok_or_else(|| unknown(given))).transpose()
}

/// What is said of a person; what is not said stays as it was.
#[derive(Deserialize)]
pub(super) struct GivenPerson {
    #[serde(default, deserialize_with = "text")]
    email: Option<String>,
    #[serde(default, deserialize_with = "text")]
    name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    password: Option<String>,
    #[serde(default, deserialize_with = "text")]
    role: Option<String>,
}

/// The hash of a person's password, if it is one.
pub(crate) async fn person_password(password: &str) -> Result<String, Refusal> {
    if password.chars().count() < SHORTEST_PASSWORD {
        return Err(Refusal::invalid(format!("a password has at least {SHORTEST_PASSWORD} characters")));
    }
    passwords::hash(password.to_owned()).await
}

pub(super) async fn members(
    State(hub): State<Hub>,
    Path(team): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Vec<Value>>, Refusal> {
    auth::team(&hub, &headers, &team).await?;
    Ok(Json(hub.database().read(move |connection| accounts::members(connection, &team)).await?))
}

/// Makes a person part of a team. Who has an account here, for another team, keeps its password.
pub(super) async fn add_member(
    State(hub): State<Hub>,
    Path(team): Path<String>,
    From(from): From,
    headers: HeaderMap,
    JsonBody(given): JsonBody<GivenPerson>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let caller = auth::team_admin(&hub, &headers, &team).await?;
    let email = given.email.unwrap_or_default().trim().to_lowercase();
    if email.parse::<lettre::Address>().is_err() {
        return Err(Refusal::invalid(format!("{email:?} is not a mail address")));
    }
    let role = role(given.role.as_deref())?.unwrap_or(Role::Sender);
    may_make(&caller, role)?;
    let hash = match given.password.as_deref().filter(|password| !password.is_empty()) {
        Some(password) => Some(person_password(password).await?),
        None => None,
    };
    let shown = hub
        .database()
        .write(move |connection| {
            let account = match (accounts::account_by_email(connection, &email)?, hash) {
                (Some(known), _) if accounts::role_in(connection, &team, &known.id)?.is_some() => {
                    return Err(Refusal::conflict(format!("{email} is in this team already")));
                }
                (Some(_), Some(_)) => {
                    let message = format!("{email} has an account of another team: leave the password out");
                    return Err(Refusal::conflict(message));
                }
                (Some(known), None) => known,
                (None, None) => return Err(Refusal::invalid("password is missing")),
                (None, Some(password_hash)) => {
                    let name = given.name.unwrap_or_default();
                    let new = Account { id: new_id()?, email, name, password_hash };
                    accounts::put_account(connection, &new, now())?;
                    new
                }
            };
            accounts::put_member(connection, &team, &account.id, role)?;
            caller.at(from).note(connection, "user.added", &format!("{} ({})", account.email, role.as_str()))?;
            Ok(shown(&account, role))
        })
        .await?;
    Ok((StatusCode::CREATED, Json(shown)))
}

fn shown(account: &Account, role: Role) -> Value {
    json!({ "id": account.id, "email": account.email, "name": account.name, "role": role.as_str() })
}

pub(super) async fn change_member(
    State(hub): State<Hub>,
    Path((team, member)): Path<(String, String)>,
    From(from): From,
    headers: HeaderMap,
    JsonBody(given): JsonBody<GivenPerson>,
) -> Result<Json<Value>, Refusal> {
    let caller = auth::team_admin(&hub, &headers, &team).await?;
    let wanted = role(given.role.as_deref())?;
    let hash = match given.password.as_deref().filter(|password| !password.is_empty()) {
        Some(password) => Some(person_password(password).await?),
        None => None,
    };
    let shown = hub
        .database()
        .write(move |connection| {
            let (mut account, before) = find(connection, &team, &member)?;
            let role = wanted.unwrap_or(before);
            may_make(&caller, before)?;
            may_make(&caller, role)?;
            let mut changed = Vec::new();
            if hash.is_some() || given.name.is_some() {
                let own = accounts::teams_of(connection, &account.id)?.len() == 1;
                if !own && caller.role < Role::Operator {
                    return Err(Refusal::forbidden("this account is also another team's: only who runs the hub may"));
                }
            }
            if let Some(name) = given.name {
                account.name = name;
                changed.push("name");
            }
            if let Some(hash) = hash {
                account.password_hash = hash;
                accounts::end_sessions(connection, &account.id)?;
                changed.push("password");
            }
            accounts::put_account(connection, &account, now())?;
            accounts::put_member(connection, &team, &account.id, role)?;
            if role != before {
                changed.push(role.as_str());
            }
            let subject = format!("{} ({})", account.email, changed.join(", "));
            caller.at(from).note(connection, "user.changed", &subject)?;
            Ok(shown(&account, role))
        })
        .await?;
    Ok(Json(shown))
}

pub(super) async fn remove_member(
    State(hub): State<Hub>,
    Path((team, member)): Path<(String, String)>,
    From(from): From,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let caller = auth::team_admin(&hub, &headers, &team).await?;
    hub.database()
        .write(move |connection| {
            let (account, role) = find(connection, &team, &member)?;
            may_make(&caller, role)?;
            accounts::remove_member(connection, &team, &account.id)?;
            caller.at(from).note(connection, "user.removed", &account.email)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A member by id or mail address.
fn find(connection: &Connection, team: &str, member: &str) -> Result<(Account, Role), Refusal> {
    let account = match accounts::account_by_email(connection, member)? {
        Some(account) => Some(account),
        None => accounts::account_by_id(connection, member)?,
    };
    let missing = || Refusal::not_found("user");
    let account = account.ok_or_else(missing)?;
    let role = accounts::role_in(connection, team, &account.id)?.ok_or_else(missing)?;
    Ok((account, role))
}

/// Refuses to make or unmake somebody who stands above the caller.
fn may_make(caller: &Caller, role: Role) -> Result<(), Refusal> {
    if caller.role < role {
        return Err(Refusal::forbidden("only an owner may make or change owners"));
    }
    Ok(())
}

pub(super) async fn audit_log(
    State(hub): State<Hub>,
    Path(team): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let caller = auth::team_admin(&hub, &headers, &team).await?;
    let of_all = caller.role == Role::Operator;
    let asked = Asked::new(query.as_deref());
    let (total, records) =
        hub.database().read(move |connection| audit::list(connection, &team, of_all, &asked)).await?;
    Ok(Json(listing::page(total, records)))
}
