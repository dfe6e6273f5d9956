//! Links: each opens one package for anyone who has its secret.

use jiff::Timestamp;
use masv_db::{Database, DbError, Row, Work, values};
use masv_protocol::{ActivityEvent, EmailAddress, LinkId, PackageId, PackageState};

use super::activity::{By, Subject};
use super::audit::Authority;
use super::downloads::{self, DownloadNumber, Origin};
use super::ids::{first_id, new_id};
use super::packages::{self, Package};
use super::{Error, OrNotFound, activity, mails, repeatable};
use crate::clock::{before, days, now};
use crate::keys::tokens::Visit;

/// The maximum number of links of a package.
const MOST_LINKS: u64 = 1000;
/// How often a link is mailed to its recipient in a day.
const MOST_MAILS: u64 = 10;

/// A link.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub id: LinkId,
    pub package_id: PackageId,
    /// Who received it by e-mail; absent: no one.
    pub email: Option<EmailAddress>,
    /// Absent: the package's counts.
    pub password_hash: Option<String>,
    pub access_limit: Option<u64>,
    pub access_count: u64,
    pub active: bool,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
    /// Incremented to end all visits.
    pub epoch: i64,
    /// When it was first opened.
    pub opened_at: Option<Timestamp>,
    /// How often all was downloaded through it, and when last.
    pub downloads: u64,
    pub downloaded_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, package_id, email, password_hash, access_limit, access_count, active, expires_at, created_at, epoch, opened_at, downloads, \
    downloaded_at";

impl Link {
    /// A link to `package`, with its limit.
    pub(crate) fn new(package: &Package, email: Option<EmailAddress>, now: Timestamp) -> Result<Self, Error> {
        Ok(Self {
            id: new_id(now)?,
            package_id: package.id.clone(),
            email,
            password_hash: None,
            access_limit: package.access_limit,
            access_count: 0,
            active: true,
            expires_at: None,
            created_at: now,
            epoch: 0,
            opened_at: None,
            downloads: 0,
            downloaded_at: None,
        })
    }

    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.text(0)?,
            package_id: row.text(1)?,
            email: row.get::<Option<String>>(2)?.and_then(|email| email.parse().ok()),
            password_hash: row.get(3)?,
            access_limit: row.get(4)?,
            access_count: row.get(5)?,
            active: row.get(6)?,
            expires_at: row.get(7)?,
            created_at: row.get(8)?,
            epoch: row.get(9)?,
            opened_at: row.get(10)?,
            downloads: row.get(11)?,
            downloaded_at: row.get(12)?,
        })
    }

    /// Who received it by e-mail; empty for no one.
    pub(crate) fn recipient(&self) -> &str {
        self.email.as_ref().map_or("", EmailAddress::as_str)
    }

    /// When it stops opening: its own time or its package's, whichever is first.
    pub(crate) fn expiry(&self, package: &Package) -> Option<Timestamp> {
        match (self.expires_at, package.expires_at) {
            (Some(own), Some(package)) => Some(own.min(package)),
            (own, package) => own.or(package),
        }
    }

    /// The hash of its password.
    pub(crate) fn required_password<'a>(&'a self, package: &'a Package) -> Option<&'a str> {
        self.password_hash.as_deref().or(package.password_hash.as_deref())
    }

    /// Refuses a link that does not open, whatever the password.
    pub(crate) fn check_open(&self, package: &Package, now: Timestamp) -> Result<(), Error> {
        if !self.active {
            return Err(Error::NotFound("link"));
        }
        if package.state == PackageState::New {
            return Err(Error::NotFound("package"));
        }
        if package.state != PackageState::Finalized || self.expiry(package).is_some_and(|expiry| expiry <= now) {
            return Err(Error::LinkExpired);
        }
        if self.access_limit.is_some_and(|limit| limit > 0 && self.access_count >= limit) {
            return Err(Error::LimitReached);
        }
        Ok(())
    }

    /// Its name in the audit log.
    fn audit_name(&self, package: &Package) -> String {
        match &self.email {
            Some(email) => format!("{} of {} for {email}", self.id, package.name),
            None => format!("{} of {}", self.id, package.name),
        }
    }
}

fn insert(work: &Work<'_>, link: &Link) -> Result<(), Error> {
    work.run(
        "INSERT INTO link (id, package_id, email, password_hash, access_limit, active, expires_at, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        values![
            link.id.as_str(),
            link.package_id.as_str(),
            link.email.as_ref().map(EmailAddress::as_str),
            link.password_hash,
            link.access_limit,
            link.active,
            link.expires_at,
            link.created_at
        ],
    )?;
    Ok(())
}

fn note_created(work: &Work<'_>, package: &Package, link: &Link) -> Result<(), Error> {
    let by = By::name(link.recipient());
    activity::note(work, package, Subject::Link(&link.id), ActivityEvent::LinkCreated, by).map(drop)
}

/// Makes the link of a recipient.
pub(super) fn insert_for(
    work: &Work<'_>,
    package: &Package,
    recipient: &EmailAddress,
    now: Timestamp,
) -> Result<Link, Error> {
    let link = Link::new(package, Some(recipient.clone()), now)?;
    insert(work, &link)?;
    note_created(work, package, &link)?;
    Ok(link)
}

/// Stores a new link, and owes it to its recipient: at once, or when the package is finalized. Where a call with the same key has made one
/// for the package, and it is still there, it is that, as it is now.
pub(crate) async fn create(
    database: &Database,
    link: Link,
    key: Option<String>,
    by: Authority,
) -> Result<(Link, Package), Error> {
    let creating = database.transact(move |work| {
        let package = packages::get_in(work, &link.package_id)?;
        package.check_alive()?;
        // No header has a line break in it: what is made of the key is none of a package.
        let key = key.as_ref().map(|key| format!("link\n{}\n{key}", package.id));
        if let Some(key) = &key
            && let Some(made) = repeatable::made(work, &package.team_id, key)?
            && let Some(known) = find_in(work, &LinkId::from(made))?
        {
            return Ok(known);
        }
        let sql = "SELECT count(*) FROM link WHERE package_id = ?1";
        if work.value::<u64>(sql, values![package.id.as_str()])? >= MOST_LINKS {
            return Err(Error::Conflict(format!("a package has at most {MOST_LINKS} links")));
        }
        insert(work, &link)?;
        if let Some(email) = &link.email {
            let due_at = (package.state == PackageState::Finalized).then(now);
            mails::owe_link(work, &link, email, due_at)?;
        }
        by.actor(&package).note(work, "link.added", &link.audit_name(&package))?;
        note_created(work, &package, &link)?;
        if let Some(key) = &key {
            repeatable::note(work, &package.team_id, key, link.id.as_str())?;
        }
        Ok((link.clone(), package))
    });
    creating.await
}

/// The link of that id and its package.
pub(super) fn find_in(work: &Work<'_>, id: &LinkId) -> Result<Option<(Link, Package)>, Error> {
    // The package first, for a change of it that goes on to its links goes that way.
    let sql = "SELECT package_id FROM link WHERE id = ?1";
    let Some(package) = work.one(sql, values![id.as_str()], |row| row.text::<PackageId>(0))? else { return Ok(None) };
    // A package that was removed is still in the trash, with its links.
    let Some(package) = packages::find_in(work, &package)? else { return Ok(None) };
    let sql = format!("SELECT {COLUMNS} FROM link WHERE id = ?1{}", work.for_change());
    Ok(work.one(&sql, values![id.as_str()], Link::from_row)?.map(|link| (link, package)))
}

/// The link of that id and its package.
pub(crate) async fn find(database: &Database, id: LinkId) -> Result<Option<(Link, Package)>, Error> {
    database.query(move |work| find_in(work, &id)).await
}

/// All links of a package, oldest first.
pub(crate) async fn list(database: &Database, package: PackageId) -> Result<Vec<Link>, Error> {
    let listing = database.query(move |work| {
        let sql = format!(
            "SELECT {COLUMNS} FROM link WHERE package_id = ?1
                AND EXISTS (SELECT 1 FROM package WHERE id = ?1 AND removed = 0)
             ORDER BY created_at, id"
        );
        Ok::<_, Error>(work.all(&sql, values![package.as_str()], Link::from_row)?)
    });
    listing.await
}

/// Stores what an owner may change in a link. Visits end with another password, and when it is switched off.
pub(crate) async fn update(database: &Database, link: Link, by: Authority) -> Result<(Link, Package), Error> {
    let updating = database.transact(move |work| {
        find_in(work, &link.id)?.or_not_found("link")?;
        work.run(
            "UPDATE link SET password_hash = ?2, access_limit = ?3, active = ?4, expires_at = ?5,
                epoch = epoch + CASE WHEN password_hash IS DISTINCT FROM ?2 OR (active = 1 AND CAST(?4 AS BIGINT) = 0) THEN 1 ELSE 0 END
             WHERE id = ?1",
            values![link.id.as_str(), link.password_hash, link.access_limit, link.active, link.expires_at],
        )?;
        let (changed, package) = find_in(work, &link.id)?.or_not_found("link")?;
        by.actor(&package).note(work, "link.changed", &changed.audit_name(&package))?;
        Ok::<_, Error>((changed, package))
    });
    updating.await
}

/// Owes the mail with a link to its recipient once more. One that is still waiting to be sent is enough.
pub(crate) async fn mail_again(database: &Database, id: LinkId, by: Authority) -> Result<(), Error> {
    let owing = database.transact(move |work| {
        let (link, package) = find_in(work, &id)?.or_not_found("link")?;
        let Some(email) = &link.email else {
            return Err(Error::Invalid("this link was made for nobody: make one for an e-mail address".to_owned()));
        };
        if package.state == PackageState::New {
            return Err(Error::Conflict("the package is not finalized: its mails are sent when it is".to_owned()));
        }
        if !link.active {
            return Err(Error::Conflict("the link is switched off".to_owned()));
        }
        link.check_open(&package, now())?;
        let sql = "SELECT count(*) FROM mail WHERE link_id = ?1 AND due_at IS NOT NULL";
        if work.value::<u64>(sql, values![link.id.as_str()])? > 0 {
            return Ok(());
        }
        // Ids begin with their time.
        let since = first_id(before(now(), days(1)));
        let sql = "SELECT count(*) FROM mail WHERE link_id = ?1 AND id > ?2";
        if work.value::<u64>(sql, values![link.id.as_str(), since])? >= MOST_MAILS {
            return Err(Error::Conflict(format!("{email} was sent this link {MOST_MAILS} times in a day")));
        }
        mails::owe_link(work, &link, email, Some(now()))?;
        by.actor(&package).note(work, "link.mailed", &link.audit_name(&package))
    });
    owing.await
}

/// Forgets a link.
pub(crate) async fn delete(database: &Database, id: LinkId, by: Authority) -> Result<(), Error> {
    let deleting = database.transact(move |work| {
        let (link, package) = find_in(work, &id)?.or_not_found("link")?;
        work.run("DELETE FROM link WHERE id = ?1", values![id.as_str()])?;
        by.actor(&package).note(work, "link.removed", &link.audit_name(&package))
    });
    deleting.await
}

/// The link and the package of a visit, unless it has ended with the link, or with what has changed of it.
fn of_visit(work: &Work<'_>, visit: &Visit) -> Result<(Link, Package), Error> {
    let found = find_in(work, &visit.link)?.filter(|(link, _)| link.epoch == visit.epoch);
    found.or_not_found("visit")
}

fn is_counted_in(work: &Work<'_>, visit: &Visit) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM link_visit WHERE link_id = ?1 AND visit = ?2)";
    Ok(work.value(sql, values![visit.link.as_str(), visit.visit])?)
}

/// Whether a visit was counted against the limit of its link: it may go on though that is used up.
pub(crate) async fn is_counted(database: &Database, visit: Visit) -> Result<bool, Error> {
    database.query(move |work| is_counted_in(work, &visit)).await
}

/// Refuses a visit that has ended: its link is gone, switched off or over, or has another password now. The limit is no matter here:
/// see [`count_visit`].
pub(crate) async fn check_visit(database: &Database, visit: Visit) -> Result<(), Error> {
    let checking = database.query(move |work| {
        let (link, package) = of_visit(work, &visit)?;
        Link { access_limit: None, ..link }.check_open(&package, now())
    });
    checking.await
}

/// Refuses a visit that has ended, and one that would have to be counted first: nothing can be counted here for now.
pub(crate) async fn check_uncounted(database: &Database, visit: Visit) -> Result<(), Error> {
    let checking = database.query(move |work| {
        let (link, package) = of_visit(work, &visit)?;
        let is_counted = is_counted_in(work, &visit)?;
        if link.access_limit.is_some() && !is_counted {
            return Err(Error::Database(DbError::ReadOnly));
        }
        Link { access_limit: None, ..link }.check_open(&package, now())
    });
    checking.await
}

/// Counts a visit against the link's limit, once. Refuses a visit that has not been counted when the link does not
/// open any more; a download that was already counted continues as long as the package exists. Returns the download of the visit.
pub(crate) async fn count_visit(database: &Database, visit: Visit, origin: Origin) -> Result<DownloadNumber, Error> {
    let counting = database.transact(move |work| {
        let now = now();
        let (link, package) = of_visit(work, &visit)?;
        if is_counted_in(work, &visit)? {
            Link { access_limit: None, ..link.clone() }.check_open(&package, now)?;
            return downloads::of_visit(work, (&link, &package), &visit, &origin);
        }
        link.check_open(&package, now)?;
        work.run(
            "INSERT INTO link_visit (link_id, visit, created_at) VALUES (?1, ?2, ?3)",
            values![link.id.as_str(), visit.visit, now],
        )?;
        work.run("UPDATE link SET access_count = access_count + 1 WHERE id = ?1", values![link.id.as_str()])?;
        downloads::of_visit(work, (&link, &package), &visit, &origin)
    });
    counting.await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::package;

    /// Case: over, used up, switched off, not delivered yet: each by its own answer.
    #[test]
    fn a_link_closes_for_each_reason_with_its_own_error() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let package = Package {
            state: PackageState::Finalized,
            access_limit: Some(2),
            expires_at: Some(at(100)),
            ..package("P")
        };
        let link = Link::new(&package, None, at(0)).unwrap();
        assert!(link.check_open(&package, at(99)).is_ok());
        assert!(matches!(link.check_open(&package, at(100)), Err(Error::LinkExpired)));
        let closed = |link: Link, package: &Package, now| link.check_open(package, now).unwrap_err();
        let early = Link { expires_at: Some(at(50)), ..link.clone() };
        assert!(matches!(closed(early, &package, at(50)), Error::LinkExpired));
        let used = Link { access_count: 2, ..link.clone() };
        assert!(matches!(closed(used, &package, at(0)), Error::LimitReached));
        let inactive = Link { active: false, ..link.clone() };
        assert!(matches!(closed(inactive, &package, at(0)), Error::NotFound("link")));
        let in_state = |state| Package { state, ..package.clone() };
        assert!(matches!(closed(link.clone(), &in_state(PackageState::New), at(0)), Error::NotFound("package")));
        assert!(matches!(closed(link, &in_state(PackageState::Expired), at(0)), Error::LinkExpired));
    }
}
