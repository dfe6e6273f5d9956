//! Looks at the write-ahead log of a database before SQLite does: SQLite takes a log only as far as its checksums are right, and
//! drops the rest without a word, however many commits that were answered are in it.
//!
//! The format is that of <https://sqlite.org/fileformat2.html#walformat>.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The magic number of a log with big-endian checksums; the little-endian one is one less.
const BIG_ENDIAN: u32 = 0x377f_0683;

/// The running sum of a log.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Sum(u32, u32);

impl Sum {
    fn add(self, bytes: &[u8], big_endian: bool) -> Self {
        let word = |bytes: &[u8]| {
            let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
            if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        let Self(mut first, mut second) = self;
        for pair in bytes.chunks_exact(8) {
            first = first.wrapping_add(word(&pair[..4])).wrapping_add(second);
            second = second.wrapping_add(word(&pair[4..])).wrapping_add(first);
        }
        Self(first, second)
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// How many commits are in the log of the database at `path` behind a place that is damaged, and will be lost. One that a crash
/// interrupted was never answered, and is not counted; nor is any, where the log is being written.
///
/// # Errors
/// When the log exists and cannot be read.
pub fn lost_commits(path: &Path) -> io::Result<u64> {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    let mut log = match File::open(Path::new(&name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    let mut header = [0; HEADER];
    if !fill(&mut log, &mut header)? {
        return Ok(0);
    }
    let Some(page) = page_size(path)? else { return Ok(0) };
    let lost = count(&mut BufReader::with_capacity(1 << 20, &log), &header, page)?;
    let mut now = [0; HEADER];
    log.seek(SeekFrom::Start(0))?;
    // Restarted in the meantime by a running process.
    let unchanged = fill(&mut log, &mut now)? && now == header;
    Ok(if unchanged && lost > 1 { lost } else { 0 })
}

/// Commits in damaged frames and after them.
fn count(log: &mut impl Read, header: &[u8; HEADER], page: usize) -> io::Result<u64> {
    let magic = number(header, 0);
    let big_endian = magic == BIG_ENDIAN;
    let mut sum = Sum::default().add(&header[..24], big_endian);
    let mut sound = (magic | 1) == BIG_ENDIAN && sum == Sum(number(header, 24), number(header, 28));
    // If the header is damaged, the other frames are compared with the first.
    let mut salts = sound.then(|| header[16..24].to_vec());
    let (mut frame, mut lost, mut strange) = (vec![0; FRAME_HEADER + page], 0, 0);
    while fill(log, &mut frame)? {
        let own = salts.get_or_insert_with(|| frame[8..16].to_vec());
        let is_commit = number(&frame, 4) != 0;
        if frame[8..16] != own[..] {
            // Of an earlier turn of the log; unless one of this turn follows, then the damage is here.
            sound = false;
            strange += u64::from(is_commit);
            continue;
        }
        lost += std::mem::take(&mut strange);
        if sound {
            sum = sum.add(&frame[..8], big_endian).add(&frame[FRAME_HEADER..], big_endian);
            sound = sum == Sum(number(&frame, 16), number(&frame, 20));
        }
        lost += u64::from(!sound && is_commit);
    }
    Ok(lost)
}

/// Bytes of a page, as the database says.
fn page_size(path: &Path) -> io::Result<Option<usize>> {
    let mut header = [0; 18];
    if !fill(&mut File::open(path)?, &mut header)? {
        return Ok(None);
    }
    let size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => usize::from(size),
    };
    Ok((size.is_power_of_two() && size >= 512).then_some(size))
}

/// Fills `bytes`; `false` if the file ends too early.
fn fill(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt;

    use rusqlite::Connection;

    use super::*;

    /// A database as a killed process leaves it, with twenty commits in its log.
    fn killed() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (live, left) = (folder.path().join("live.db"), folder.path().join("left.db"));
        let connection = Connection::open(&live).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        connection.execute_batch("CREATE TABLE thing (text TEXT)").unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        for number in 0..20 {
            connection.execute("INSERT INTO thing VALUES (?1)", [format!("{number} {}", "x".repeat(3000))]).unwrap();
        }
        for end in ["", "-wal"] {
            fs::copy(format!("{}{end}", live.display()), format!("{}{end}", left.display())).unwrap();
        }
        (folder, left)
    }

    fn flip(log: &Path, at: u64) {
        let file = File::options().read(true).write(true).open(log).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0xff], at).unwrap();
    }

    /// A hub with flipped bytes in the log of its database started and served a part of its packages without a word.
    #[test]
    fn commits_behind_a_damaged_place_are_counted_as_sqlite_drops_them() {
        let size = |log: &Path| fs::metadata(log).unwrap().len();
        for place in [3, 40, 100, 5000, 30_000] {
            let (_folder, path) = killed();
            let log = Path::new(&format!("{}-wal", path.display())).to_owned();
            assert_eq!(lost_commits(&path).unwrap(), 0);
            flip(&log, place.min(size(&log) - 1));
            let lost = lost_commits(&path).unwrap();
            let connection = Connection::open(&path).unwrap();
            let kept: i64 = connection.query_row("SELECT count(*) FROM thing", [], |row| row.get(0)).unwrap();
            assert_eq!(i64::try_from(lost).unwrap(), 20 - kept, "a flip at {place}");
            assert!(lost > 1);
        }
    }

    #[test]
    fn a_log_that_a_crash_cut_short_and_none_at_all_lose_nothing_that_was_answered() {
        let (_folder, path) = killed();
        let log = format!("{}-wal", path.display());
        let file = File::options().write(true).open(&log).unwrap();
        let whole = file.metadata().unwrap().len();
        flip(Path::new(&log), whole - 100);
        assert_eq!(lost_commits(&path).unwrap(), 0, "the last commit was being written");
        file.set_len(whole - 2000).unwrap();
        assert_eq!(lost_commits(&path).unwrap(), 0);
        fs::remove_file(&log).unwrap();
        assert_eq!(lost_commits(&path).unwrap(), 0);
    }
}
