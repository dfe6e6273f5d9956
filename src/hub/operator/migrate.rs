//! Moving a hub with a database of its own to PostgreSQL and a bucket.
//!
//! **In**: its data directory, the new database, the bucket. **Out**: the same hub there: the same ids, links, keys and people.
//!
//! **Guarantees.** From its beginning on, hubs over the old data only read, so that nothing is lost between the two. Every part is compared
//! with the MD5 that it arrived with, and the bucket with what was sent; in the end the rows of both are counted. No hub starts over the
//! new database before that is done. The old data is not changed, but for that it is closed, and can be opened again.
//!
//! **On a crash**, or when it is stopped, it goes on where it was when it is run again: rows are in the new database only behind the content of
//! their files. Uploads into the bucket that were not complete are removed by the sweep of the new hubs.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use masv_db::Database;
use masv_platform::private_file;
use md5::{Digest, Md5};
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::config::{HubConfig, SharedDatabase};
use crate::context::Context;
use crate::error::HubError;
use crate::http::serve::lock;
use crate::keys::key_file;
use crate::keys::tokens::Keys;
use crate::records::files;
use crate::records::moments::{self, Moment};
use crate::records::moving::{self, Content, MovedFile, MovedPart, Stage, Table};
use crate::records::schema::POSTGRES;
use crate::storage::{Bucket, Piece, S3Config, Source, StorageError};
use crate::stored::PartName;

/// Files whose content is moved at the same time.
const AT_ONCE: usize = 4;
/// Files that are written down together, once their content is moved.
const FILES: u32 = 16;
/// Files that are looked for in the bucket before anything is done.
const LOOKED_FOR: u32 = 20;
/// Blocks that are read ahead of the bucket.
const AHEAD: usize = 2;

/// A hub that is moved, and where to.
#[derive(Debug, Clone)]
pub struct Migration {
    /// Its data directory.
    pub data_dir: PathBuf,
    /// The database that it goes to. A key file that does not exist is made, with its keys.
    pub database: SharedDatabase,
    /// The bucket that its files go to. What it has in a bucket already must be in this one.
    pub bucket: S3Config,
}

/// What was moved.
#[derive(Debug, Default, Serialize)]
pub struct Moved {
    /// Rows of each table.
    pub rows: Vec<(String, u64)>,
    /// Files whose content went into the bucket, this time.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files whose content was missing or damaged in the old storage, as `package/path`: they are marked as lost, as `masv hub check` does.
    pub lost: Vec<String>,
}

/// Moves a hub, or goes on with it. `told` hears how far it is, about once for every hundred files.
///
/// # Errors
/// [`HubError::Served`] if a hub over the old data runs that takes changes; [`HubError::Invalid`] if the new database or the key file is another
/// hub's, if the new database is from a move that was undone, or if the two do not have the same in the end; [`HubError::OfAnother`]; those of the databases and the storages.
pub async fn migrate(migration: Migration, told: impl Fn(String)) -> Result<Moved, HubError> {
    let Migration { data_dir, database, bucket } = migration;
    let _one_at_a_time = alone(&data_dir).await?;
    let old = Context::open(HubConfig::new(data_dir.clone()), lock).await?;
    if old.database.is_shared() {
        return Err(HubError::Invalid("only a hub with a database of its own can be moved".to_owned()));
    }
    let hub = old.hub_id.clone();
    // Whatever is wrong with where it goes is found before the old hub is closed.
    let keys = shared_keys(&database.secret_key_file, &data_dir.join("secret.key"), &old, &hub).await?;
    let bucket = Bucket::new(&bucket)?;
    has_what_was_in_a_bucket(&old.database, &bucket).await?;
    let owner = bucket.owner(&hub).await.map_err(|error| HubError::Storage(error.to_string()))?;
    if owner != hub {
        return Err(HubError::OfAnother { bucket: format!("{bucket:?}") });
    }
    let password = database.password.as_ref().map(ExposeSecret::expose_secret);
    let target = Database::connect(database.url.expose_secret(), password, &POSTGRES).await?;
    let before = moments::get(&old.database, Moment::Moving).await?;
    unless_done(moving::stage(&target, hub.clone(), before).await?)?;
    let since = close(&old, &data_dir).await?;
    told(format!(
        "The hub in {} only reads from now on. It may be started again, so that what it has can be downloaded meanwhile.",
        data_dir.display()
    ));
    unless_done(moving::begin(&target, hub, since, &keys).await?)?;
    let mut moved = Moved::default();
    copy(&old.database, &target, &moving::BEFORE_FILES).await?;
    move_files(&old, &target, &bucket, &mut moved, &told).await?;
    copy(&old.database, &target, &moving::AFTER_FILES).await?;
    for (table, before, after) in moving::counts(&old.database, &target).await? {
        if before != after {
            let why = format!("the table {table} has {before} rows in the old database and {after} in the new one");
            return Err(HubError::Invalid(why));
        }
        moved.rows.push((table.to_owned(), after));
    }
    moved.lost = moving::lost(&target).await?;
    moving::finish(&old.database, &target, since).await?;
    let (before, after) = moving::sums(&old.database, &target).await?;
    if before != after {
        tracing::warn!(before, after, "the teams have another number of bytes in use than before");
    }
    Ok(moved)
}

/// Has hubs over the old data take changes again. What was moved to is to be thrown away.
///
/// # Errors
/// [`HubError::Invalid`] while it is being moved; those of the database.
pub async fn stay(data_dir: &Path) -> Result<(), HubError> {
    let _one_at_a_time = alone(data_dir).await?;
    let old = Context::open(HubConfig::new(data_dir.to_owned()), lock).await?;
    let Database::ReadOnly(database) = &old.database else { return Ok(()) };
    Ok(moving::open_source(database).await?)
}

/// The lock of the one process that moves a hub, or ends that: who opens the old hub again must not do so behind the back of a move.
async fn alone(data_dir: &Path) -> Result<File, HubError> {
    let path = data_dir.join("migrate.lock");
    let locking = tokio::task::spawn_blocking(move || {
        let failed = |source| HubError::Data { path: path.clone(), source };
        let file = private_file().truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                let why =
                    format!("another `masv hub migrate` has {}: stop it, or let it come to its end", path.display());
                Err(HubError::Invalid(why))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    });
    locking.await.map_err(|error| HubError::Serve(io::Error::other(error)))?
}

fn unless_done(stage: Stage) -> Result<(), HubError> {
    match stage {
        Stage::New | Stage::Unfinished => Ok(()),
        Stage::Done => Err(HubError::Invalid("this hub has been moved to that database already".to_owned())),
    }
}

/// Closes the old database to changes, unless it is; since when.
async fn close(old: &Context, data_dir: &Path) -> Result<Timestamp, HubError> {
    if let Some(since) = moments::get(&old.database, Moment::Moving).await? {
        return Ok(since);
    }
    // A hub that runs has opened its database for changes.
    let folder = data_dir.to_owned();
    let locking = tokio::task::spawn_blocking(move || lock(&folder));
    let alone = locking.await.map_err(|error| HubError::Serve(io::Error::other(error)))??;
    let _alone = alone.ok_or_else(|| HubError::Served { data_dir: data_dir.to_owned() })?;
    Ok(moving::close_source(&old.database).await?)
}

/// The keys for the new hubs: those of the file, which must know what the old hub has made; a file that does not exist is made.
async fn shared_keys(path: &Path, old_path: &Path, old: &Context, hub: &str) -> Result<Keys, HubError> {
    let (path, old_path) = (path.to_owned(), old_path.to_owned());
    let check = old.keys.check_of(hub);
    let hub = hub.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| HubError::Data { path, source }
        };
        if !path.exists() {
            let keys = key_file::read(&old_path).map_err(at(&old_path))?;
            key_file::put(&path, key_file::text(&keys).as_bytes()).map_err(at(&path))?;
        }
        let keys = Keys::read(&path).map_err(at(&path))?;
        if !keys.is_check_of(&hub, &check) {
            let why = format!(
                "{} does not have the key in {}: links and tokens of the hub would end. Remove the file, and it is made; or put that key \
                 into it, in a line of its own",
                path.display(),
                old_path.display()
            );
            return Err(HubError::Invalid(why));
        }
        Ok(keys)
    });
    reading.await.map_err(|error| HubError::Serve(io::Error::other(error)))?
}

/// Looks whether the bucket is the one that the old hub had, if it had one. In another one all files of the old one would be taken for lost.
async fn has_what_was_in_a_bucket(old: &Database, bucket: &Bucket) -> Result<(), HubError> {
    let wanted = moving::some_in_bucket(old, LOOKED_FOR).await?;
    if wanted.is_empty() {
        return Ok(());
    }
    for file in &wanted {
        let stored = bucket.stored(&file.package, &file.id).await;
        let stored = stored.map_err(|error| HubError::Storage(format!("{}/{}: {error}", file.package, file.id)))?;
        if stored.is_some_and(|stored| stored.size == file.size) {
            return Ok(());
        }
    }
    let why = format!(
        "{bucket:?} has none of the last {} files that the hub has in a bucket: give the bucket and prefix that it has used, or copy them \
         there first",
        wanted.len()
    );
    Err(HubError::Invalid(why))
}

async fn copy(old: &Database, target: &Database, tables: &[Table]) -> Result<(), HubError> {
    for table in tables {
        moving::copy(old, target, *table).await?;
    }
    Ok(())
}

async fn move_files(
    old: &Context,
    target: &Database,
    bucket: &Bucket,
    moved: &mut Moved,
    told: &impl Fn(String),
) -> Result<(), HubError> {
    let mut seen = 0_usize;
    loop {
        let files = moving::next_files(&old.database, target, FILES).await?;
        if files.is_empty() {
            return Ok(());
        }
        let outcomes = stream::iter(files).map(|file| async move {
            let outcome = move_content(old, bucket, &file).await?;
            Ok::<_, HubError>((file, outcome))
        });
        // In the order of the files, whichever is done first.
        let outcomes: Vec<_> = outcomes.buffered(AT_ONCE).try_collect().await?;
        for (file, outcome) in &outcomes {
            match outcome {
                moving::Moved::AsItWas | moving::Moved::Lost => {}
                moving::Moved::InBucket(_) => (moved.files, moved.bytes) = (moved.files + 1, moved.bytes + file.size),
            }
        }
        let before = seen / 100;
        seen += outcomes.len();
        moving::put_files(&old.database, target, outcomes).await?;
        if seen / 100 > before {
            told(format!("{seen} files, {} bytes in the bucket", moved.bytes));
        }
    }
}

/// Brings the content of a file into the bucket, or makes sure that it is there.
async fn move_content(old: &Context, bucket: &Bucket, file: &MovedFile) -> Result<moving::Moved, HubError> {
    let failed = |error: StorageError| HubError::Storage(format!("{}/{}: {error}", file.package, file.path));
    match &file.content {
        Content::None | Content::Unfinished | Content::UnfinishedObject => Ok(moving::Moved::AsItWas),
        Content::Object => {
            let stored = bucket.stored(&file.package, &file.id).await.map_err(|error| failed(error.into()))?;
            Ok(match stored {
                Some(stored) if stored.size == file.size => moving::Moved::AsItWas,
                _ => moving::Moved::Lost,
            })
        }
        Content::Parts(parts) => {
            let content = read(old, file, parts.clone());
            match bucket.put_file((&file.package, &file.id), file.size, content).await {
                Ok(etag) => Ok(moving::Moved::InBucket(etag)),
                Err(StorageError::Disk(error)) if is_loss(&error) => {
                    tracing::error!(package = %file.package, path = file.path, %error, "the content of a file is lost");
                    Ok(moving::Moved::Lost)
                }
                Err(error) => Err(failed(error)),
            }
        }
    }
}

/// Whether content is missing or damaged; other errors may go away.
fn is_loss(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
}

/// The content of a file, part by part; each is compared with the MD5 that it arrived with.
fn read(
    old: &Context,
    file: &MovedFile,
    parts: Vec<MovedPart>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin {
    let (blocks, mut receiver) = mpsc::channel(AHEAD);
    let (database, disk) = (old.database.clone(), old.storage.disk.clone());
    let (package, id) = (file.package.clone(), file.id.clone());
    tokio::spawn(async move {
        for part in parts {
            let name = PartName { package: package.clone(), file: id.clone(), number: part.number };
            let source = match &part.place {
                Some(place) => Source::Disk(disk.path(&name, place)),
                None => Source::Database(part.key),
            };
            let database = database.clone();
            let small = move |key| {
                let database = database.clone();
                async move { files::small_part(&database, key).await.map(Bytes::from).map_err(io::Error::other) }
            };
            let piece = Piece { size: part.size, source };
            let mut content = crate::storage::stream(vec![piece], 0, part.size, small);
            let mut digest = Md5::new();
            while let Some(block) = content.next().await {
                if let Ok(block) = &block {
                    digest.update(block);
                }
                let is_end = block.is_err();
                if blocks.send(block).await.is_err() || is_end {
                    return;
                }
            }
            if digest.finalize().as_slice() != part.md5 {
                let damaged = format!("part {} is not what it was when it arrived", part.number);
                let _ = blocks.send(Err(io::Error::new(io::ErrorKind::InvalidData, damaged))).await;
                return;
            }
        }
    });
    stream::poll_fn(move |context| receiver.poll_recv(context))
}
