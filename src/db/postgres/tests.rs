//! The engine of PostgreSQL as its users see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::scratch::Scratch;
use crate::{Database, values};

const SCHEMA: PostgresSchema = PostgresSchema {
    migrations: &["CREATE TABLE note (id BIGINT PRIMARY KEY, text TEXT, bytes BYTEA)"],
    readable_from: 1,
};

async fn database() -> Option<(Scratch, Database)> {
    let scratch = Scratch::new()?;
    let database = Database::connect(&scratch.url(), None, &SCHEMA).await.unwrap();
    Some((scratch, database))
}

async fn count(database: &Database) -> i64 {
    database.query(|work| work.value::<i64>("SELECT count(*) FROM note", values![])).await.unwrap()
}

/// What is read is what was written, of each type, by one text of SQL.
#[tokio::test]
async fn values_come_back_as_the_types_that_they_were() {
    let Some((_scratch, database)) = database().await else { return };
    let put = database.transact(|work| {
        let add = "INSERT INTO note (id, text, bytes) VALUES (?1, ?2, ?3)";
        assert_eq!(work.run(add, values![1_u64, "one", [1_u8, 2]])?, 1);
        work.run(add, values![u64::MAX, None::<String>, None::<Vec<u8>>])
    });
    put.await.unwrap();
    let read = database.query(|work| {
        assert!(work.value::<bool>("SELECT EXISTS (SELECT 1 FROM note WHERE id = ?)", values![1_u32])?);
        assert!(work.one("SELECT id FROM note WHERE text = ?1", values!["?"], |row| row.get::<i64>(0))?.is_none());
        assert!(matches!(
            work.value::<u64>("SELECT text FROM note WHERE id = 1", values![]),
            Err(DbError::Value { .. })
        ));
        let all = "SELECT id, text, bytes, id > ?1 FROM note ORDER BY id LIMIT ?2";
        work.all(all, values![1_u32, 10_u32], |row| {
            Ok((row.get::<u64>(0)?, row.get::<Option<String>>(1)?, row.get::<Option<[u8; 2]>>(2)?, row.get::<bool>(3)?))
        })
    });
    let rows: Vec<_> = read.await.unwrap();
    let last = (i64::MAX.unsigned_abs(), None, None, true);
    assert_eq!(rows, [(1, Some("one".to_owned()), Some([1, 2]), false), last]);
}

/// What fails leaves nothing, also where the closure goes on as if it had not; a reader changes nothing.
#[tokio::test]
async fn what_fails_leaves_nothing_behind() {
    let Some((_scratch, database)) = database().await else { return };
    let add = "INSERT INTO note (id) VALUES (?1)";
    let failing = database.transact(move |work| {
        work.run(add, values![1_u32])?;
        work.run("INSERT INTO nowhere VALUES (1)", values![]).map(drop)
    });
    assert!(matches!(failing.await, Err(DbError::Refused(_))));
    let going_on = database.transact(move |work| {
        work.run(add, values![1_u32])?;
        let _ = work.run("INSERT INTO nowhere VALUES (1)", values![]);
        Ok::<_, DbError>(())
    });
    assert!(matches!(going_on.await, Err(DbError::Commit(_))));
    let panicking = database.transact(move |work| {
        work.run(add, values![1_u32])?;
        if work.value::<i64>("SELECT count(*) FROM note", values![])? > 0 {
            panic!("a bug");
        }
        Ok::<_, DbError>(())
    });
    assert!(matches!(panicking.await, Err(DbError::Panicked)));
    assert!(database.query(move |work| work.run(add, values![1_u32])).await.is_err());
    assert_eq!(count(&database).await, 0);
    database.transact(move |work| work.run(add, values![1_u32])).await.unwrap();
    assert_eq!(count(&database).await, 1);
}

/// Who decides by what a row says, and locks it, decides alone; whoever is given a key that somebody else was just given, or waits for
/// each other, runs again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_meet_are_as_one_after_the_other() {
    let Some((_scratch, database)) = database().await else { return };
    database
        .transact(|work| work.run("INSERT INTO note (id, text) VALUES (1, '0'), (2, '0')", values![]))
        .await
        .unwrap();
    let turns = Arc::new(AtomicU32::new(0));
    let changes = (0..16_u32).map(|number| {
        let (database, turns) = (database.clone(), Arc::clone(&turns));
        // Half of them lock the rows in the other order.
        let order = if number % 2 == 0 { [1_u32, 2] } else { [2, 1] };
        tokio::spawn(async move {
            let changing = database.transact(move |work| {
                turns.fetch_add(1, Ordering::SeqCst);
                for id in order {
                    let sql = format!("SELECT text FROM note WHERE id = ?1{}", work.for_change());
                    let so_far: String = work.value(&sql, values![id])?;
                    let more = (so_far.parse::<u32>().unwrap() + 1).to_string();
                    work.run("UPDATE note SET text = ?2 WHERE id = ?1", values![id, more])?;
                }
                // The next number, which several find at once.
                let next: i64 = work.value("SELECT max(id) + 1 FROM note", values![])?;
                work.run("INSERT INTO note (id) VALUES (?1)", values![next]).map(drop)
            });
            changing.await
        })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.unwrap().unwrap();
    }
    assert!(turns.load(Ordering::SeqCst) >= 16);
    let sums = database.query(|work| {
        work.all("SELECT text FROM note WHERE id <= 2 ORDER BY id", values![], |row| row.get::<String>(0))
    });
    assert_eq!(sums.await.unwrap(), ["16", "16"]);
    assert_eq!(count(&database).await, 18);
}

/// A server that goes away before it is asked to commit has changed nothing, and the change is made again; one that goes away while
/// it is asked may have.
#[tokio::test]
async fn a_server_that_goes_away_leaves_the_change_undone_or_unknown() {
    let Some((scratch, database)) = database().await else { return };
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let cut_off = database.transact(move |work| {
        work.run("INSERT INTO note (id) VALUES (1)", values![])?;
        if counted.fetch_add(1, Ordering::SeqCst) < 2 {
            work.value::<bool>("SELECT pg_terminate_backend(pg_backend_pid())", values![])?;
        }
        Ok::<_, DbError>(())
    });
    cut_off.await.unwrap();
    assert_eq!((runs.load(Ordering::SeqCst), count(&database).await), (3, 1));
    let at_commit = "CREATE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER gone AFTER INSERT ON note DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION gone()";
    scratch.run(at_commit.to_owned()).unwrap();
    let unanswered = database.transact(|work| work.run("INSERT INTO note (id) VALUES (2)", values![])).await;
    assert!(matches!(&unanswered, Err(error) if error.is_unknown()), "{unanswered:?}");
    // Connections that were cut off while nobody used them are no matter.
    scratch.cut_off().unwrap();
    assert_eq!(count(&database).await, 1);
    database.transact(|work| work.run("UPDATE note SET text = 'on' WHERE id = 1", values![])).await.unwrap();
}

/// Several that start at once make the tables once; an older program goes on as long as the tables say that it can.
#[tokio::test]
async fn tables_are_made_once_and_older_programs_work_as_long_as_they_can() {
    let Some(scratch) = Scratch::new() else { return };
    let url = scratch.url();
    let (one, other) = tokio::join!(Database::connect(&url, None, &SCHEMA), Database::connect(&url, None, &SCHEMA));
    let (one, _other) = (one.unwrap(), other.unwrap());
    const EXPANDED: PostgresSchema =
        PostgresSchema { migrations: &["", "ALTER TABLE note ADD COLUMN colour TEXT"], readable_from: 1 };
    const CONTRACTED: PostgresSchema =
        PostgresSchema { migrations: &["", "", "ALTER TABLE note DROP COLUMN text"], readable_from: 3 };
    Database::connect(&url, None, &EXPANDED).await.unwrap();
    Database::connect(&url, None, &SCHEMA).await.unwrap();
    assert_eq!(count(&one).await, 0);
    Database::connect(&url, None, &CONTRACTED).await.unwrap();
    let refused = Database::connect(&url, None, &SCHEMA).await.unwrap_err();
    assert!(matches!(refused, DbError::TooNew { found: 3, readable_from: 3, known: 1 }), "{refused}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("postgres://masv@/postgres?host={}", folder.path().display());
    let refused = Database::connect(&url, None, &SCHEMA).await.unwrap_err();
    assert!(matches!(refused, DbError::Unreachable(_)), "{refused}");
}
