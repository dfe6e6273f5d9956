//! Deliveries and other work that is owed: how one process claims what is due, and how it writes down what became of it.
//!
//! Whoever claims something has it until its lease is over: the row is due again only then, so that two processes never work on
//! the same one, and the claims of a process that died pass to another. The attempt is counted with the claim.

use std::time::Duration;

use jiff::Timestamp;
use masv_db::{Database, DbError, Row, Value, Work, values};

use super::Error;
use crate::clock::{after, now};

/// How long something is claimed for. A delivery takes less, or is cut off; what takes longer renews its claim.
const LEASE: Duration = Duration::from_secs(10 * 60);

/// A table of what is owed: `id`, `due_at`, `attempts`, `problem`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outbox {
    Mail,
    WebhookCall,
    Job,
}

impl Outbox {
    fn table(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::WebhookCall => "webhook_call",
            Self::Job => "job",
        }
    }
}

/// Claims up to `most` due deliveries, the longest due first, among those that satisfy `also` (a condition on `?4`, if there
/// is one); reads these columns of them.
pub(super) fn claim<T>(
    work: &Work<'_>,
    outbox: Outbox,
    (columns, also): (&str, Option<(&str, &str)>),
    most: u32,
    read: impl FnMut(&Row<'_>) -> Result<T, DbError>,
) -> Result<Vec<T>, Error> {
    let (table, now) = (outbox.table(), work.clock(now())?);
    let (condition, value) = also.unwrap_or(("CAST(?4 AS TEXT) IS NULL", ""));
    let value = if also.is_some() { Value::Text(value.into()) } else { Value::Null };
    let sql = format!(
        "UPDATE {table} SET due_at = ?2, attempts = attempts + 1 WHERE id IN
            (SELECT id FROM {table} WHERE due_at <= ?1 AND {condition} ORDER BY due_at, id LIMIT ?3{})
         RETURNING {columns}",
        work.passing_over_locked()
    );
    Ok(work.all(&sql, values![now, after(now, LEASE), most, value], read)?)
}

/// Claims anew what was claimed until `until`, if nobody else has claimed it since; until when it is claimed now.
pub(super) fn renew(work: &Work<'_>, outbox: Outbox, id: &str, until: Timestamp) -> Result<Option<Timestamp>, Error> {
    let sql = format!("UPDATE {} SET due_at = ?3 WHERE id = ?1 AND due_at = ?2", outbox.table());
    let renewed = after(work.clock(now())?, LEASE);
    Ok((work.run(&sql, values![id, until, renewed])? > 0).then_some(renewed))
}

/// Writes down that a delivery failed: when it is tried again (`None`: it is given up), and why it failed.
pub(super) fn failed(
    work: &Work<'_>,
    outbox: Outbox,
    id: &str,
    again: Option<Timestamp>,
    problem: &str,
) -> Result<(), Error> {
    let sql = format!("UPDATE {} SET due_at = ?2, problem = ?3 WHERE id = ?1", outbox.table());
    work.run(&sql, values![id, again, problem])?;
    Ok(())
}

/// Makes claimed but unreported deliveries due again: for a process that knows that it is the only one using the data, and that
/// any earlier claimant has ended.
pub(crate) async fn reclaim(database: &Database) -> Result<(), Error> {
    let reclaiming = database.transact(|work| {
        let now = now();
        for table in [Outbox::Mail, Outbox::WebhookCall, Outbox::Job].map(Outbox::table) {
            // A failed one waits for its next attempt instead, with the reason.
            let sql = format!("UPDATE {table} SET due_at = ?1 WHERE due_at > ?1 AND attempts > 0 AND problem IS NULL");
            work.run(&sql, values![now])?;
        }
        Ok::<_, Error>(())
    });
    reclaiming.await
}

#[cfg(test)]
mod tests {
    use masv_protocol::EmailAddress;

    use super::*;
    use crate::records::tests::{Place, database, new_package};
    use crate::records::{files, links, mails, packages};

    /// A database in which a mail to each of these recipients is due.
    async fn owing(recipients: &[&str]) -> (Place, Database) {
        let (folder, database, team) = database().await;
        let recipients: Vec<EmailAddress> = recipients.iter().map(|address| address.parse().unwrap()).collect();
        let new = packages::NewPackage { recipients, ..new_package(&team) };
        let package = packages::create(&database, new).await.unwrap();
        let file = files::NewFile {
            package: package.id.clone(),
            kind: masv_protocol::FileKind::File,
            path: String::new(),
            name: "clip.mov".into(),
            size: Some(1),
            last_modified: None,
            in_bucket: true,
            chunk_size: None,
        };
        let (id, _) = files::announce(&database, file).await.unwrap();
        let content = files::Content { size: 1, etag: "e".into(), crc: None, md5: None };
        files::close(&database, (package.id.clone(), id), content).await.unwrap();
        packages::finalize(&database, package.id.clone(), None).await.unwrap();
        assert_eq!(links::list(&database, package.id).await.unwrap().len(), new_recipients(&database).await);
        (folder, database)
    }

    async fn new_recipients(database: &Database) -> usize {
        let counting = database.query(|work| {
            Ok::<_, Error>(work.value::<u64>("SELECT count(*) FROM mail WHERE attempts = 0", values![])?)
        });
        usize::try_from(counting.await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn what_one_has_claimed_no_other_gets() {
        let (_folder, database) = owing(&["a@example.com", "b@example.com", "c@example.com"]).await;
        let (first, second) = tokio::join!(mails::claim(&database, 2), mails::claim(&database, 2));
        let mut claimed: Vec<String> = first.unwrap().into_iter().chain(second.unwrap()).map(|mail| mail.id).collect();
        claimed.sort_unstable();
        claimed.dedup();
        assert_eq!(claimed.len(), 3, "each once");
        assert!(mails::claim(&database, 2).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_was_claimed_and_never_reported_is_due_again_and_what_failed_waits() {
        let (_folder, database) = owing(&["a@example.com", "b@example.com"]).await;
        let claimed = mails::claim(&database, 2).await.unwrap();
        assert_eq!(claimed.iter().map(|mail| mail.attempt).collect::<Vec<_>>(), [1, 1]);
        let again = after(now(), LEASE);
        mails::not_sent(&database, claimed[0].id.clone(), Some(again), "away".into()).await.unwrap();
        reclaim(&database).await.unwrap();
        let claimed_again = mails::claim(&database, 2).await.unwrap();
        let ids: Vec<_> = claimed_again.iter().map(|mail| (mail.id.as_str(), mail.attempt)).collect();
        assert_eq!(ids, [(claimed[1].id.as_str(), 2)]);
    }

    #[tokio::test]
    async fn what_is_sent_or_given_up_is_never_due_again() {
        let (_folder, database) = owing(&["a@example.com", "b@example.com"]).await;
        let claimed = mails::claim(&database, 2).await.unwrap();
        mails::sent(&database, claimed[0].id.clone()).await.unwrap();
        mails::not_sent(&database, claimed[1].id.clone(), None, "no such mailbox".into()).await.unwrap();
        reclaim(&database).await.unwrap();
        assert!(mails::claim(&database, 2).await.unwrap().is_empty());
    }
}
