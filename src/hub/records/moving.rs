//! Moving a hub to another database: the rows of one, table by table, into the other.
//!
//! **In**: the database of a hub on its own, which takes no changes meanwhile. **Out**: one that hubs share.
//!
//! Rows are copied in the order of their keys, page by page, and each page is one transaction: a move that was interrupted goes on after
//! the last row that is there. Files come after what is done with their content.
//!
//! Until it is over, both databases have a moment that says so, the same in both: hubs over the old one only read, none starts over the new
//! one. The old database can be opened again, and changed; the next move has another moment, and does not go on in what the one before made,
//! which would lack what was changed in between.

use jiff::Timestamp;
use masv_db::{Database, DbError, FromValue, Row, Value, Work, values};
use masv_protocol::{FileId, PackageId};

use super::moments::{self, Moment};
use super::{Error, files};
use crate::clock::now;
use crate::keys::tokens::Keys;

/// Rows that are copied at once.
const ROWS: u32 = 500;

/// A table, and the columns that its rows are in the order of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    pub name: &'static str,
    key: &'static [&'static str],
    /// Whether the database numbers its rows.
    is_numbered: bool,
}

const fn table(name: &'static str, key: &'static [&'static str]) -> Table {
    Table { name, key, is_numbered: false }
}

const fn numbered(name: &'static str) -> Table {
    Table { name, key: &["number"], is_numbered: true }
}

/// What is copied before the files: what they belong to.
pub(crate) const BEFORE_FILES: [Table; 8] = [
    table("team", &["id"]),
    table("account", &["id"]),
    table("membership", &["team_id", "account_id"]),
    table("api_key", &["id"]),
    table("session", &["hash"]),
    table("tag", &["id"]),
    table("portal", &["id"]),
    table("package", &["id"]),
];

/// What is copied after them.
pub(crate) const AFTER_FILES: [Table; 12] = [
    table("link", &["id"]),
    table("link_visit", &["link_id", "visit"]),
    table("webhook", &["id"]),
    table("webhook_call", &["id"]),
    table("portal_webhook", &["portal_id", "webhook_id"]),
    table("mail", &["id"]),
    numbered("audit"),
    numbered("activity"),
    numbered("activity_event"),
    table("download", &["activity"]),
    table("download_file", &["activity", "file"]),
    table("repeatable", &["team_id", "key"]),
];

/// The files.
pub(crate) const FILES: Table = numbered("file");

/// Columns that the target's triggers keep, by what is copied into it.
const KEPT_BY_TRIGGERS: [(&str, &str); 3] = [("team", "used"), ("package", "reserved"), ("package", "entries")];

/// How far a move has come, as its target tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The database is empty.
    New,
    /// It goes on.
    Unfinished,
    /// It is over.
    Done,
}

type OwnedRow = Vec<Value<'static>>;

/// Closes the old database to changes, from the next time that it is opened, unless it is closed already. Since when it is.
pub(crate) async fn close_source(source: &Database) -> Result<Timestamp, Error> {
    if let Some(since) = moments::get(source, Moment::Moving).await? {
        return Ok(since);
    }
    let since = now();
    moments::set(source, Moment::Moving, since).await?;
    Ok(since)
}

/// Takes changes there again.
pub(crate) async fn open_source(source: &Database) -> Result<(), Error> {
    moments::clear(source, &[Moment::Moving]).await
}

/// What a database is to a move of the hub with this id that began at `since`; `None` if it has not begun. One that is not for it is an
/// error.
fn stage_in(work: &Work<'_>, hub: &str, since: Option<Timestamp>) -> Result<Stage, Error> {
    let known = work.one("SELECT id FROM hub WHERE one = 1", values![], |row| row.get::<String>(0))?;
    match known {
        None => return Ok(Stage::New),
        Some(known) if known == hub => {}
        Some(_) => {
            let why = "the database to move to is that of another hub: give an empty one".to_owned();
            return Err(Error::Invalid(why));
        }
    }
    let sql = "SELECT at FROM moment WHERE name = ?1";
    let moving = work.one(sql, values![Moment::Moving.as_str()], |row| row.get::<Timestamp>(0))?;
    match moving {
        None => Ok(Stage::Done),
        Some(at) if Some(at) == since => Ok(Stage::Unfinished),
        Some(_) => {
            let why = "the database to move to has what a move copied that was undone, and the hub has changed since: drop it, and make it anew";
            Err(Error::Invalid(why.to_owned()))
        }
    }
}

/// How far a move of the hub with this id has come that closed the old database at `since`; `None` if it is open. Changes nothing.
pub(crate) async fn stage(target: &Database, hub: String, since: Option<Timestamp>) -> Result<Stage, Error> {
    target.query(move |work| stage_in(work, &hub, since)).await
}

/// Takes an empty database for the hub with this id, or goes on in the one that was taken for the same move. Returns how far it had come.
pub(crate) async fn begin(target: &Database, hub: String, since: Timestamp, keys: &Keys) -> Result<Stage, Error> {
    let check = keys.check_of(&hub);
    let beginning = target.transact(move |work| {
        work.alone("moving")?;
        let stage = stage_in(work, &hub, Some(since))?;
        if stage == Stage::New {
            work.run("INSERT INTO hub (one, id, key_check) VALUES (1, ?1, ?2)", values![hub, check])?;
            work.run("INSERT INTO moment (name, at) VALUES (?1, ?2)", values![Moment::Moving.as_str(), since])?;
        }
        Ok(stage)
    });
    beginning.await
}

/// The columns of a table of the old database.
async fn columns(source: &Database, table: Table) -> Result<Vec<String>, Error> {
    let listing = source.query(move |work| {
        let sql = format!("SELECT name FROM pragma_table_info('{}') ORDER BY cid", table.name);
        Ok::<_, Error>(work.all(&sql, values![], |row| row.get(0))?)
    });
    listing.await
}

fn owned(row: &Row<'_>, columns: usize) -> Result<OwnedRow, DbError> {
    (0..columns).map(|column| row.get(column)).collect()
}

/// The last key of a table in the new database.
async fn last(target: &Database, table: Table) -> Result<Option<OwnedRow>, Error> {
    let down: Vec<String> = table.key.iter().map(|column| format!("{column} DESC")).collect();
    let sql = format!("SELECT {} FROM {} ORDER BY {} LIMIT 1", table.key.join(", "), table.name, down.join(", "));
    let width = table.key.len();
    let asking = target.query(move |work| Ok::<_, Error>(work.one(&sql, values![], |row| owned(row, width))?));
    asking.await
}

/// Rows of the old database after a key, in order.
async fn page(
    source: &Database,
    table: Table,
    columns: &[String],
    after: Option<&OwnedRow>,
    most: u32,
) -> Result<Vec<OwnedRow>, Error> {
    let key = table.key.join(", ");
    let mut values: OwnedRow = after.cloned().unwrap_or_default();
    let condition = match after {
        None => String::new(),
        Some(after) => {
            let places: Vec<String> = (1..=after.len()).map(|number| format!("?{number}")).collect();
            format!("WHERE ({key}) > ({})", places.join(", "))
        }
    };
    values.push(Value::Integer(most.into()));
    let sql =
        format!("SELECT {} FROM {} {condition} ORDER BY {key} LIMIT ?{}", columns.join(", "), table.name, values.len());
    let width = columns.len();
    let reading = source.query(move |work| Ok::<_, Error>(work.all(&sql, &values, |row| owned(row, width))?));
    reading.await
}

fn insert(work: &Work<'_>, table: Table, columns: &[String], rows: &[OwnedRow]) -> Result<(), Error> {
    let places: Vec<String> = (1..=columns.len()).map(|number| format!("?{number}")).collect();
    let sql = format!("INSERT INTO {} ({}) VALUES ({})", table.name, columns.join(", "), places.join(", "));
    for row in rows {
        work.run(&sql, row)?;
    }
    Ok(())
}

/// Copies the rows of a table that are not there yet.
pub(crate) async fn copy(source: &Database, target: &Database, table: Table) -> Result<(), Error> {
    let columns = columns(source, table).await?;
    let place = |name: &str| columns.iter().position(|column| column == name);
    let key: Option<Vec<usize>> = table.key.iter().map(|name| place(name)).collect();
    let key = key.ok_or_else(|| Error::Invalid(format!("the table {} has no key", table.name)))?;
    let kept: Vec<usize> =
        KEPT_BY_TRIGGERS.iter().filter(|(of, _)| *of == table.name).filter_map(|(_, name)| place(name)).collect();
    let mut after = last(target, table).await?;
    loop {
        let mut rows = page(source, table, &columns, after.as_ref(), ROWS).await?;
        let Some(end) = rows.last() else { return Ok(()) };
        after = Some(key.iter().filter_map(|place| end.get(*place).cloned()).collect());
        for row in &mut rows {
            for place in &kept {
                row[*place] = Value::Integer(0);
            }
        }
        let columns = columns.clone();
        let putting = target.transact(move |work| insert(work, table, &columns, &rows));
        putting.await?;
        masv_platform::slow_point("move.rows");
    }
}

/// A file, and what of it must be moved.
#[derive(Debug, Clone)]
pub(crate) struct MovedFile {
    pub package: PackageId,
    pub id: FileId,
    /// With its folders, for people.
    pub path: String,
    pub size: u64,
    pub content: Content,
    row: OwnedRow,
}

/// Where the content of a file is.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// It has none, or none any more.
    None,
    /// In parts, on the disk and in the database.
    Parts(Vec<MovedPart>),
    /// In the bucket, whole.
    Object,
    /// It has not come to an end: its sender begins it anew.
    Unfinished,
    /// In the bucket, and has not come to an end: its sender goes on.
    UnfinishedObject,
}

/// A part of a file.
#[derive(Debug, Clone)]
pub(crate) struct MovedPart {
    pub number: u32,
    pub size: u64,
    pub md5: [u8; 16],
    /// Where on the disk; absent: in the database, under this key.
    pub place: Option<String>,
    pub key: i64,
}

/// What became of the content of a file.
#[derive(Debug, Clone)]
pub(crate) enum Moved {
    /// It is as it was.
    AsItWas,
    /// It is in the bucket, under this tag.
    InBucket(String),
    /// It is gone, or damaged.
    Lost,
}

/// The columns of files that a move changes, or looks at.
struct FileColumns {
    all: Vec<String>,
}

impl FileColumns {
    fn place(&self, name: &str) -> Result<usize, Error> {
        let place = self.all.iter().position(|column| column == name);
        place.ok_or_else(|| Error::Invalid(format!("the table file has no column {name}")))
    }

    fn get<T: FromValue>(&self, row: &OwnedRow, name: &str) -> Result<T, Error> {
        let column = self.place(name)?;
        let value = row.get(column).cloned().unwrap_or(Value::Null);
        T::from_value(value).map_err(|problem| Error::Database(DbError::Value { column, problem }))
    }

    fn set(&self, row: &mut OwnedRow, name: &str, value: Value<'static>) -> Result<(), Error> {
        let column = self.place(name)?;
        if let Some(place) = row.get_mut(column) {
            *place = value;
        }
        Ok(())
    }
}

async fn file_columns(source: &Database) -> Result<FileColumns, Error> {
    Ok(FileColumns { all: columns(source, FILES).await? })
}

/// The next files that are not in the new database yet.
pub(crate) async fn next_files(source: &Database, target: &Database, most: u32) -> Result<Vec<MovedFile>, Error> {
    let columns = file_columns(source).await?;
    let after = last(target, FILES).await?;
    let rows = page(source, FILES, &columns.all, after.as_ref(), most).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let (folder, name): (String, String) = (columns.get(&row, "path")?, columns.get(&row, "name")?);
        let package: String = columns.get(&row, "package_id")?;
        let mut file = MovedFile {
            package: package.as_str().into(),
            id: columns.get::<String>(&row, "id")?.into(),
            path: if folder.is_empty() { name } else { format!("{folder}/{name}") },
            size: columns.get(&row, "size")?,
            content: Content::None,
            row: Vec::new(),
        };
        let is_file = columns.get::<String>(&row, "kind")? == "file";
        let is_whole = columns.get::<Option<i64>>(&row, "finalized_at")?.is_some();
        let in_bucket: bool = columns.get(&row, "in_bucket")?;
        if is_file && has_content(source, package).await? {
            file.content = match (is_whole, in_bucket) {
                (true, true) => Content::Object,
                (true, false) => Content::Parts(parts(source, columns.get(&row, "number")?).await?),
                (false, true) => Content::UnfinishedObject,
                (false, false) => Content::Unfinished,
            };
        }
        file.row = row;
        found.push(file);
    }
    Ok(found)
}

/// Whether the content of a package's files must be there.
async fn has_content(source: &Database, package: String) -> Result<bool, Error> {
    let asking = source.query(move |work| {
        let sql =
            "SELECT EXISTS (SELECT 1 FROM package WHERE id = ?1 AND (state != 'expired' OR trashed_at IS NOT NULL))";
        Ok::<_, Error>(work.value(sql, values![package])?)
    });
    asking.await
}

/// A file that must be in the bucket.
#[derive(Debug, Clone)]
pub(crate) struct InBucket {
    pub package: PackageId,
    pub id: FileId,
    pub size: u64,
}

/// Up to `most` of the last files whose content must be in the bucket of the old hub, and is not known to be lost.
pub(crate) async fn some_in_bucket(source: &Database, most: u32) -> Result<Vec<InBucket>, Error> {
    let listing = source.query(move |work| {
        let sql = "SELECT file.package_id, file.id, file.size FROM file JOIN package ON package.id = file.package_id
             WHERE file.kind = 'file' AND file.in_bucket = 1 AND file.finalized_at IS NOT NULL AND file.lost_at IS NULL
                AND (package.state != 'expired' OR package.trashed_at IS NOT NULL)
             ORDER BY file.number DESC LIMIT ?1";
        Ok::<_, Error>(work.all(sql, values![most], |row| {
            let (package, id): (String, String) = (row.get(0)?, row.get(1)?);
            Ok(InBucket { package: package.as_str().into(), id: id.into(), size: row.get(2)? })
        })?)
    });
    listing.await
}

async fn parts(source: &Database, number: i64) -> Result<Vec<MovedPart>, Error> {
    let first = number * files::PARTS;
    let listing = source.query(move |work| {
        let sql = "SELECT key, key - ?1, size, md5, place FROM part WHERE key > ?1 AND key < ?2 ORDER BY key";
        Ok::<_, Error>(work.all(sql, values![first, first + files::PARTS], |row| {
            let (key, number) = (row.get(0)?, row.get(1)?);
            Ok(MovedPart { key, number, size: row.get(2)?, md5: row.get(3)?, place: row.get(4)? })
        })?)
    });
    listing.await
}

/// Writes files down in the new database, with what became of their content.
pub(crate) async fn put_files(
    source: &Database,
    target: &Database,
    moved: Vec<(MovedFile, Moved)>,
) -> Result<(), Error> {
    let columns = file_columns(source).await?;
    let mut rows = Vec::with_capacity(moved.len());
    for (file, outcome) in moved {
        let mut row = file.row;
        match outcome {
            Moved::AsItWas => {}
            Moved::InBucket(etag) => {
                columns.set(&mut row, "in_bucket", Value::Integer(1))?;
                columns.set(&mut row, "etag", Value::Text(etag.into()))?;
                columns.set(&mut row, "lost_at", Value::Null)?;
            }
            Moved::Lost => {
                columns.set(&mut row, "in_bucket", Value::Integer(1))?;
                let at: Option<Timestamp> = columns.get(&row, "lost_at")?;
                let at = at.unwrap_or_else(now).as_millisecond();
                columns.set(&mut row, "lost_at", Value::Integer(at))?;
            }
        }
        if matches!(file.content, Content::Unfinished) {
            columns.set(&mut row, "in_bucket", Value::Integer(1))?;
            columns.set(&mut row, "upload", Value::Null)?;
        }
        rows.push(row);
    }
    let putting = target.transact(move |work| insert(work, FILES, &columns.all, &rows));
    putting.await?;
    masv_platform::slow_point("move.files");
    Ok(())
}

/// Ends a move that began at `since`: the sums are those of the old database, new numbers follow the last, and hubs may start over the new
/// one. The old database must have been closed ever since.
pub(crate) async fn finish(source: &Database, target: &Database, since: Timestamp) -> Result<(), Error> {
    if moments::get(source, Moment::Moving).await? != Some(since) {
        let why = "the old hub has been opened again while it was moved: drop the new database, make it anew, and begin again";
        return Err(Error::Invalid(why.to_owned()));
    }
    let old_tokens_end = moments::get(source, Moment::OldTokensEnd).await?;
    let finishing = target.transact(move |work| {
        // What is over counts for nothing; the triggers counted it when its files came.
        work.run("UPDATE package SET reserved = 0 WHERE state = 'expired' OR removed = 1", values![])?;
        for table in BEFORE_FILES.iter().chain(&AFTER_FILES).chain([&FILES]).filter(|table| table.is_numbered) {
            work.number_on(table.name, "number")?;
        }
        if let Some(end) = old_tokens_end {
            let sql = "INSERT INTO moment (name, at) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET at = excluded.at";
            work.run(sql, values![Moment::OldTokensEnd.as_str(), end])?;
        }
        work.run("DELETE FROM moment WHERE name = ?1", values![Moment::Moving.as_str()])?;
        Ok::<_, Error>(())
    });
    finishing.await
}

/// Rows of each table: in the old database, and in the new one.
pub(crate) async fn counts(source: &Database, target: &Database) -> Result<Vec<(&'static str, u64, u64)>, Error> {
    let mut counted = Vec::new();
    for table in BEFORE_FILES.iter().chain([&FILES]).chain(&AFTER_FILES) {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let (here, there) = (sql.clone(), sql);
        let before = source.query(move |work| Ok::<_, Error>(work.value::<u64>(&here, values![])?)).await?;
        let after = target.query(move |work| Ok::<_, Error>(work.value::<u64>(&there, values![])?)).await?;
        counted.push((table.name, before, after));
    }
    Ok(counted)
}

/// Files whose content is known to be lost, as `package/path`.
pub(crate) async fn lost(target: &Database) -> Result<Vec<String>, Error> {
    let listing = target.query(|work| {
        let sql = "SELECT package_id, path, name FROM file WHERE lost_at IS NOT NULL ORDER BY number";
        Ok::<_, Error>(work.all(sql, values![], |row| {
            let (package, folder, name): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(if folder.is_empty() { format!("{package}/{name}") } else { format!("{package}/{folder}/{name}") })
        })?)
    });
    listing.await
}

/// Bytes in use: in the old database, and in the new one.
pub(crate) async fn sums(source: &Database, target: &Database) -> Result<(u64, u64), Error> {
    let sum = |database: Database| async move {
        let sql = "SELECT CAST(coalesce(sum(used), 0) AS BIGINT) FROM team";
        database.query(move |work| Ok::<_, Error>(work.value::<u64>(sql, values![])?)).await
    };
    Ok((sum(source.clone()).await?, sum(target.clone()).await?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::records::schema::MIGRATIONS;

    /// What is not copied: parts become objects of the bucket; the rest is about the place where the hub was, or is made anew.
    const LEFT: [&str; 6] = ["part", "job", "orphan", "notice", "moment", "counter"];

    /// A table that a later migration makes is not forgotten.
    #[tokio::test]
    async fn every_table_is_copied_or_left_on_purpose() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("hub.db"), MIGRATIONS).unwrap();
        let listing = database.query(|work| {
            let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
            Ok::<_, Error>(work.all(sql, values![], |row| row.get::<String>(0))?)
        });
        let found: BTreeSet<String> = listing.await.unwrap().into_iter().collect();
        let copied = BEFORE_FILES.iter().chain([&FILES]).chain(&AFTER_FILES).map(|table| table.name);
        // The row of the hub is written when the move begins.
        let known = copied.chain(LEFT).chain(["hub"]).map(str::to_owned);
        assert_eq!(found, known.collect());
    }

    /// Case: what was changed between two moves was not in the new database, because the second one went on in what the first had copied.
    #[tokio::test]
    async fn a_move_does_not_go_on_in_what_one_that_was_undone_has_made() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(&folder.path().join("secret.key")).unwrap();
        let open = |name: &str| Database::open(&folder.path().join(name), MIGRATIONS).unwrap();
        let (source, target, later) = (open("old.db"), open("new.db"), open("later.db"));
        let hub = super::super::identity::confirm(&source, &keys).await.unwrap();
        let since = close_source(&source).await.unwrap();
        assert_eq!(stage(&target, hub.clone(), Some(since)).await.unwrap(), Stage::New);
        assert_eq!(begin(&target, hub.clone(), since, &keys).await.unwrap(), Stage::New);
        // It was killed.
        assert_eq!(close_source(&source).await.unwrap(), since);
        assert_eq!(begin(&target, hub.clone(), since, &keys).await.unwrap(), Stage::Unfinished);

        open_source(&source).await.unwrap();
        finish(&source, &target, since).await.unwrap_err();
        stage(&target, hub.clone(), None).await.unwrap_err();
        while now() == since {
            tokio::task::yield_now().await;
        }
        let again = close_source(&source).await.unwrap();
        let refused = begin(&target, hub.clone(), again, &keys).await.unwrap_err().to_string();
        assert!(refused.contains("undone"), "{refused}");
        finish(&source, &target, since).await.unwrap_err();

        assert_eq!(begin(&later, hub.clone(), again, &keys).await.unwrap(), Stage::New);
        finish(&source, &later, again).await.unwrap();
        assert_eq!(begin(&later, hub, again, &keys).await.unwrap(), Stage::Done);
    }
}
