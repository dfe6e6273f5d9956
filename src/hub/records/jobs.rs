//! Work that the hub owes itself: chores, which come again, and removals of content that no row points to any more.
//!
//! It is claimed as deliveries are, so that of several processes one does it. Whoever has claimed a job renews the claim while it
//! works, and learns from that when somebody else has it: a process that was stopped for long does not go on beside its successor.

use jiff::Timestamp;
use masv_db::{Database, Row, Work, values};
use masv_protocol::{FileId, MultipartId, PackageId};
use serde::{Deserialize, Serialize};

use super::Error;
use super::ids::new_id;
use super::outbox::{self, Outbox};
use crate::clock::now;
use crate::stored::BucketFile;

/// Work that comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Chore {
    /// Packages that are over go into the trash, and out of it; what is old is forgotten.
    Expire,
    /// What no row knows on the disk goes into the trash.
    SweepDisk,
    /// The same in the bucket.
    SweepBucket,
    /// Whether all is in the storage that must be.
    Check,
}

impl Chore {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Expire, Self::SweepDisk, Self::SweepBucket, Self::Check];

    /// The id of its row.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Expire => "expire",
            Self::SweepDisk => "sweep_disk",
            Self::SweepBucket => "sweep_bucket",
            Self::Check => "check",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|chore| chore.as_str() == name)
    }
}

/// Content of a package that is to be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Removal {
    package: String,
    /// Multipart uploads that are not complete: file and upload.
    uploads: Vec<(String, String)>,
    /// Whether some of it is in the bucket.
    pub in_bucket: bool,
}

impl Removal {
    /// Of which package.
    pub(crate) fn package(&self) -> PackageId {
        self.package.as_str().into()
    }

    /// Its multipart uploads that are not complete.
    pub(crate) fn uploads(&self) -> Vec<BucketFile> {
        let upload = |(file, upload): &(String, String)| BucketFile {
            package: self.package(),
            file: FileId::from(file.as_str()),
            upload: Some(MultipartId::from(upload.as_str())),
        };
        self.uploads.iter().map(upload).collect()
    }

    const fn kind(in_bucket: bool) -> &'static str {
        if in_bucket { "remove_bucket" } else { "remove" }
    }
}

/// A job that this process has claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    id: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When it is lost unless it is renewed.
    pub until: Timestamp,
}

impl Claim {
    const COLUMNS: &str = "id, attempts, due_at, subject";

    fn from_row(row: &Row<'_>) -> Result<Self, masv_db::DbError> {
        Ok(Self { id: row.get(0)?, attempt: row.get(1)?, until: row.get(2)? })
    }
}

fn claim_in(work: &Work<'_>, also: (&str, &str)) -> Result<Option<(Claim, Option<String>)>, Error> {
    let claimed = outbox::claim(work, Outbox::Job, (Claim::COLUMNS, Some(also)), 1, |row| {
        Ok((Claim::from_row(row)?, row.get::<Option<String>>(3)?))
    })?;
    Ok(claimed.into_iter().next())
}

/// Claims the chore that is the longest due.
pub(crate) async fn claim_chore(database: &Database) -> Result<Option<(Chore, Claim)>, Error> {
    let claiming = database.transact(|work| {
        let claimed = claim_in(work, ("kind = ?4", "chore"))?;
        // One that only another version knows is claimed until its lease is over, and left to that.
        Ok::<_, Error>(claimed.and_then(|(claim, _)| Some((Chore::named(&claim.id)?, claim))))
    });
    claiming.await
}

/// Claims a removal that is due; `in_bucket` says whether this is one that needs the bucket.
pub(crate) async fn claim_removal(database: &Database, in_bucket: bool) -> Result<Option<(Removal, Claim)>, Error> {
    let claiming = database.transact(move |work| claim_in(work, ("kind = ?4", Removal::kind(in_bucket))));
    let Some((claim, subject)) = claiming.await? else { return Ok(None) };
    let removal = serde_json::from_str(&subject.unwrap_or_default());
    Ok(Some((removal.map_err(|error| Error::Invalid(error.to_string()))?, claim)))
}

/// Owes the removal of a package's content, with these uploads that are not complete.
pub(super) fn owe_removal(
    work: &Work<'_>,
    package: &PackageId,
    uploads: Vec<BucketFile>,
    in_bucket: bool,
) -> Result<(), Error> {
    let uploads = uploads.into_iter().filter_map(|file| Some((file.file.into_string(), file.upload?.into_string())));
    let removal = Removal { package: package.as_str().to_owned(), uploads: uploads.collect(), in_bucket };
    let subject = serde_json::to_string(&removal).map_err(|error| Error::Invalid(error.to_string()))?;
    let now = now();
    let sql = "INSERT INTO job (id, kind, subject, due_at) VALUES (?1, ?2, ?3, ?4)";
    work.run(sql, values![new_id::<String>(now)?, Removal::kind(in_bucket), subject, now])?;
    Ok(())
}

/// Renews a claim; whether it still holds.
pub(crate) async fn renew(database: &Database, claim: &mut Claim) -> Result<bool, Error> {
    let (id, until) = (claim.id.clone(), claim.until);
    let renewed = database.transact(move |work| outbox::renew(work, Outbox::Job, &id, until)).await?;
    claim.until = renewed.unwrap_or(claim.until);
    Ok(renewed.is_some())
}

/// Writes down that a chore is done, and when it comes again. Nothing, when the claim was lost.
pub(crate) async fn done_until(database: &Database, claim: Claim, due_at: Timestamp) -> Result<(), Error> {
    let marking = database.transact(move |work| {
        let sql = "UPDATE job SET due_at = ?3, attempts = 0, problem = NULL WHERE id = ?1 AND due_at = ?2";
        work.run(sql, values![claim.id, claim.until, due_at])?;
        Ok::<_, Error>(())
    });
    marking.await
}

/// Writes down that a removal is done. Nothing, when the claim was lost.
pub(crate) async fn done(database: &Database, claim: Claim) -> Result<(), Error> {
    let marking = database.transact(move |work| {
        work.run("DELETE FROM job WHERE id = ?1 AND due_at = ?2", values![claim.id, claim.until])?;
        Ok::<_, Error>(())
    });
    marking.await
}

/// Writes down that a job failed: when it is tried again (`None`: it is given up), and why it failed. Nothing, when the claim was
/// lost.
pub(crate) async fn failed(
    database: &Database,
    claim: Claim,
    again: Option<Timestamp>,
    problem: String,
) -> Result<(), Error> {
    let marking = database.transact(move |work| {
        if outbox::renew(work, Outbox::Job, &claim.id, claim.until)?.is_some() {
            outbox::failed(work, Outbox::Job, &claim.id, again, &problem)?;
        }
        Ok::<_, Error>(())
    });
    marking.await
}

/// Makes a chore due, unless somebody is at work on it.
pub(crate) async fn make_due(database: &Database, chore: Chore) -> Result<(), Error> {
    let making = database.transact(move |work| {
        let sql = "UPDATE job SET due_at = ?2, attempts = 0, problem = NULL
             WHERE id = ?1 AND (attempts = 0 OR problem IS NOT NULL)";
        work.run(sql, values![chore.as_str(), now()])?;
        Ok::<_, Error>(())
    });
    making.await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{before, days};
    use crate::records::tests::{database, only_chore};

    /// Makes the claim of whoever has this job run out.
    async fn run_out(database: &Database) {
        let ending = database.transact(|work| {
            work.run("UPDATE job SET due_at = ?1 WHERE attempts > 0", values![before(now(), days(1))])?;
            Ok::<_, Error>(())
        });
        ending.await.unwrap();
        // A claim that has run out was made before the one that comes after it, by more than the clock's smallest step.
        let then = now();
        while now() == then {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn of_two_processes_one_gets_a_chore_and_the_other_only_when_its_lease_is_over() {
        let (place, one, _) = database().await;
        let other = place.open().await;
        only_chore(&one, Chore::SweepDisk).await;
        let claim = |database: Database| async move { claim_chore(&database).await.unwrap().map(|(_, claim)| claim) };
        let (first, second) = tokio::join!(claim(one.clone()), claim(other.clone()));
        let mut held = first.xor(second).expect("exactly one of them has it");
        assert!(renew(&one, &mut held).await.unwrap());
        assert_eq!(claim(other.clone()).await, None);
        run_out(&one).await;
        let mut taken_over = claim(other.clone()).await.unwrap();
        assert_eq!(taken_over.attempt, 2);
        // Whoever had it notices, and changes nothing any more.
        assert!(!renew(&one, &mut held).await.unwrap());
        done_until(&one, held.clone(), now()).await.unwrap();
        failed(&one, held, None, "late".into()).await.unwrap();
        assert!(renew(&other, &mut taken_over).await.unwrap());
        done_until(&other, taken_over, now()).await.unwrap();
        assert_eq!(claim(one).await.unwrap().attempt, 1);
    }

    #[tokio::test]
    async fn every_chore_comes_once_and_again_when_it_is_asked_for() {
        let (_folder, database, _) = database().await;
        let mut seen = Vec::new();
        while let Some((chore, claim)) = claim_chore(&database).await.unwrap() {
            done_until(&database, claim, crate::clock::after(now(), days(1))).await.unwrap();
            seen.push(chore);
        }
        assert_eq!(seen.len(), Chore::ALL.len());
        assert!(Chore::ALL.iter().all(|chore| seen.contains(chore)));
        make_due(&database, Chore::Check).await.unwrap();
        assert_eq!(claim_chore(&database).await.unwrap().map(|(chore, _)| chore), Some(Chore::Check));
        // While somebody is at work on it, it is not made due for another.
        make_due(&database, Chore::Check).await.unwrap();
        assert_eq!(claim_chore(&database).await.unwrap(), None);
    }
}
