//! The people of a team. The hub's own calls, in the protocol's style.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use masv_protocol::{
    AcceptInvitation, ChangeMember, ErrorKind, Invitation, Member, MemberRole, NewMember, Secret, User, UserId,
};

use crate::clock::{after, days, now};
use crate::http::access::{ClientAddress, Public, PublicBase, TeamAdmin, TeamMember};
use crate::http::json_body::{JsonBody, StrangersBody};
use crate::http::refusal::Refusal;
use crate::jobs::mail::{TextMail, send_at_once};
use crate::keys::passwords;
use crate::records::members::{self, Change};
use crate::records::{accounts, new_id};

/// For how many days an invitation is good.
const INVITED_DAYS: u64 = 7;

pub(super) async fn list(TeamMember(team): TeamMember) -> Result<Json<Vec<Member>>, Refusal> {
    Ok(Json(accounts::members(team.hub.database(), team.id()).await?))
}

/// The hash of a person's password, if given.
async fn password_hash(given: Option<Secret>) -> Result<Option<String>, Refusal> {
    match given {
        Some(password) => Ok(Some(passwords::hash_of_person(password.expose()).await?)),
        None => Ok(None),
    }
}

/// Adds a person to a team. An existing account of another team keeps its password.
pub(super) async fn add(
    TeamAdmin(team): TeamAdmin,
    JsonBody(given, ..): JsonBody<NewMember>,
) -> Result<(StatusCode, Json<Member>), Refusal> {
    let new = members::NewMember {
        email: given.email.ok_or_else(|| Refusal::invalid("email is missing"))?,
        name: given.name.unwrap_or_default(),
        password_hash: password_hash(given.password).await?,
        role: given.role.unwrap_or(MemberRole::Sender),
    };
    let by = team.by();
    let member = members::add(team.hub.database(), team.caller, by, new).await?;
    Ok((StatusCode::CREATED, Json(member)))
}

pub(super) async fn change(
    TeamAdmin(team): TeamAdmin,
    Path((_, member)): Path<(String, String)>,
    JsonBody(given, ..): JsonBody<ChangeMember>,
) -> Result<Json<Member>, Refusal> {
    let password_hash = password_hash(given.password).await?;
    let change = Change { name: given.name, password_hash, role: given.role };
    let by = team.by();
    Ok(Json(members::change(team.hub.database(), team.caller, by, (member, change)).await?))
}

/// Lets a person choose a password: mails an address where that works once. The caller gets it, too, for when no mail arrives.
pub(super) async fn invite(
    TeamAdmin(team): TeamAdmin,
    PublicBase(base): PublicBase,
    Path((_, member)): Path<(String, String)>,
) -> Result<Json<Invitation>, Refusal> {
    let (by, context) = (team.by(), &team.hub.context);
    let account = members::invite(team.hub.database(), team.caller, by, member).await?;
    let expires = after(now(), days(INVITED_DAYS));
    let token = context.keys.invitation(&account.id, &account.password_hash, expires);
    // What follows the # stays in the browser: no log of a proxy has it.
    let url = format!("{base}/app/welcome#{token}");
    let text = format!(
        "You can send and receive files at {base}/app with your e-mail address {}.\n\nChoose your password here, within {INVITED_DAYS} days:\n\n{url}\n",
        account.email
    );
    let id: String = new_id(now())?;
    let to = [account.email.clone()];
    let mail =
        TextMail { id: &id, from: &context.config.mail_from, to: &to, subject: "Choose your password", text: &text };
    let sent = send_at_once(&context.config, &mail).await;
    if let Err(reason) = &sent {
        tracing::warn!(reason, "an invitation was not mailed");
    }
    let (mailed, problem) = (sent.is_ok(), sent.err());
    Ok(Json(Invitation { email: account.email, url: url.into(), expiry: expires.into(), mailed, problem }))
}

/// Sets the password that somebody who was invited chooses; all their sessions end.
pub(super) async fn accept(
    Public(hub): Public,
    ClientAddress(address): ClientAddress,
    StrangersBody(given, ..): StrangersBody<AcceptInvitation>,
) -> Result<Json<User>, Refusal> {
    let over = || Refusal::new(ErrorKind::Expired, "this invitation was used already or is over: ask for another one");
    let token = given.token.expose();
    let whose = UserId::new(token.split('.').next().unwrap_or_default());
    let account = accounts::find_account_by_id(hub.database(), whose).await?.ok_or_else(over)?;
    if !hub.context.keys.is_invitation(token, &account.id, &account.password_hash, now()) {
        return Err(over());
    }
    let hash = passwords::hash_of_person(given.new_password.expose()).await?;
    let user = account.message();
    accounts::set_own_password(hub.database(), account, (hash, ""), address).await?;
    Ok(Json(user))
}

pub(super) async fn remove(
    TeamAdmin(team): TeamAdmin,
    Path((_, member)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let by = team.by();
    members::remove(team.hub.database(), team.caller, by, member).await?;
    Ok(StatusCode::NO_CONTENT)
}
