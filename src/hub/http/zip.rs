//! A ZIP archive of files that are stored elsewhere: where each of its bytes comes from.
//!
//! **In**: names, sizes, times and CRCs. **Out**: the size of the archive and, for any range of it, its own bytes and
//! the ranges of the files between them. Files are stored, not compressed: media does not shrink, and so the archive
//! is the same each time, its size is known before it is sent, and an interrupted download can be resumed.
//!
//! A CRC that is known only once the content has been read follows it, in a data descriptor; that and the entry of the
//! directory are rendered when they are due ([`Archive::late`]). Sizes are in the first header anyway.
//!
//! Entries beyond 4 GiB, or more than 65,534 of them, use the ZIP64 forms of PKWARE's APPNOTE 6.3.
//!
//! Must never know: the disk, the database.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::portable_name;

const MOST_32: u64 = 0xffff_ffff;
const MOST_16: usize = 0xffff;
/// Version 2.0 of the format: folders; 4.5: ZIP64.
const VERSION: u16 = 20;
const VERSION_64: u16 = 45;
/// Made on Unix: the upper half of the attributes is a file mode.
const UNIX: u16 = 3 << 8;
/// Names are UTF-8.
const UTF8_NAMES: u16 = 1 << 11;
/// The CRC follows the content.
const DESCRIPTOR_FOLLOWS: u16 = 1 << 3;

/// A file or folder of the archive.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The original path, with `/` between folders.
    pub path: String,
    pub directory: bool,
    pub size: u64,
    /// CRC-32 of the content; absent: it follows the content, see [`Archive::late`].
    pub crc: Option<u32>,
    pub modified: Timestamp,
}

/// Where a stretch of the archive comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The archive's own bytes.
    Own(Bytes),
    /// Bytes `start..start + length` of the entry of this index.
    Content { entry: usize, start: u64, length: u64 },
    /// The archive's own bytes that need the CRC of the entry of this index.
    Late { entry: usize, late: Late },
}

/// A stretch that is rendered when the CRC is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Late {
    /// The entry of the directory; else the descriptor behind the content.
    central: bool,
    /// Which bytes of it.
    range: Range<usize>,
}

/// An entry with its name in the archive.
#[derive(Debug)]
struct Named {
    entry: Entry,
    /// Its original name, if it has another one in the archive.
    comment: String,
}

/// An archive.
#[derive(Debug)]
pub(crate) struct Archive {
    entries: Vec<Named>,
    /// The offset of each entry, and finally of the directory.
    offsets: Vec<u64>,
    directory_size: u64,
}

impl Archive {
    /// The archive of `entries`, in their order. What cannot be written on some system, or would be unpacked over another, has another
    /// name in it; the one that its sender gave it is then in the comment of its entry.
    pub(crate) fn new(entries: Vec<Entry>) -> Self {
        let mut taken = HashMap::new();
        let named = entries.into_iter().map(|entry| {
            let name = free_name(&portable_name::path(&entry.path), entry.directory, &mut taken);
            let comment = if name.trim_end_matches('/') == entry.path { String::new() } else { comment(&entry.path) };
            Named { entry: Entry { path: name, ..entry }, comment }
        });
        let entries: Vec<Named> = named.collect();
        let mut offsets = Vec::with_capacity(entries.len() + 1);
        let (mut at, mut directory_size) = (0, 0);
        for named in &entries {
            offsets.push(at);
            directory_size += central(named, at, 0).len() as u64;
            let entry = &named.entry;
            at += local(entry).len() as u64 + entry.size + descriptor(entry, 0).len() as u64;
        }
        offsets.push(at);
        Self { entries, offsets, directory_size }
    }

    fn directory_offset(&self) -> u64 {
        self.offsets.last().copied().unwrap_or_default()
    }

    /// The CRC of the entry of this index, unless it follows the content.
    pub(crate) fn crc(&self, entry: usize) -> Option<u32> {
        self.entries.get(entry).and_then(|named| named.entry.crc)
    }

    /// Bytes of the content of the entry of this index.
    pub(crate) fn content_size(&self, entry: usize) -> u64 {
        self.entries.get(entry).map_or(0, |named| named.entry.size)
    }

    /// The bytes that it takes in memory.
    #[cfg(test)]
    pub(crate) fn weight(&self) -> usize {
        let texts = self.entries.iter().map(|named| named.entry.path.capacity() + named.comment.capacity());
        let rows = self.entries.capacity() * size_of::<Named>() + self.offsets.capacity() * size_of::<u64>();
        texts.sum::<usize>() + rows
    }

    /// Size of the whole archive in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.directory_offset() + self.directory_size + self.end().len() as u64
    }

    /// What the `length` bytes from `start` consist of, in order.
    pub(crate) fn pieces(&self, start: u64, length: u64) -> impl Iterator<Item = Piece> + '_ {
        let mut left = Window { skip: start, take: length };
        let files = self.entries.iter().enumerate().flat_map(|(index, Named { entry, .. })| {
            let content = Piece::Content { entry: index, start: 0, length: entry.size };
            [Source::Local(index), Source::Content(content), Source::Descriptor(index)]
        });
        let directory = (0..self.entries.len()).map(Source::Central);
        files.chain(directory).chain(std::iter::once(Source::End)).filter_map(move |source| left.cut(self, source))
    }

    /// The bytes of a late stretch of the entry, now that its CRC is known.
    pub(crate) fn late(&self, entry: usize, late: Late, crc: u32) -> Bytes {
        let source = if late.central { Source::Central(entry) } else { Source::Descriptor(entry) };
        Bytes::from(self.bytes(&source, crc)).slice(late.range)
    }

    /// The archive's own bytes; `crc` is that of an entry whose CRC comes late.
    fn bytes(&self, source: &Source, crc: u32) -> Vec<u8> {
        match source {
            Source::Local(index) => local(&self.entries[*index].entry),
            Source::Descriptor(index) => descriptor(&self.entries[*index].entry, crc),
            Source::Central(index) => central(&self.entries[*index], self.offsets[*index], crc),
            Source::End => self.end(),
            Source::Content(_) => Vec::new(),
        }
    }

    /// The end of the directory, in ZIP64 form if the plain one is too small.
    fn end(&self) -> Vec<u8> {
        let (offset, size, count) = (self.directory_offset(), self.directory_size, self.entries.len());
        let mut out = Vec::new();
        if offset >= MOST_32 || size >= MOST_32 || count >= MOST_16 {
            let own = offset + size;
            put(&mut out, &[&0x0606_4b50_u32.to_le_bytes(), &44_u64.to_le_bytes()]);
            put(&mut out, &[&(UNIX | VERSION_64).to_le_bytes(), &VERSION_64.to_le_bytes(), &[0; 8]]);
            put(&mut out, &[&(count as u64).to_le_bytes(), &(count as u64).to_le_bytes()]);
            put(&mut out, &[&size.to_le_bytes(), &offset.to_le_bytes()]);
            put(&mut out, &[&0x0706_4b50_u32.to_le_bytes(), &[0; 4], &own.to_le_bytes(), &1_u32.to_le_bytes()]);
        }
        let count = u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes();
        put(&mut out, &[&0x0605_4b50_u32.to_le_bytes(), &[0; 4], &count, &count]);
        put(&mut out, &[&in_32(size).to_le_bytes(), &in_32(offset).to_le_bytes(), &[0; 2]]);
        out
    }
}

enum Source {
    Local(usize),
    Content(Piece),
    Descriptor(usize),
    Central(usize),
    End,
}

/// How many bytes are still to be skipped, then used.
struct Window {
    skip: u64,
    take: u64,
}

impl Window {
    fn cut(&mut self, archive: &Archive, source: Source) -> Option<Piece> {
        if self.take == 0 {
            return None;
        }
        if let Source::Content(Piece::Content { entry, length, .. }) = source {
            let (start, length) = self.overlap(length)?;
            return Some(Piece::Content { entry, start, length });
        }
        let bytes = archive.bytes(&source, 0);
        let (start, length) = self.overlap(bytes.len() as u64)?;
        let (start, length) = (usize::try_from(start).ok()?, usize::try_from(length).ok()?);
        let range = start..start + length;
        match source {
            Source::Descriptor(entry) => Some(Piece::Late { entry, late: Late { central: false, range } }),
            Source::Central(entry) if archive.entries[entry].entry.crc.is_none() => {
                Some(Piece::Late { entry, late: Late { central: true, range } })
            }
            _ => Some(Piece::Own(Bytes::from(bytes).slice(range))),
        }
    }

    fn overlap(&mut self, size: u64) -> Option<(u64, u64)> {
        let start = self.skip.min(size);
        self.skip -= start;
        let length = (size - start).min(self.take);
        self.take -= length;
        (length > 0).then_some((start, length))
    }
}

/// The comment with the original name of a file; invisible characters are written as escapes.
fn comment(path: &str) -> String {
    let shown = |sign: char| match sign {
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            sign.escape_unicode().to_string()
        }
        sign if sign.is_control() => sign.escape_unicode().to_string(),
        sign => sign.to_string(),
    };
    format!("original name: {}", path.chars().map(shown).collect::<String>())
}

/// `path`, or if that is taken, with the next free number. `taken` has the last number of each name, so that
/// many entries of one name take no longer than as many of different ones.
fn free_name(path: &str, directory: bool, taken: &mut HashMap<String, u32>) -> String {
    if directory {
        return format!("{path}/");
    }
    let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
    let (stem, end) = match name.rfind('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (name, ""),
    };
    let numbered = |number: u32| match folder {
        "" => format!("{stem} ({number}){end}"),
        folder => format!("{folder}/{stem} ({number}){end}"),
    };
    // Some disks know no case.
    let key = path.to_lowercase();
    let Some(last) = taken.get(&key).copied() else {
        taken.insert(key, 1);
        return path.to_owned();
    };
    let mut number = last + 1;
    let mut free = numbered(number);
    while taken.contains_key(&free.to_lowercase()) {
        number += 1;
        free = numbered(number);
    }
    taken.insert(key, number);
    taken.insert(free.to_lowercase(), 1);
    free
}

fn put(out: &mut Vec<u8>, fields: &[&[u8]]) {
    fields.iter().for_each(|field| out.extend_from_slice(field));
}

fn in_32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Version, flags, method, time, CRC, sizes: what both headers of an entry have in common, and the lengths that follow.
fn common(out: &mut Vec<u8>, entry: &Entry, crc: u32, extra: usize, large: bool) {
    let flags = UTF8_NAMES | if entry.crc.is_none() { DESCRIPTOR_FOLLOWS } else { 0 };
    let version = if large { VERSION_64 } else { VERSION };
    let (time, date) = dos_time(entry.modified);
    put(out, &[&version.to_le_bytes(), &flags.to_le_bytes(), &[0; 2], &time.to_le_bytes(), &date.to_le_bytes()]);
    let size = if entry.size >= MOST_32 { u32::MAX } else { in_32(entry.size) };
    put(out, &[&crc.to_le_bytes(), &size.to_le_bytes(), &size.to_le_bytes()]);
    let name = u16::try_from(entry.path.len()).unwrap_or(u16::MAX);
    put(out, &[&name.to_le_bytes(), &u16::try_from(extra).unwrap_or(u16::MAX).to_le_bytes()]);
}

fn local(entry: &Entry) -> Vec<u8> {
    let mut extra = Vec::new();
    if entry.size >= MOST_32 {
        let size = entry.size.to_le_bytes();
        put(&mut extra, &[&1_u16.to_le_bytes(), &16_u16.to_le_bytes(), &size, &size]);
    }
    unix_time(&mut extra, entry.modified);
    let mut out = 0x0403_4b50_u32.to_le_bytes().to_vec();
    common(&mut out, entry, entry.crc.unwrap_or_default(), extra.len(), entry.size >= MOST_32);
    put(&mut out, &[entry.path.as_bytes(), &extra]);
    out
}

/// What follows content whose CRC is only known afterwards.
fn descriptor(entry: &Entry, crc: u32) -> Vec<u8> {
    if entry.crc.is_some() {
        return Vec::new();
    }
    let mut out = 0x0807_4b50_u32.to_le_bytes().to_vec();
    if entry.size >= MOST_32 {
        put(&mut out, &[&crc.to_le_bytes(), &entry.size.to_le_bytes(), &entry.size.to_le_bytes()]);
    } else {
        put(&mut out, &[&crc.to_le_bytes(), &in_32(entry.size).to_le_bytes(), &in_32(entry.size).to_le_bytes()]);
    }
    out
}

fn central(named: &Named, offset: u64, late_crc: u32) -> Vec<u8> {
    let Named { entry, comment } = named;
    let mut wide = Vec::new();
    if entry.size >= MOST_32 {
        put(&mut wide, &[&entry.size.to_le_bytes(), &entry.size.to_le_bytes()]);
    }
    if offset >= MOST_32 {
        wide.extend_from_slice(&offset.to_le_bytes());
    }
    let mut extra = Vec::new();
    if !wide.is_empty() {
        let length = u16::try_from(wide.len()).unwrap_or_default();
        put(&mut extra, &[&1_u16.to_le_bytes(), &length.to_le_bytes(), &wide]);
    }
    unix_time(&mut extra, entry.modified);
    let mut out = 0x0201_4b50_u32.to_le_bytes().to_vec();
    out.extend_from_slice(&(UNIX | VERSION_64).to_le_bytes());
    common(&mut out, entry, entry.crc.unwrap_or(late_crc), extra.len(), !wide.is_empty());
    let attributes: u32 = if entry.directory { 0o040_755 << 16 | 0x10 } else { 0o100_644 << 16 };
    let length = u16::try_from(comment.len()).unwrap_or_default().to_le_bytes();
    put(&mut out, &[&length, &[0; 4], &attributes.to_le_bytes(), &in_32(offset).to_le_bytes()]);
    put(&mut out, &[entry.path.as_bytes(), &extra, comment.as_bytes()]);
    out
}

/// The extended timestamp: seconds since 1970, if they fit.
fn unix_time(out: &mut Vec<u8>, modified: Timestamp) {
    if let Ok(seconds) = i32::try_from(modified.as_millisecond().div_euclid(1000)) {
        put(out, &[&0x5455_u16.to_le_bytes(), &5_u16.to_le_bytes(), &[1], &seconds.to_le_bytes()]);
    }
}

/// Time and date in DOS format: 1980 to 2107, even seconds. In UTC, because the reader's time zone is not known.
fn dos_time(modified: Timestamp) -> (u16, u16) {
    let time = modified.to_zoned(TimeZone::UTC).datetime();
    let field = |value: i8| u16::from(value.unsigned_abs());
    match u16::try_from(time.year() - 1980) {
        Ok(year @ 0..=127) => (
            field(time.hour()) << 11 | field(time.minute()) << 5 | (field(time.second()) / 2),
            year << 9 | field(time.month()) << 5 | field(time.day()),
        ),
        _ => (0, 0x21),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, size: u64) -> Entry {
        Entry {
            path: path.into(),
            directory: false,
            size,
            crc: Some(7),
            modified: Timestamp::from_second(1_700_000_000).unwrap(),
        }
    }

    /// The bytes of a range, contents as their entry's index.
    fn bytes(archive: &Archive, start: u64, length: u64) -> Vec<u8> {
        archive
            .pieces(start, length)
            .flat_map(|piece| match piece {
                Piece::Own(bytes) => bytes.to_vec(),
                Piece::Content { entry, length, .. } => vec![entry as u8; length as usize],
                Piece::Late { entry, late } => archive.late(entry, late, 9).to_vec(),
            })
            .collect()
    }

    #[test]
    fn every_range_is_that_of_the_whole() {
        let late = Entry { crc: None, ..entry("b/late", 4) };
        let archive = Archive::new(vec![entry("a", 5), late, entry("b/c", 0), entry("b/d", 9)]);
        let size = archive.size();
        let whole = bytes(&archive, 0, size);
        assert_eq!(whole.len() as u64, size);
        for start in 0..size {
            for length in [1, 2, 30, size - start] {
                let length = length.min(size - start);
                let range = bytes(&archive, start, length);
                assert_eq!(range, whole[start as usize..(start + length) as usize], "{start}+{length}");
            }
        }
    }

    /// Case: names in a ZIP that are equal, or differ only in the case of letters, are numbered.
    #[test]
    fn names_never_unpack_over_each_other() {
        let paths = ["d/a.mov", "d/A.mov", "d/a.mov", ".hidden", ".hidden", "x\\y"];
        let archive = Archive::new(paths.map(|path| entry(path, 1)).to_vec());
        let names: Vec<&str> = archive.entries.iter().map(|named| named.entry.path.as_str()).collect();
        assert_eq!(names, ["d/a.mov", "d/A (2).mov", "d/a (3).mov", ".hidden", ".hidden (2)", "x_y"]);
    }

    /// Case: `CON`, U+202E and the like went into a ZIP unchanged; the original name is kept in the comment.
    #[test]
    fn a_name_that_had_to_be_changed_is_told_in_the_comment() {
        let archive = Archive::new(["ok", "CON", "e\u{202e}x", "OK"].map(|path| entry(path, 1)).to_vec());
        let comments: Vec<&str> = archive.entries.iter().map(|named| named.comment.as_str()).collect();
        let told = ["", "original name: CON", "original name: e\\u{202e}x", "original name: OK"];
        assert_eq!(comments, told);
        let last = central(&archive.entries[3], 0, 0);
        assert!(last.ends_with(told[3].as_bytes()));
        assert_eq!(last[32..34], (told[3].len() as u16).to_le_bytes());
        let whole = bytes(&archive, 0, archive.size());
        assert_eq!(whole.len() as u64, archive.size());
    }

    #[test]
    fn large_archives_say_their_sizes_in_64_bits() {
        let late = Entry { crc: None, ..entry("late", 5 << 30) };
        assert_eq!(
            &descriptor(&late, 9)[4..],
            [&9_u32.to_le_bytes()[..], &[0, 0, 0, 64, 1, 0, 0, 0].repeat(2)].concat()
        );
        let archive = Archive::new(vec![entry("large", 5 << 40), entry("after", 1)]);
        assert_eq!(archive.offsets[1], (5 << 40) + local(&archive.entries[0].entry).len() as u64);
        let first = central(&archive.entries[0], 0, 0);
        assert!(first.windows(8).any(|bytes| bytes == (5_u64 << 40).to_le_bytes()));
        let second = central(&archive.entries[1], archive.offsets[1], 0);
        assert!(second.windows(8).any(|bytes| bytes == archive.offsets[1].to_le_bytes()));
        let tail = bytes(&archive, archive.size() - 22 - 20 - 56, 98);
        assert_eq!(&tail[..4], &0x0606_4b50_u32.to_le_bytes());
        assert_eq!(&tail[64..72], &(archive.size() - 98).to_le_bytes());
        let many = Archive::new(vec![entry("same", 0); 70_000]);
        assert_eq!(&bytes(&many, many.size() - 98, 4), &0x0606_4b50_u32.to_le_bytes());
    }

    #[test]
    fn times_outside_what_dos_knew_become_its_first_day() {
        assert_eq!(dos_time(Timestamp::UNIX_EPOCH), (0, 0x21));
        assert_eq!(dos_time(Timestamp::MAX), (0, 0x21));
        let (time, date) = dos_time(Timestamp::from_second(1_700_000_000).unwrap());
        assert_eq!((time >> 11, time >> 5 & 63, (time & 31) * 2), (22, 13, 20));
        assert_eq!(((date >> 9) + 1980, date >> 5 & 15, date & 31), (2023, 11, 14));
    }
}
