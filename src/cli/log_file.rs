//! A log in a file that does not grow beyond a size: when it is full it gets a number, and the oldest is removed.
//!
//! **Guarantees.** Each write is whole in one file. If the file cannot be renamed, writing goes on in it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

use crate::agent::log_files;

/// How large a file may become, in bytes.
const LARGEST: u64 = 10 << 20;

/// A log file.
#[derive(Debug, Clone)]
pub(super) struct LogFile(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    size: u64,
    largest: u64,
}

impl LogFile {
    /// Opens the file, which is appended to, and creates it readable by its user only.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::open_within(path, LARGEST)
    }

    fn open_within(path: &Path, largest: u64) -> io::Result<Self> {
        let file = append(path)?;
        let size = file.metadata()?.len();
        Ok(Self(Arc::new(Mutex::new(Open { path: path.to_owned(), file, size, largest }))))
    }
}

fn append(path: &Path) -> io::Result<File> {
    let mut options: OpenOptions = masv_platform::private_file();
    options.write(false).append(true).open(path)
}

impl Open {
    fn rotate(&mut self) -> io::Result<()> {
        // The oldest is replaced by the one that follows it, and so on.
        for pair in log_files(&self.path).windows(2).rev() {
            match std::fs::rename(&pair[0], &pair[1]) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.file = append(&self.path)?;
        self.size = 0;
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.size > 0 && open.size.saturating_add(line.len() as u64) > open.largest && open.rotate().is_err() {
            // A larger file is better than a lost line; tried again once it has doubled.
            open.largest = open.size.saturating_mul(2);
        }
        open.file.write_all(line)?;
        open.size += line.len() as u64;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// launchd never shortens a log.
    #[test]
    fn a_full_file_gets_a_number_and_the_oldest_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.log");
        let mut log = LogFile::open_within(&path, 100).unwrap();
        for number in 0..100 {
            log.write_all(format!("line {number:04}\n").as_bytes()).unwrap();
        }
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let files: Vec<PathBuf> = log_files(&path).into_iter().rev().collect();
        let text: String = files.iter().map(|path| read(path)).collect();
        let first = 100 - text.lines().count();
        assert!(text.lines().enumerate().all(|(at, line)| line == format!("line {:04}", first + at)), "{text}");
        assert!(files.iter().all(|path| path.metadata().unwrap().len() <= 100) && first > 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), files.len());
        drop(log);
        let mut again = LogFile::open_within(&path, 1_000).unwrap();
        again.write_all(b"line after a restart\n").unwrap();
        assert!(read(&path).ends_with("line 0099\nline after a restart\n"));
    }

    #[test]
    fn no_line_is_lost_where_the_file_cannot_be_renamed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.log");
        // A folder of this name that is not empty stands in the way.
        for full in &log_files(&path)[1..] {
            std::fs::create_dir_all(full.join("x")).unwrap();
        }
        let mut log = LogFile::open_within(&path, 20).unwrap();
        for _ in 0..10 {
            log.write_all(b"a line of a log\n").unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 10);
    }
}
