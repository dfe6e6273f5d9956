//! Parts on disk: `storage/{package}/{file}/{number}`, each written once, under a temporary name until it is whole.
//!
//! **Guarantees.** A part that has its name is whole and flushed. Nothing is copied when a file or package is finalized: a
//! file is its parts in order. Names are made of ids that the hub itself made.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use md5::{Digest, Md5};
use tokio::sync::mpsc;

use super::error::HubError;

/// What names of unfinished parts end in.
const UNFINISHED: &str = ".unfinished";

/// The storage folder.
pub(super) struct Disk {
    root: PathBuf,
}

/// A part that was written.
pub(super) struct Written {
    pub size: u64,
    /// Hexadecimal.
    pub md5: String,
}

impl Disk {
    /// Opens the folder and removes what a crash left unfinished.
    pub(super) fn open(root: PathBuf) -> Result<Self, HubError> {
        super::private_folder(&root)?;
        sweep(&root, 2).map_err(|source| HubError::Folder { path: root.clone(), source })?;
        Ok(Self { root })
    }

    fn file_folder(&self, package: &str, file: &str) -> PathBuf {
        self.root.join(package).join(file)
    }

    /// Where a part is.
    pub(super) fn part(&self, package: &str, file: &str, number: u32) -> PathBuf {
        self.file_folder(package, file).join(number.to_string())
    }

    /// Removes all that is stored of a package.
    pub(super) fn remove_package(&self, package: &str) -> io::Result<()> {
        missing_is_fine(fs::remove_dir_all(self.root.join(package)))
    }

    /// Removes all that is stored of a file.
    pub(super) fn remove_file(&self, package: &str, file: &str) -> io::Result<()> {
        missing_is_fine(fs::remove_dir_all(self.file_folder(package, file)))
    }
}

fn missing_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sweep(folder: &Path, depth: u32) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if depth > 0 {
                sweep(&path, depth - 1)?;
            }
        } else if path.to_string_lossy().ends_with(UNFINISHED) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Writes a part from its blocks, hashing them as they pass; blocks the thread. When the blocks end before `length`
/// bytes, or go beyond, nothing is left.
pub(super) fn write_part(path: &Path, length: u64, blocks: mpsc::Receiver<io::Result<Bytes>>) -> io::Result<Written> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let temporary = tempfile::Builder::new().prefix(".").suffix(UNFINISHED).tempfile_in(folder)?;
    let md5 = copy(temporary.as_file(), length, blocks)?;
    temporary.as_file().sync_data()?;
    temporary.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()?;
    Ok(Written { size: length, md5 })
}

fn copy(mut file: &File, length: u64, mut blocks: mpsc::Receiver<io::Result<Bytes>>) -> io::Result<String> {
    let mut md5 = Md5::new();
    let mut written = 0;
    while let Some(block) = blocks.blocking_recv() {
        let block = block?;
        written += block.len() as u64;
        if written > length {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than announced"));
        }
        md5.update(&block);
        file.write_all(&block)?;
    }
    if written < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(hex::encode(md5.finalize()))
}

/// Reads `length` bytes at `offset` of a stored part; blocks the thread.
pub(super) fn read_part(file: &File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut block = vec![0; length];
    file.read_exact_at(&mut block, offset)?;
    Ok(block.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(blocks: Vec<io::Result<Bytes>>) -> mpsc::Receiver<io::Result<Bytes>> {
        let (sender, receiver) = mpsc::channel(8);
        blocks.into_iter().for_each(|block| sender.try_send(block).unwrap());
        receiver
    }

    #[test]
    fn a_part_is_stored_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("P/F/1");
        let whole = || Ok(Bytes::from_static(b"hello"));
        for bad in [vec![whole()], vec![whole(), whole(), whole()], vec![whole(), Err(io::Error::other("cut"))]] {
            assert!(write_part(&path, 10, blocks(bad)).is_err());
            assert_eq!(fs::read_dir(folder.path().join("P/F")).unwrap().count(), 0);
        }
        let written = write_part(&path, 5, blocks(vec![whole()])).unwrap();
        assert_eq!((written.size, written.md5.as_str()), (5, "5d41402abc4b2a76b9719d911017c592"));
        assert_eq!(fs::read(&path).unwrap(), b"hello");
    }

    #[test]
    fn what_a_crash_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("P/F/.abc.unfinished");
        fs::create_dir_all(left.parent().unwrap()).unwrap();
        fs::write(&left, b"half").unwrap();
        Disk::open(folder.path().to_owned()).unwrap();
        assert!(!left.exists());
    }
}
