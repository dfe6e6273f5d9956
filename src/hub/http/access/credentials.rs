//! Callers with a key, a session or an operator's token, whatever the team.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use masv_protocol::{API_KEY_HEADER, USER_TOKEN_HEADER};

use super::{ClientAddress, Gate, Refusal, header_text};
use crate::Hub;
use crate::clock::now;
use crate::records::accounts::{self, Account, Caller};
use crate::records::api_keys::{self, NoCaller};

/// The caller.
pub(crate) enum Who {
    /// The operator of the hub.
    Operator,
    /// A key of a team.
    Key(Caller),
    /// A person.
    Person(Account),
}

/// Whether the head of a request has any of these.
pub(super) fn are_given(parts: &Parts) -> bool {
    [API_KEY_HEADER, USER_TOKEN_HEADER].iter().any(|name| header_text(&parts.headers, name).is_some())
}

/// The refusal of a key that is not valid.
pub(super) fn no_right(none: NoCaller) -> Refusal {
    Refusal::unauthorized(match none {
        NoCaller::Unknown => "the API key is not known",
        NoCaller::Expired => "the API key has expired",
        NoCaller::Inactive => "the API key is not active",
    })
}

/// The caller, whatever the team.
pub(super) async fn who(hub: &Hub, parts: &Parts) -> Result<Who, Refusal> {
    if let Some(key) = header_text(&parts.headers, API_KEY_HEADER) {
        let caller = api_keys::caller_of_key(hub.database(), key).await?;
        return caller.map(Who::Key).map_err(no_right);
    }
    let Some(session) = header_text(&parts.headers, USER_TOKEN_HEADER) else {
        return Err(Refusal::unauthorized("an API key or a session is required"));
    };
    if hub.context.keys.is_operator_token(session, now()) {
        return Ok(Who::Operator);
    }
    let account = accounts::account_of_session(hub.database(), session).await?;
    account.map(Who::Person).ok_or_else(|| Refusal::unauthorized("the session has expired or is not valid"))
}

/// Any authenticated caller may call.
pub(crate) struct SignedIn {
    pub hub: Hub,
    pub who: Who,
}

impl FromRequestParts<Gate> for SignedIn {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        let hub = gate.0.clone();
        Ok(Self { who: who(&hub, parts).await?, hub })
    }
}

/// Only a person may call, for themselves, with a session.
pub(crate) struct Session {
    pub hub: Hub,
    pub account: Account,
    pub token: String,
    pub address: Option<IpAddr>,
}

impl FromRequestParts<Gate> for Session {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        let hub = gate.0.clone();
        let Who::Person(account) = who(&hub, parts).await? else {
            return Err(Refusal::forbidden("only a signed-in person may do this"));
        };
        let token = header_text(&parts.headers, USER_TOKEN_HEADER).unwrap_or_default().to_owned();
        Ok(Self { hub, account, token, address: ClientAddress::of(parts) })
    }
}

/// Only the operator may call.
pub(crate) struct Operator {
    pub hub: Hub,
    pub address: Option<IpAddr>,
}

impl FromRequestParts<Gate> for Operator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        match who(&gate.0, parts).await? {
            Who::Operator => Ok(Self { hub: gate.0.clone(), address: ClientAddress::of(parts) }),
            Who::Key(_) | Who::Person(_) => Err(Refusal::forbidden("only the operator of the hub may create a team")),
        }
    }
}
