//! What may be done so often in a time, counted for all hubs of a database: guesses at secrets, and what strangers cost others. With N hubs
//! they would otherwise have N times as much. A hub alone counts in memory.
//!
//! An attempt counts as wrong before its password is compared, and is uncounted if that is right: an attempt whose hub has died stays
//! counted. Counters go by the clock of the database; those of one call are changed in the order of their keys, so that two calls do not
//! wait for each other in a circle. One that counts until a time that none can have been given counts anew: the clock was ahead when it was
//! written down, and has been set right since.
//!
//! **On a crash** of PostgreSQL the counters are empty: its table is not written to the log, because what counts for some minutes is not
//! worth that.

use std::time::Duration;

use jiff::Timestamp;
use masv_db::{Database, Work, values};

use super::Error;
use crate::clock::{after, now};
use crate::keys::attempt_limiter::{Key, Keys, WINDOW};

/// An attempt that is counted: by which counters, and until when each counts.
#[derive(Debug, Clone)]
pub(crate) struct Counted(Vec<(Key, Timestamp)>);

/// What may be done so often: the pause after which one more is allowed, and the length of the pauses that may be saved up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub key: Key,
    pub pause: Duration,
    pub saved_up: Duration,
}

/// How long until a time.
fn until(time: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(now)).unwrap_or_default()
}

/// Counts an attempt as wrong. One of too many is not counted, and refused.
pub(crate) async fn count(database: &Database, keys: Keys) -> Result<Counted, Error> {
    let mut ordered: Vec<Key> = keys.iter().collect();
    ordered.sort_unstable();
    let counting = database.transact(move |work| {
        let now = work.clock(now())?;
        let counted: Result<Vec<_>, Error> = ordered.iter().map(|key| count_one(work, *key, now)).collect();
        let counted = counted?;
        let wait = keys.wait(|key, most| {
            let (_, over_at, wrong) = counted.iter().find(|(known, ..)| known == key)?;
            // This one is counted, too.
            (*wrong > most).then(|| until(*over_at, now))
        });
        match wait {
            Some(wait) => Err(Error::TooOften(wait)),
            None => Ok(Counted(counted.into_iter().map(|(key, over_at, _)| (key, over_at)).collect())),
        }
    });
    counting.await
}

/// Counts one; until when the counter counts, and what it has counted.
fn count_one(work: &Work<'_>, key: Key, now: Timestamp) -> Result<(Key, Timestamp, u32), Error> {
    let sql = "INSERT INTO counter (key, over_at, count) VALUES (?1, ?2, 1) ON CONFLICT (key) DO UPDATE SET
            over_at = CASE WHEN counter.over_at <= ?3 OR counter.over_at > ?4 THEN excluded.over_at ELSE counter.over_at END,
            count = CASE WHEN counter.over_at <= ?3 OR counter.over_at > ?4 THEN 1 ELSE counter.count + 1 END
         RETURNING over_at, count";
    let (over_at, impossible) = (after(now, WINDOW), after(now, WINDOW * 2));
    let counted = work.one(sql, values![key, over_at, now, impossible], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (over_at, count) = counted.ok_or(Error::Database(masv_db::DbError::NoRow))?;
    Ok((key, over_at, count))
}

/// Uncounts an attempt that was right, or that was not made.
pub(crate) async fn uncount(database: &Database, counted: Counted) -> Result<(), Error> {
    let uncounting = database.transact(move |work| {
        for (key, over_at) in &counted.0 {
            let sql = "UPDATE counter SET count = count - 1 WHERE key = ?1 AND over_at = ?2 AND count > 0";
            work.run(sql, values![key, over_at])?;
        }
        Ok::<_, Error>(())
    });
    uncounting.await
}

/// Counts one of each of these; where one is used up, none, and it is refused.
pub(crate) async fn take(database: &Database, mut rates: Vec<Rate>) -> Result<(), Error> {
    rates.sort_unstable_by_key(|rate| rate.key);
    let taking = database.transact(move |work| {
        let now = work.clock(now())?;
        let mut wait = Duration::ZERO;
        for Rate { key, pause, saved_up } in &rates {
            let sql = "INSERT INTO counter (key, over_at, count) VALUES (?1, ?2, 0) ON CONFLICT (key) DO UPDATE SET
                    over_at = CASE WHEN counter.over_at <= ?3 OR counter.over_at > ?5 THEN excluded.over_at
                        ELSE counter.over_at + ?4 END
                 RETURNING over_at";
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            let impossible = after(now, saved_up.saturating_mul(2));
            let full_at: Timestamp = work.value(sql, values![key, after(now, *pause), now, pause_ms, impossible])?;
            wait = wait.max(until(full_at, after(now, *saved_up)));
        }
        if wait.is_zero() { Ok(()) } else { Err(Error::TooOften(wait)) }
    });
    taking.await
}

/// Forgets the counters that count no more.
pub(super) fn forget(work: &Work<'_>) -> Result<(), Error> {
    let now = work.clock(now())?;
    work.run("DELETE FROM counter WHERE over_at <= ?1", values![now])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use futures_util::{StreamExt, stream};

    use super::*;
    use crate::records::tests::database;

    /// What comes at once: no more than there are connections, or the last ones give up waiting for one.
    const AT_ONCE: usize = 16;
    const HERE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    const THERE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)));

    /// Case: each hub counted for itself, so that three hubs let three times as many guesses through.
    #[tokio::test]
    async fn guesses_at_any_of_the_hubs_count_at_all_of_them_also_when_they_come_at_once() {
        let (place, one, _) = database().await;
        let other = place.open().await;
        let keys = |guesser| Keys::new("account ed@example.com", guesser);
        let attempts = (0..40).map(|number| count(if number % 2 == 0 { &one } else { &other }, keys(HERE)));
        let counted: Vec<_> = stream::iter(attempts).buffered(AT_ONCE).collect().await;
        assert_eq!(counted.iter().filter(|counted| counted.is_ok()).count(), 10);
        for refused in counted.iter().filter_map(|counted| counted.as_ref().err()) {
            assert!(matches!(refused, Error::TooOften(wait) if !wait.is_zero() && *wait <= WINDOW), "{refused}");
        }
        assert!(matches!(count(&one, keys(HERE)).await, Err(Error::TooOften(_))));
        // Others are not locked out, and what is right does not count.
        for _ in 0..20 {
            let right = count(&other, keys(THERE)).await.unwrap();
            uncount(&one, right).await.unwrap();
        }
        // One that was right makes room again.
        uncount(&other, counted.into_iter().find_map(Result::ok).unwrap()).await.unwrap();
        count(&one, keys(HERE)).await.unwrap();
        assert!(matches!(count(&one, keys(HERE)).await, Err(Error::TooOften(_))));
    }

    /// A counter that is over counts anew, and is forgotten.
    #[tokio::test]
    async fn what_was_counted_long_ago_does_not_count() {
        let (_place, database, _) = database().await;
        let keys = || Keys::new("link L", HERE);
        for _ in 0..10 {
            count(&database, keys()).await.unwrap();
        }
        count(&database, keys()).await.unwrap_err();
        let ending = database.transact(|work| {
            work.run("UPDATE counter SET over_at = ?1", values![Timestamp::UNIX_EPOCH])?;
            Ok::<_, Error>(())
        });
        ending.await.unwrap();
        let old = count(&database, keys()).await.unwrap();
        // The end of an attempt of the window before changes nothing in this one.
        let earlier = Counted(old.0.iter().map(|(key, _)| (*key, Timestamp::UNIX_EPOCH)).collect());
        uncount(&database, earlier).await.unwrap();
        for _ in 1..10 {
            count(&database, keys()).await.unwrap();
        }
        count(&database, keys()).await.unwrap_err();
        let forgetting = database.transact(|work| {
            work.run("UPDATE counter SET over_at = ?1", values![Timestamp::UNIX_EPOCH])?;
            forget(work)?;
            Ok::<_, Error>(work.value::<u64>("SELECT count(*) FROM counter", values![])?)
        });
        assert_eq!(forgetting.await.unwrap(), 0);
    }

    /// Case: each hub let an address send as many packages to a portal as one hub may.
    #[tokio::test]
    async fn an_hours_number_of_packages_is_that_of_all_hubs_together() {
        let (place, one, _) = database().await;
        let other = place.open().await;
        let hour = Duration::from_secs(60 * 60);
        let rate = |key, most| Rate { key: [key; 32], pause: hour / most, saved_up: hour };
        let takes =
            (0..30).map(|number| take(if number % 2 == 0 { &one } else { &other }, vec![rate(1, 7), rate(2, 70)]));
        let taken: Vec<_> = stream::iter(takes).buffered(AT_ONCE).collect().await;
        assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), 7);
        let Err(Error::TooOften(wait)) = take(&one, vec![rate(1, 7)]).await else { panic!("it is not refused") };
        assert!(wait <= hour / 7, "{wait:?}");
        // What is refused was not counted elsewhere either.
        let others = (0..80).map(|_| take(&other, vec![rate(2, 70)]));
        let others: Vec<_> = stream::iter(others).buffered(AT_ONCE).collect().await;
        assert_eq!(others.iter().filter(|taken| taken.is_ok()).count(), 63);
    }

    /// Case: the clock of the database was a day ahead for a moment: whoever had used up something then was locked out for that day.
    #[tokio::test]
    async fn what_was_counted_by_a_clock_that_was_ahead_does_not_count() {
        let (_place, database, _) = database().await;
        let hour = Duration::from_secs(60 * 60);
        let keys = || Keys::new("link L", HERE);
        let rate = || vec![Rate { key: [1; 32], pause: hour, saved_up: hour }];
        for _ in 0..10 {
            count(&database, keys()).await.unwrap();
        }
        count(&database, keys()).await.unwrap_err();
        take(&database, rate()).await.unwrap();
        take(&database, rate()).await.unwrap_err();
        let ahead = after(now(), hour * 24);
        let setting = database.transact(move |work| {
            work.run("UPDATE counter SET over_at = ?1", values![ahead])?;
            Ok::<_, Error>(())
        });
        setting.await.unwrap();
        for _ in 0..10 {
            count(&database, keys()).await.unwrap();
        }
        count(&database, keys()).await.unwrap_err();
        take(&database, rate()).await.unwrap();
        take(&database, rate()).await.unwrap_err();
    }
}
