//! Whether a file is still the one that was partly sent, if its size and modification time are unchanged but its change time or inode are not.
//!
//! A `chmod`, a hard link, an attribute, another mount: none of them changes the content, and a file of 500 GB must not be sent again
//! for that. But the file may also have been replaced by one of the same size and time, or rewritten with its time restored.
//! The stored hashes of the confirmed parts distinguish the two, at the speed of the disk.
//!
//! **Guarantees.** If a file passes, its confirmed parts matched its content when it was compared.
//!
//! **On a crash** nothing is lost but the comparison.

use std::io::{Read, Seek, SeekFrom};

use super::file::{Setback, found, on_disk, refused_replacement};
use super::plan::Plan;
use super::task::Run;
use crate::engine::blake3_tree::PartHasher;
use crate::engine::permits::Reads;
use crate::engine::task_context::Halt;
use crate::model::{File, FileState, Part};
use masv_platform::{FolderError, PathBeneath};

/// Bytes read at once.
const BLOCK: usize = 1 << 20;
/// A program that keeps touching the file must not cause endless comparisons: after this many in a row that found
/// the same content in the same inode, size and modification time decide.
const MOST_COMPARISONS: u32 = 2;

/// Checks that a file is unchanged and in its place. One that was only touched is compared with the parts that were
/// confirmed, and recorded with its new identity.
pub(super) async fn unchanged(run: &Run, file: &mut File, chunk_size: u64, confirmed: &[Part]) -> Result<(), Setback> {
    let mut compared: Option<(u64, u32)> = None;
    loop {
        let before = file.identity.inode;
        let (_, entry, planted) = on_disk(file, move |source| found(source, before)).await?;
        if let Some(problem) = refused_replacement(file, &entry, planted) {
            return Err(Setback::Failed(FileState::Error, problem));
        }
        let found = entry.identity;
        if !file.identity.same_size_and_date(&found) {
            return Err(Setback::Changed);
        }
        file.owner = Some(entry.owner);
        if file.identity.untouched(&found) {
            return Ok(());
        }
        let times = compared.filter(|(inode, _)| *inode == found.inode).map_or(0, |(_, times)| times);
        if times < MOST_COMPARISONS && !are_of(run, file, chunk_size, confirmed).await? {
            return Err(Setback::Changed);
        }
        compared = Some((found.inode, times + 1));
        tracing::debug!(upload = %run.id, file = %file.path, "touched, but the same as before");
        run.store().file_touched(run.id, file.number, found).await.map_err(Halt::from)?;
        file.identity = found;
    }
}

/// Whether all these parts match the file's current content.
async fn are_of(run: &Run, file: &File, chunk_size: u64, parts: &[Part]) -> Result<bool, Setback> {
    let plan = Plan { size: file.identity.size, chunk_size };
    for part in parts {
        let (offset, length) = plan.range(part.number);
        if part.tree.is_empty() || part.size != length {
            return Ok(false); // What was not hashed cannot be compared.
        }
        let slot = run.worker(Reads { file: file.number, disk: file.identity.device }).await?;
        let (tree, size) = (part.tree.clone(), plan.size);
        let same = on_disk(file, move |source| Ok(hash(source, offset, length, size)?.is_some_and(|is| is == tree)));
        let same = run.unless_aborted(same).await??;
        drop(slot);
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a part of the file hashes to; `None` where the file ends before the part does.
pub(super) fn hash(source: &PathBeneath, offset: u64, length: u64, size: u64) -> Result<Option<Vec<u8>>, FolderError> {
    let (mut opened, _) = source.open()?;
    let failed = |error| FolderError::Io { path: source.whole(), source: error };
    opened.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut hasher = PartHasher::new(offset, length, size);
    let (mut at, end, mut block) = (offset, offset + length, vec![0; BLOCK]);
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(BLOCK).min(BLOCK);
        match opened.read(&mut block[..wanted]).map_err(failed)? {
            0 => return Ok(None),
            read => {
                hasher.update(&block[..read]);
                at += read as u64;
            }
        }
    }
    Ok(Some(hasher.finish()))
}
