//! People, their roles in teams, and their sessions.

use std::net::IpAddr;

use jiff::Timestamp;
use masv_db::{Database, DbError, Row, Work, values};
use masv_protocol::{KeyId, Member, MemberRole, Open, Role, Team, TeamId, User, UserId};

use super::Error;
use super::audit::Actor;
use crate::clock::{after, days, now};
use crate::keys::tokens::digest;

/// How many days a session is valid.
pub(crate) const SESSION_LIFE: u64 = 7;
/// The maximum number of sessions of a person: those that expire first make room.
const MOST_SESSIONS: i64 = 100;

/// The caller of a team call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub team_id: TeamId,
    /// E-mail address of a person, empty for a key.
    pub email: String,
    /// As the audit log calls it.
    pub name: String,
    pub role: Role,
    /// The key of the call, if any.
    pub key: Option<KeyId>,
    /// The person who creates it, if any.
    pub account: Option<UserId>,
}

impl Caller {
    /// Who the recipients of what it sends read as the sender: the mail address of a person, the name of a key.
    pub(crate) fn sender(&self) -> String {
        match (&self.key, self.email.as_str()) {
            (Some(_), "") => self.name.strip_prefix("key ").unwrap_or(&self.name).to_owned(),
            (_, email) => email.to_owned(),
        }
    }

    /// The caller, at the address that the request came from, for the audit log.
    pub(crate) fn at(&self, address: Option<IpAddr>) -> Actor {
        Actor { team: Some(self.team_id.clone()), name: self.name.clone(), address }
    }
}

/// A role as stored; an unknown one gets the fewest rights.
pub(super) fn stored_role(text: &str) -> MemberRole {
    text.parse().unwrap_or(MemberRole::Sender)
}

/// A person.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub id: UserId,
    /// In lower case.
    pub email: String,
    pub name: String,
    pub password_hash: String,
}

const ACCOUNT: &str = "account.id, account.email, account.name, account.password_hash";

impl Account {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self { id: row.text(0)?, email: row.get(1)?, name: row.get(2)?, password_hash: row.get(3)? })
    }

    /// As the protocol shows it.
    pub(crate) fn message(&self) -> User {
        User {
            id: self.id.clone(),
            email: self.email.clone(),
            name: self.name.clone(),
            level: None,
            time_zone: None,
            preferred_team_id: None,
        }
    }
}

/// The person of that address.
pub(super) fn account_by_email(work: &Work<'_>, email: &str) -> Result<Option<Account>, Error> {
    let sql = format!("SELECT {ACCOUNT} FROM account WHERE email = ?1{}", work.for_change());
    Ok(work.one(&sql, values![email.trim().to_lowercase()], Account::from_row)?)
}

/// The person of that address.
pub(crate) async fn find_account(database: &Database, email: String) -> Result<Option<Account>, Error> {
    database.query(move |work| account_by_email(work, &email)).await
}

/// The person of that id.
pub(super) fn account_by_id(work: &Work<'_>, id: &str) -> Result<Option<Account>, Error> {
    let sql = format!("SELECT {ACCOUNT} FROM account WHERE id = ?1{}", work.for_change());
    Ok(work.one(&sql, values![id], Account::from_row)?)
}

/// The person of that id.
pub(crate) async fn find_account_by_id(database: &Database, id: UserId) -> Result<Option<Account>, Error> {
    database.query(move |work| account_by_id(work, id.as_str())).await
}

/// Stores a person, or a new name and password of one.
pub(super) fn put_account(work: &Work<'_>, account: &Account) -> Result<(), Error> {
    work.run(
        "INSERT INTO account (id, email, name, password_hash, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (email) DO UPDATE SET name = excluded.name, password_hash = excluded.password_hash",
        values![account.id.as_str(), account.email, account.name, account.password_hash, now()],
    )?;
    Ok(())
}

/// A person's role in a team.
pub(super) fn role_in(work: &Work<'_>, team: &TeamId, account: &UserId) -> Result<Option<MemberRole>, Error> {
    let sql = "SELECT role FROM membership WHERE team_id = ?1 AND account_id = ?2";
    let role: Option<String> = work.one(sql, values![team.as_str(), account.as_str()], |row| row.get(0))?;
    Ok(role.map(|role| stored_role(&role)))
}

/// A person's role in a team.
pub(crate) async fn find_role(database: &Database, team: TeamId, account: UserId) -> Result<Option<MemberRole>, Error> {
    database.query(move |work| role_in(work, &team, &account)).await
}

fn teams_of_in(work: &Work<'_>, account: &UserId) -> Result<Vec<Team>, Error> {
    let sql = "SELECT team.id, team.name, membership.role FROM membership JOIN team ON team.id = membership.team_id
         WHERE membership.account_id = ?1 ORDER BY team.name";
    Ok(work.all(sql, values![account.as_str()], |row| {
        let role = Some(Open::read(&row.get::<String>(2)?));
        Ok(Team { role, ..Team::new(row.text(0)?, row.get(1)?) })
    })?)
}

/// In how many teams a person is.
pub(super) fn count_teams(work: &Work<'_>, account: &UserId) -> Result<u64, Error> {
    Ok(work.value("SELECT count(*) FROM membership WHERE account_id = ?1", values![account.as_str()])?)
}

/// The teams of a person.
pub(crate) async fn teams_of(database: &Database, account: UserId) -> Result<Vec<Team>, Error> {
    database.query(move |work| teams_of_in(work, &account)).await
}

/// The members of a team.
pub(crate) async fn members(database: &Database, team: TeamId) -> Result<Vec<Member>, Error> {
    let listing = database.query(move |work| {
        let sql = "SELECT account.id, account.email, account.name, membership.role, account.created_at
             FROM membership JOIN account ON account.id = membership.account_id
             WHERE membership.team_id = ?1 ORDER BY account.email";
        Ok::<_, Error>(work.all(sql, values![team.as_str()], |row| {
            Ok(Member {
                id: row.text(0)?,
                user_id: Some(row.text(0)?),
                email: row.get(1)?,
                name: row.get(2)?,
                role: Some(Open::read(&row.get::<String>(3)?)),
                created_at: Some(row.get::<Timestamp>(4)?.into()),
            })
        })?)
    });
    listing.await
}

/// Starts a session of a person and returns the person's teams; removes expired sessions.
pub(crate) async fn begin_session(
    database: &Database,
    account: Account,
    token: &str,
    address: Option<IpAddr>,
) -> Result<Vec<Team>, Error> {
    let hash = digest(token);
    let beginning = database.transact(move |work| {
        let now = now();
        work.run("DELETE FROM session WHERE expires_at <= ?1", values![now])?;
        work.run(
            "INSERT INTO session (hash, account_id, expires_at) VALUES (?1, ?2, ?3)",
            values![hash, account.id.as_str(), after(now, days(SESSION_LIFE))],
        )?;
        work.run(
            "DELETE FROM session WHERE account_id = ?1 AND hash NOT IN
                (SELECT hash FROM session WHERE account_id = ?1 ORDER BY expires_at DESC LIMIT ?2)",
            values![account.id.as_str(), MOST_SESSIONS],
        )?;
        let teams = teams_of_in(work, &account.id)?;
        for team in &teams {
            let actor = Actor { team: Some(team.id.clone()), name: account.email.clone(), address };
            actor.note(work, "session.begun", "")?;
        }
        Ok::<_, Error>(teams)
    });
    beginning.await
}

/// Ends one session of a person.
pub(crate) async fn end_session(
    database: &Database,
    account: Account,
    token: &str,
    address: Option<IpAddr>,
) -> Result<(), Error> {
    let hash = digest(token);
    let ending = database.transact(move |work| {
        work.run("DELETE FROM session WHERE hash = ?1", values![hash])?;
        note_of(work, &account, address, "session.ended", "")
    });
    ending.await
}

/// Sets the password of a person, who is signed in with `token`: all other sessions end.
pub(crate) async fn set_own_password(
    database: &Database,
    account: Account,
    (password_hash, token): (String, &str),
    address: Option<IpAddr>,
) -> Result<(), Error> {
    let hash = digest(token);
    let setting = database.transact(move |work| {
        let sql = "UPDATE account SET password_hash = ?2 WHERE id = ?1";
        work.run(sql, values![account.id.as_str(), password_hash])?;
        let sql = "DELETE FROM session WHERE account_id = ?1 AND hash != ?2";
        work.run(sql, values![account.id.as_str(), hash])?;
        note_of(work, &account, address, "user.changed", &format!("{} (own password)", account.email))
    });
    setting.await
}

/// Records what a person did with their account, in each team that they belong to.
fn note_of(
    work: &Work<'_>,
    account: &Account,
    address: Option<IpAddr>,
    action: &str,
    subject: &str,
) -> Result<(), Error> {
    for team in teams_of_in(work, &account.id)? {
        Actor { team: Some(team.id), name: account.email.clone(), address }.note(work, action, subject)?;
    }
    Ok(())
}

/// The person of that id, and what they are in a team; nothing where they are not in it.
pub(crate) async fn member(
    database: &Database,
    team: TeamId,
    id: UserId,
) -> Result<Option<(Account, MemberRole)>, Error> {
    let finding = database.query(move |work| {
        let role = role_in(work, &team, &id)?;
        Ok::<_, Error>(account_by_id(work, id.as_str())?.zip(role))
    });
    finding.await
}

/// Ends all sessions of a person.
pub(super) fn end_sessions(work: &Work<'_>, account: &UserId) -> Result<(), Error> {
    work.run("DELETE FROM session WHERE account_id = ?1", values![account.as_str()])?;
    Ok(())
}

/// Whose session this is.
pub(crate) async fn account_of_session(database: &Database, token: &str) -> Result<Option<Account>, Error> {
    let hash = digest(token);
    let finding = database.query(move |work| {
        let sql = format!(
            "SELECT {ACCOUNT} FROM session JOIN account ON account.id = session.account_id
             WHERE session.hash = ?1 AND session.expires_at > ?2"
        );
        Ok::<_, Error>(work.one(&sql, values![hash, now()], Account::from_row)?)
    });
    finding.await
}
