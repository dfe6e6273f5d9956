//! Who belongs to a team, and in which role.

use masv_db::{Database, Work, values};
use masv_protocol::{EmailAddress, Member, MemberRole, Role, TeamId, UserId};

use super::accounts::{self, Account, Caller};
use super::audit::Actor;
use super::ids::new_id;
use super::{Error, OrNotFound, bounds, teams};
use crate::clock::now;

/// Why an admin may not decide over an account.
const OF_OTHERS: &str = "this account also belongs to another team: only the operator of the hub may do this";

/// A person to become part of a team.
#[derive(Debug, Clone)]
pub(crate) struct NewMember {
    pub email: EmailAddress,
    pub name: String,
    /// For a new account.
    pub password_hash: Option<String>,
    pub role: MemberRole,
}

/// Changes to a person; the rest stays.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    pub name: Option<String>,
    pub password_hash: Option<String>,
    pub role: Option<MemberRole>,
}

/// Adds a person to a team, or changes the role.
fn put(work: &Work<'_>, team: &TeamId, account: &UserId, role: MemberRole) -> Result<(), Error> {
    work.run(
        "INSERT INTO membership (team_id, account_id, role) VALUES (?1, ?2, ?3)
         ON CONFLICT (team_id, account_id) DO UPDATE SET role = excluded.role",
        values![team.as_str(), account.as_str(), role.as_str()],
    )?;
    Ok(())
}

fn message(account: Account, role: MemberRole) -> Member {
    let Account { id, email, name, .. } = account;
    Member { user_id: Some(id.clone()), id, email, name, role: Some(role.into()), created_at: None }
}

/// Refuses to appoint or remove someone with a higher role than the caller.
fn check_rank(caller: &Caller, role: MemberRole) -> Result<(), Error> {
    if caller.role < Role::from(role) {
        return Err(Error::Forbidden("only an owner may appoint or change owners"));
    }
    Ok(())
}

/// A member by id or e-mail address.
fn find(work: &Work<'_>, team: &TeamId, member: &str) -> Result<(Account, MemberRole), Error> {
    let account = match accounts::account_by_email(work, member)? {
        Some(account) => Some(account),
        None => accounts::account_by_id(work, member)?,
    };
    let account = account.or_not_found("user")?;
    let role = accounts::role_in(work, team, &account.id)?.or_not_found("user")?;
    Ok((account, role))
}

/// Adds a person to the caller's team. An existing account of another team keeps its password.
pub(crate) async fn add(database: &Database, caller: Caller, by: Actor, new: NewMember) -> Result<Member, Error> {
    check_rank(&caller, new.role)?;
    let adding = database.transact(move |work| {
        bounds::check_team(work, bounds::MEMBERS, &caller.team_id)?;
        let account = account_for(work, &caller.team_id, &new)?;
        put(work, &caller.team_id, &account.id, new.role)?;
        by.note(work, "user.added", &format!("{} ({})", account.email, new.role))?;
        Ok(message(account, new.role))
    });
    adding.await
}

/// The account of a new member of a team, created if there is none.
fn account_for(work: &Work<'_>, team: &TeamId, new: &NewMember) -> Result<Account, Error> {
    let email = new.email.to_lowercase();
    match (accounts::account_by_email(work, email.as_str())?, &new.password_hash) {
        (Some(known), _) if accounts::role_in(work, team, &known.id)?.is_some() => {
            Err(Error::Conflict(format!("{email} is already in this team")))
        }
        (Some(_), Some(_)) => {
            Err(Error::Conflict(format!("{email} already has an account in another team: omit the password")))
        }
        (Some(known), None) => Ok(known),
        (None, None) => Err(Error::Invalid("password is missing".to_owned())),
        (None, Some(password_hash)) => {
            let (email, name) = (email.into_string(), new.name.clone());
            let account = Account { id: new_id(now())?, email, name, password_hash: password_hash.clone() };
            accounts::put_account(work, &account)?;
            Ok(account)
        }
    }
}

/// The person of the caller's team whom the caller may let choose a new password; noted in the audit log.
pub(crate) async fn invite(database: &Database, caller: Caller, by: Actor, member: String) -> Result<Account, Error> {
    let inviting = database.transact(move |work| {
        let (account, role) = find(work, &caller.team_id, &member)?;
        check_rank(&caller, role)?;
        if caller.role < Role::Operator && accounts::count_teams(work, &account.id)? != 1 {
            return Err(Error::Forbidden(OF_OTHERS));
        }
        by.note(work, "user.invited", &account.email)?;
        Ok(account)
    });
    inviting.await
}

/// Changes a person of the caller's team.
pub(crate) async fn change(
    database: &Database,
    caller: Caller,
    by: Actor,
    (member, change): (String, Change),
) -> Result<Member, Error> {
    let changing = database.transact(move |work| {
        let team = &caller.team_id;
        let (mut account, before) = find(work, team, &member)?;
        let role = change.role.unwrap_or(before);
        check_rank(&caller, before)?;
        check_rank(&caller, role)?;
        let personal = change.password_hash.is_some() || change.name.is_some();
        if personal && caller.role < Role::Operator && accounts::count_teams(work, &account.id)? != 1 {
            return Err(Error::Forbidden(OF_OTHERS));
        }
        let mut changed = Vec::new();
        if let Some(name) = &change.name {
            account.name.clone_from(name);
            changed.push("name");
        }
        if let Some(hash) = &change.password_hash {
            account.password_hash.clone_from(hash);
            accounts::end_sessions(work, &account.id)?;
            changed.push("password");
        }
        accounts::put_account(work, &account)?;
        put(work, team, &account.id, role)?;
        if role != before {
            changed.push(role.as_str());
        }
        by.note(work, "user.changed", &format!("{} ({})", account.email, changed.join(", ")))?;
        Ok(message(account, role))
    });
    changing.await
}

/// Removes a person from the caller's team; without another team, the account is removed, which ends its sessions.
pub(crate) async fn remove(database: &Database, caller: Caller, by: Actor, member: String) -> Result<(), Error> {
    let removing = database.transact(move |work| {
        let (account, role) = find(work, &caller.team_id, &member)?;
        check_rank(&caller, role)?;
        work.run(
            "DELETE FROM membership WHERE team_id = ?1 AND account_id = ?2",
            values![caller.team_id.as_str(), account.id.as_str()],
        )?;
        work.run(
            "DELETE FROM account WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM membership WHERE account_id = ?1)",
            values![account.id.as_str()],
        )?;
        by.note(work, "user.removed", &account.email)
    });
    removing.await
}

/// Makes sure that a person with this name and password is a member of the team with that name, which is created if there is none.
pub(crate) async fn ensure(database: &Database, team_name: String, new: NewMember) -> Result<(), Error> {
    let ensuring = database.transact(move |work| {
        let team = teams::ensure(work, &team_name)?;
        let email = new.email.to_lowercase().into_string();
        let known = accounts::account_by_email(work, &email)?;
        let id = known.map_or_else(|| new_id(now()), |known| Ok(known.id))?;
        let password_hash = new.password_hash.clone().unwrap_or_default();
        let account = Account { id, email, name: new.name.clone(), password_hash };
        accounts::put_account(work, &account)?;
        put(work, &team, &account.id, new.role)
    });
    ensuring.await
}
