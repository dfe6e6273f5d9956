//! How a package goes: it expires, is given up or is removed, and its content waits in the trash until it is removed for good.
//! Until then it can be brought back, with its files and links.

use std::time::Duration;

use jiff::Timestamp;
use masv_db::{Database, Work, values};
use masv_protocol::{ActivityEvent, PackageId, PackageState};

use super::super::audit::{Actor, Authority};
use super::super::{Error, OrNotFound, activity, files, jobs};
use super::{COLUMNS, Package, get_in};
use crate::clock::{after, before, days, now};

/// How long a package is kept that comes back and whose time was over.
const KEPT_AGAIN: Duration = days(7);

/// A package in the trash.
#[derive(Debug, Clone)]
pub(crate) struct Trashed {
    pub package: Package,
    pub team: String,
    /// It was removed or given up; else its time was over.
    pub removed: bool,
    /// Since when.
    pub since: Timestamp,
}

/// Up to `most` finalized packages that have expired.
pub(crate) async fn over(database: &Database, most: u32) -> Result<Vec<PackageId>, Error> {
    let finding = database.query(move |work| {
        let sql = "SELECT id FROM package WHERE expires_at <= ?1 AND state = 'finalized' AND removed = 0 LIMIT ?2";
        Ok::<_, Error>(work.all(sql, values![now(), most], |row| row.text(0))?)
    });
    finding.await
}

/// Up to `most` packages that were begun and not touched for so long: those of portals, or the others.
pub(crate) async fn abandoned(
    database: &Database,
    of_portals: bool,
    age: Duration,
    most: u32,
) -> Result<Vec<PackageId>, Error> {
    let finding = database.query(move |work| {
        let untouched_since = before(now(), age);
        let sql = "SELECT id FROM package WHERE state = 'new' AND removed = 0 AND updated_at < ?1 AND received = ?3
             ORDER BY updated_at LIMIT ?2";
        Ok::<_, Error>(work.all(sql, values![untouched_since, most, of_portals], |row| row.text(0))?)
    });
    finding.await
}

/// Up to `most` packages whose content has been in the trash since `since` or longer.
pub(crate) async fn trashed_since(database: &Database, since: Timestamp, most: u32) -> Result<Vec<PackageId>, Error> {
    let finding = database.query(move |work| {
        let sql = "SELECT id FROM package WHERE trashed_at <= ?1 ORDER BY trashed_at LIMIT ?2";
        Ok::<_, Error>(work.all(sql, values![since, most], |row| row.text(0))?)
    });
    finding.await
}

/// Marks a package as expired; its content is in the trash from now on. Whether it was not before.
pub(crate) async fn expire(database: &Database, id: PackageId) -> Result<bool, Error> {
    let expiring = database.transact(move |work| {
        let package = get_in(work, &id)?;
        if package.state != PackageState::Finalized {
            return Ok(false);
        }
        let sql = "UPDATE package SET state = 'expired', updated_at = ?2, trashed_at = ?2 WHERE id = ?1";
        work.run(sql, values![id.as_str(), now()])?;
        activity::note_upload(work, &package, ActivityEvent::PackageExpired)?;
        Ok::<_, Error>(true)
    });
    expiring.await
}

/// Puts a package that was given up into the trash with all that belongs to it.
pub(crate) async fn give_up(database: &Database, id: PackageId) -> Result<(), Error> {
    database.transact(move |work| discard(work, &get_in(work, &id)?)).await
}

/// The same on request, for the audit log.
pub(crate) async fn delete_by(database: &Database, id: PackageId, by: Authority) -> Result<(), Error> {
    let deleting = database.transact(move |work| {
        let package = get_in(work, &id)?;
        by.check_remover(&package)?;
        by.actor(&package).note(work, "package.removed", &format!("{id} ({})", package.name))?;
        discard(work, &package)
    });
    deleting.await
}

fn discard(work: &Work<'_>, package: &Package) -> Result<(), Error> {
    let id = package.id.as_str();
    // What is not sent yet would lead nowhere.
    work.run("DELETE FROM mail WHERE package_id = ?1 AND sent_at IS NULL", values![id])?;
    let sql = "UPDATE package SET removed = 1, reserved = 0, trashed_at = coalesce(trashed_at, ?2) WHERE id = ?1";
    work.run(sql, values![id, now()])?;
    activity::note_upload(work, package, ActivityEvent::PackageDeleted)
}

/// Removes a package in the trash for good, if it has been there since `since` or longer: one that was removed with its rows, of one
/// that is expired the content. Owes the removal from the storage. Whether it did.
pub(crate) async fn purge(database: &Database, id: PackageId, since: Timestamp) -> Result<bool, Error> {
    let purging = database.transact(move |work| {
        let sql = format!("SELECT removed FROM package WHERE id = ?1 AND trashed_at <= ?2{}", work.for_change());
        let Some(removed) = work.one(&sql, values![id.as_str(), since], |row| row.get::<bool>(0))? else {
            return Ok(false);
        };
        let in_bucket = "SELECT EXISTS (SELECT 1 FROM file WHERE package_id = ?1 AND in_bucket = 1)";
        let in_bucket = work.value(in_bucket, values![id.as_str()])?;
        let uploads = files::remove_parts(work, &id)?;
        jobs::owe_removal(work, &id, uploads, in_bucket)?;
        let sql = if removed {
            "DELETE FROM package WHERE id = ?1"
        } else {
            "UPDATE package SET trashed_at = NULL WHERE id = ?1"
        };
        work.run(sql, values![id.as_str()])?;
        Ok::<_, Error>(true)
    });
    purging.await
}

/// Forgets up to `most` packages that expired before a time, and whose content is gone: with their files, links and mails. How many.
pub(crate) async fn forget_expired(database: &Database, before: Timestamp, most: u32) -> Result<usize, Error> {
    let forgetting = database.transact(move |work| {
        let sql = format!(
            "DELETE FROM package WHERE id IN
                (SELECT id FROM package WHERE state = 'expired' AND updated_at < ?1 AND trashed_at IS NULL
                 ORDER BY updated_at LIMIT ?2{})",
            work.passing_over_locked()
        );
        Ok::<_, Error>(work.run(&sql, values![before, most])?)
    });
    forgetting.await
}

const IN_TRASH: &str = "FROM package JOIN team ON team.id = package.team_id WHERE package.trashed_at IS NOT NULL";

/// All packages in the trash, the longest first.
pub(crate) async fn trashed(database: &Database) -> Result<Vec<Trashed>, Error> {
    let listing = database.query(|work| {
        let columns: Vec<String> = COLUMNS.split(", ").map(|column| format!("package.{column}")).collect();
        let (own, columns) = (columns.len(), columns.join(", "));
        let sql = format!(
            "SELECT {columns}, team.name, package.removed, package.trashed_at {IN_TRASH} ORDER BY trashed_at, package.id"
        );
        Ok::<_, Error>(work.all(&sql, values![], |row| {
            let package = Package::from_row(row)?;
            Ok(Trashed { package, team: row.get(own)?, removed: row.get(own + 1)?, since: row.get(own + 2)? })
        })?)
    });
    listing.await
}

/// Brings a package back out of the trash, with its files and links. One whose time was over is kept for some days more. Mails that were
/// not sent yet are not.
pub(crate) async fn restore(database: &Database, id: PackageId, by: Actor) -> Result<Package, Error> {
    let restoring = database.transact(move |work| {
        let now = now();
        let sql =
            format!("SELECT expires_at FROM package WHERE id = ?1 AND trashed_at IS NOT NULL{}", work.for_change());
        let found = work.one(&sql, values![id.as_str()], |row| row.get::<Option<Timestamp>>(0))?;
        let expires_at = found.or_not_found("package in the trash")?;
        let expires_at = expires_at.map(|at| if at <= now { after(now, KEPT_AGAIN) } else { at });
        let sql = "UPDATE package SET removed = 0, trashed_at = NULL, updated_at = ?2, expires_at = ?3,
                state = CASE state WHEN 'expired' THEN 'finalized' ELSE state END,
                reserved = (SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM file WHERE package_id = ?1)
             WHERE id = ?1";
        work.run(sql, values![id.as_str(), now, expires_at])?;
        let package = get_in(work, &id)?;
        let actor = Actor { team: Some(package.team_id.clone()), ..by.clone() };
        actor.note(work, "package.restored", &format!("{id} ({})", package.name))?;
        Ok::<_, Error>(package)
    });
    restoring.await
}

/// Up to `most` packages whose content must be in the storage, with their names, by id from the one after `after` on.
pub(crate) async fn with_content(
    database: &Database,
    after: Option<PackageId>,
    most: u32,
) -> Result<Vec<(PackageId, String)>, Error> {
    let listing = database.query(move |work| {
        let after = after.as_ref().map_or("", PackageId::as_str);
        let sql = "SELECT id, name FROM package WHERE id > ?1 AND (state != 'expired' OR trashed_at IS NOT NULL)
             ORDER BY id LIMIT ?2";
        Ok::<_, Error>(work.all(sql, values![after, most], |row| Ok((row.text(0)?, row.get(1)?)))?)
    });
    listing.await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::database;

    /// Rows of packages that were over long ago were kept for ever: at a million packages a day 670 GB a year.
    #[tokio::test]
    async fn what_expired_long_ago_is_forgotten_with_all_that_belongs_to_it_and_nothing_else() {
        let (_place, database, team) = database().await;
        let old = before(now(), days(500));
        let making = database.transact(move |work| {
            let sql = "INSERT INTO package (id, team_id, state, name, description, sender, recipients, unlimited_storage, metadata,
                    created_at, updated_at, trashed_at)
                VALUES (?2, ?1, ?3, '', '', '', '[]', 0, 'null', 0, ?4, ?5)";
            let trashed = Some(old);
            for (id, state, updated, trashed) in [
                ("old 1", "expired", old, None),
                ("old 2", "expired", old, None),
                ("in the trash", "expired", old, trashed),
                ("just over", "expired", now(), None),
                ("kept", "finalized", old, None),
            ] {
                work.run(sql, values![team.as_str(), id, state, updated, trashed])?;
                let file = "INSERT INTO file (id, package_id, kind, path, name, size, last_modified) VALUES (?1, ?1, 'file', '', 'a', 7, 0)";
                work.run(file, values![id])?;
            }
            Ok::<_, Error>(())
        });
        making.await.unwrap();
        let mut forgotten = Vec::new();
        while let more @ 1.. = forget_expired(&database, before(now(), days(400)), 1).await.unwrap() {
            forgotten.push(more);
        }
        assert_eq!(forgotten, [1, 1]);
        let left = database.query(|work| {
            let files = work.all("SELECT id FROM file ORDER BY id", values![], |row| row.get::<String>(0))?;
            let packages = work.all("SELECT id FROM package ORDER BY id", values![], |row| row.get::<String>(0))?;
            Ok::<_, Error>((files, packages))
        });
        let expected: Vec<String> = ["in the trash", "just over", "kept"].map(str::to_owned).to_vec();
        assert_eq!(left.await.unwrap(), (expected.clone(), expected));
    }
}
