//! The database file as its users see it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use masv_platform::PathBeneath;
use rusqlite::Connection;

use crate::sqlite::{OLDEST_SQLITE, READERS};
use crate::{DbError, Sqlite, values};

const SCHEMA: &[&str] = &["CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"];

fn count(connection: &Connection) -> Result<i64, DbError> {
    Ok(connection.query_row("SELECT count(*) FROM note", [], |row| row.get(0))?)
}

async fn add(database: &Sqlite, text: &'static str) -> Result<usize, DbError> {
    database.write(move |c| Ok(c.execute("INSERT INTO note (text) VALUES (?1)", [text])?)).await
}

/// A clean stop used to leave all of it in the log, and a copy of the file alone was an empty database.
#[tokio::test]
async fn after_a_checkpoint_the_file_alone_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("t.db"), folder.path().join("copy.db"));
    assert!(Sqlite::is_empty(&path).unwrap());
    let database = Sqlite::open(&path, SCHEMA).unwrap();
    let (added, checkpoint) = tokio::join!(add(&database, "kept"), database.checkpoint());
    assert_eq!(added.unwrap(), 1);
    checkpoint.unwrap();
    std::fs::copy(&path, &copy).unwrap();
    assert!(!Sqlite::is_empty(&copy).unwrap());
    let copied = Sqlite::open(&copy, SCHEMA).unwrap();
    assert_eq!(copied.read(count).await.unwrap(), 1);
    assert_eq!(add(&database, "and on").await.unwrap(), 1);
    std::fs::write(&copy, "").unwrap();
    assert!(Sqlite::is_empty(&copy).unwrap());
    std::fs::write(&copy, "no database at all, but long enough to be taken for one".repeat(20)).unwrap();
    assert!(Sqlite::is_empty(&copy).is_err());
}

/// Row "a locked agent.db": whoever wanted to write was told that the database is closed. It is locked, and written to once it is not.
#[tokio::test]
async fn a_database_that_another_program_locks_is_called_locked_and_goes_on_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let database = Sqlite::open(&path, SCHEMA).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = add(&database, "too early").await.unwrap_err();
    assert!(matches!(&refused, DbError::Commit(reason) if reason.contains("locked")), "{refused}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(add(&database, "later").await.unwrap(), 1);
    assert_eq!(database.read(count).await.unwrap(), 1);
}

#[tokio::test]
async fn the_work_that_statements_make_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let database = Sqlite::open(&folder.path().join("t.db"), SCHEMA).unwrap();
    let count_to = |most: u32| {
        database.read(move |c| {
            let sql =
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT max(i) FROM n";
            Ok::<u32, DbError>(c.query_row(sql, [most], |row| row.get(0))?)
        })
    };
    let before = database.thousand_steps();
    count_to(10).await.unwrap();
    let little = database.thousand_steps() - before;
    count_to(10_000).await.unwrap();
    let much = database.thousand_steps() - before - little;
    assert!(little <= 1 && much >= 50, "{little} and {much}");
}

#[tokio::test]
async fn a_failed_write_leaves_nothing_and_disturbs_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let database = Sqlite::open(&folder.path().join("t.db"), SCHEMA).unwrap();
    let failing = database.write(|c| {
        c.execute("INSERT INTO note (text) VALUES ('gone')", [])?;
        c.execute("INSERT INTO nowhere VALUES (1)", [])?;
        Ok::<_, DbError>(())
    });
    let (failed, kept) = tokio::join!(failing, add(&database, "kept"));
    assert!(matches!(failed, Err(DbError::Statement(_))));
    assert_eq!(kept.unwrap(), 1);
    assert_eq!(database.read(count).await.unwrap(), 1);
}

/// A reader that is cancelled (a client that hangs up, a rule that is stopped) does not take its connection with it.
#[tokio::test]
async fn readers_that_are_cancelled_leave_their_connections_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let database = Sqlite::open(&folder.path().join("t.db"), SCHEMA).unwrap();
    for _ in 0..3 * READERS {
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let slow = database.read(move |connection| {
            let _ = wait.recv();
            count(connection)
        });
        let cancelled = tokio::time::timeout(Duration::from_millis(2), slow).await;
        assert!(cancelled.is_err(), "it was not cancelled while it read");
        drop(go_on);
    }
    let readers = (0..4 * READERS).map(|_| {
        let database = database.clone();
        tokio::spawn(async move { database.read(count).await })
    });
    for reader in readers.collect::<Vec<_>>() {
        assert_eq!(reader.await.unwrap().unwrap(), 0);
    }
}

#[tokio::test]
async fn many_writers_at_once_all_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let database = Sqlite::open(&folder.path().join("t.db"), SCHEMA).unwrap();
    let writers: Vec<_> = (0..500)
        .map(|_| {
            let database = database.clone();
            tokio::spawn(async move { add(&database, "x").await })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(database.read(count).await.unwrap(), 500);
}

/// Case: databases of earlier versions are upgraded after a copy was made, and those of later ones refused.
#[tokio::test]
async fn an_older_database_is_copied_then_upgraded_and_a_newer_one_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    add(&Sqlite::open(&path, SCHEMA).unwrap(), "old").await.unwrap();
    let upgraded = [SCHEMA[0], "ALTER TABLE note ADD COLUMN colour TEXT"];
    let database = Sqlite::open(&path, &upgraded).unwrap();
    assert_eq!(database.read(count).await.unwrap(), 1);
    assert!(folder.path().join("t.db.v1.bak").exists());
    drop(database);
    assert!(matches!(Sqlite::open(&path, SCHEMA), Err(DbError::Newer { found: 2, known: 1, .. })));
}

#[tokio::test]
async fn a_copy_is_of_one_moment_while_others_write_and_never_over_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let database = Sqlite::open(&folder.path().join("t.db"), SCHEMA).unwrap();
    // Enough that a copy takes several steps.
    let fill = |c: &Connection| {
        let mut statement = c.prepare_cached("INSERT INTO note (text) VALUES (?1)")?;
        (0..4000).try_for_each(|_| statement.execute(["x".repeat(4000)]).map(drop))?;
        Ok::<_, DbError>(())
    };
    database.write(fill).await.unwrap();
    let path = folder.path().join("copy.db");
    let (copied, written) =
        tokio::join!(database.backup(PathBeneath::new(folder.path(), path.file_name().unwrap())), async {
            for _ in 0..20 {
                database.write(fill).await?;
            }
            Ok::<_, DbError>(())
        });
    copied.unwrap();
    written.unwrap();
    let copy = Sqlite::open(&path, SCHEMA).unwrap();
    let there = copy.read(count).await.unwrap();
    assert!(there > 0 && there % 4000 == 0, "{there}");
    assert!(matches!(
        database.backup(PathBeneath::new(folder.path(), path.file_name().unwrap())).await,
        Err(DbError::Backup { .. })
    ));
    assert_eq!(copy.read(count).await.unwrap(), there, "the file that was there is left alone");
}

#[tokio::test]
async fn a_change_that_panics_ends_alone() {
    let folder = tempfile::tempdir().unwrap();
    let database = Sqlite::open(&folder.path().join("t.db"), SCHEMA).unwrap();
    let panicking = database.write(|c| {
        c.execute("INSERT INTO note (text) VALUES ('gone')", [])?;
        if count(c)? > 0 {
            panic!("a bug");
        }
        Ok::<_, DbError>(())
    });
    let (panicked, kept) = tokio::join!(panicking, add(&database, "kept"));
    assert!(matches!(panicked, Err(DbError::Panicked)));
    assert_eq!((kept.unwrap(), database.read(count).await.unwrap()), (1, 1));
}

#[test]
fn the_linked_sqlite_is_one_that_loses_nothing() {
    assert!(rusqlite::version_number() >= OLDEST_SQLITE);
}

/// Four clients that listed took all readers, and whoever sent waited behind them.
#[tokio::test]
async fn however_many_read_lists_others_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let database = crate::Database::open(&folder.path().join("t.db"), SCHEMA).unwrap();
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let (wait, begun) = (Arc::new(Mutex::new(wait)), Arc::new(AtomicUsize::new(0)));
    let lists: Vec<_> = (0..3 * READERS)
        .map(|_| {
            let (database, wait, begun) = (database.clone(), Arc::clone(&wait), Arc::clone(&begun));
            tokio::spawn(async move {
                let list = database.list(move |work| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    let _ = wait.lock().unwrap().recv();
                    work.value::<i64>("SELECT count(*) FROM note", values![])
                });
                list.await
            })
        })
        .collect();
    while begun.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..10 {
        let asked = database.query(|work| work.value::<i64>("SELECT 7", values![]));
        assert_eq!(tokio::time::timeout(Duration::from_secs(60), asked).await.unwrap().unwrap(), 7);
        // More of the lists may begin.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(go_on);
    for list in lists {
        assert_eq!(list.await.unwrap().unwrap(), 0);
    }
}
