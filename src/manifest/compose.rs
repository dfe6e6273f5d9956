//! Writing checksum lists: ASC MHL 2.0 with its chain, and lines as `md5sum` writes them.
//!
//! **In**: files with their digests. **Out**: the text of a list, which [`super::parse`] reads. Pure.

use std::fmt::Write;

use jiff::Timestamp;
use sha2::{Digest, Sha512};

use super::ASC_FOLDER;
use super::checksum::{Algorithm, C4_DIGITS};

/// The longest name of a package in the name of a list, characters.
const LONGEST: usize = 100;

/// A file with its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the folder of the list; parts are separated by `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was last modified.
    pub modified: Timestamp,
    /// By the algorithm of the list.
    pub digest: Vec<u8>,
}

/// The kind of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// ASC MHL 2.0, with XXH64.
    AscMhl,
    /// Lines of `md5sum`.
    Md5,
}

impl Format {
    /// The algorithm of its checksums.
    #[must_use]
    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::AscMhl => Algorithm::Xxh64,
            Self::Md5 => Algorithm::Md5,
        }
    }
}

/// A list that is being written, file by file.
#[derive(Debug)]
pub struct Composer {
    format: Format,
    /// What it is a list of.
    name: String,
    at: Timestamp,
    text: String,
}

/// A list, or what belongs to one: its path in the package and its bytes.
pub type Composed = Vec<(String, Vec<u8>)>;

impl Composer {
    /// Begins a list of `package`, made by this program on the machine `host` at that time.
    #[must_use]
    pub fn new(format: Format, package: &str, host: &str, at: Timestamp) -> Self {
        let mut text = String::new();
        if format == Format::AscMhl {
            // Writing into a text does not fail.
            let _ = write!(
                text,
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<hashlist version=\"2.0\" xmlns=\"urn:ASC:MHL:v2.0\">\n  <creatorinfo>\n    \
                 <creationdate>{}</creationdate>\n    <hostname>{}</hostname>\n    <tool version=\"{}\">masv</tool>\n  \
                 </creatorinfo>\n  <processinfo>\n    <process>transfer</process>\n  </processinfo>\n  <hashes>\n",
                date(at),
                escaped(host),
                env!("CARGO_PKG_VERSION"),
            );
        }
        Self { format, name: plain(package), at, text }
    }

    /// Adds a file.
    pub fn add(&mut self, entry: &Entry) {
        let Entry { path, size, modified, digest } = entry;
        let digest = hex::encode(digest);
        let _ = match self.format {
            Format::AscMhl => write!(
                self.text,
                "    <hash>\n      <path size=\"{size}\" lastmodificationdate=\"{}\">{}</path>\n      \
                 <xxh64 action=\"original\" hashdate=\"{}\">{digest}</xxh64>\n    </hash>\n",
                date(*modified),
                escaped(path),
                date(self.at),
            ),
            Format::Md5 if path.contains('\\') => writeln!(self.text, "\\{digest}  {}", path.replace('\\', "\\\\")),
            Format::Md5 => writeln!(self.text, "{digest}  {path}"),
        };
    }

    /// Notes that a file is not in the list, and why.
    pub fn leave_out(&mut self, path: &str, why: &str) {
        let _ = match self.format {
            // Two hyphens end a comment.
            Format::AscMhl => {
                writeln!(
                    self.text,
                    "    <!-- not listed: {} ({}) -->",
                    path.replace('-', "\u{2010}"),
                    why.replace('-', " ")
                )
            }
            Format::Md5 => writeln!(self.text, "# not listed: {path} ({why})"),
        };
    }

    /// The list with what belongs to it. `taken` says which paths the package has already; a package that has a history of its own gets no other.
    #[must_use]
    pub fn finish(mut self, taken: &dyn Fn(&str) -> bool) -> Composed {
        match self.format {
            Format::Md5 => {
                let numbered = |number: u32| match number {
                    1 => format!("{}.md5", self.name),
                    number => format!("{} ({number}).md5", self.name),
                };
                let path = (1..).map(numbered).find(|path| !taken(path)).unwrap_or_default();
                vec![(path, self.text.into_bytes())]
            }
            Format::AscMhl => {
                self.text.push_str("  </hashes>\n</hashlist>\n");
                let name = format!("0001_{}_{}.mhl", self.name, self.at.strftime("%Y-%m-%d_%H%M%SZ"));
                let chain = format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ascmhldirectory xmlns=\"urn:ASC:MHL:DIRECTORY:v2.0\">\n  \
                     <hashlist sequencenr=\"1\">\n    <path>{}</path>\n    <c4>{}</c4>\n  </hashlist>\n</ascmhldirectory>\n",
                    escaped(&name),
                    c4(self.text.as_bytes()),
                );
                vec![
                    (format!("{ASC_FOLDER}/{name}"), self.text.into_bytes()),
                    (format!("{ASC_FOLDER}/ascmhl_chain.xml"), chain.into_bytes()),
                ]
            }
        }
    }
}

/// A time as both schemas have it.
fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// Text for XML; control characters, which XML cannot hold, are replaced.
fn escaped(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    quick_xml::escape::escape(plain.as_str()).into_owned()
}

/// The name of a package as part of a file name.
fn plain(name: &str) -> String {
    let bad = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
    let name: String = name.chars().map(|c| if bad(c) { '_' } else { c }).take(LONGEST).collect();
    let name = name.trim_matches(|c: char| c == '.' || c == ' ');
    if name.is_empty() { "package".to_owned() } else { name.to_owned() }
}

/// The C4 identifier of bytes (SMPTE ST 2114).
fn c4(bytes: &[u8]) -> String {
    let mut number: Vec<u8> = Sha512::digest(bytes).to_vec();
    let mut digits = [C4_DIGITS[0]; 88];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest * 256 + u32::from(*byte);
            *byte = u8::try_from(value / 58).unwrap_or_default();
            rest = value % 58;
        }
        *digit = C4_DIGITS[rest as usize];
    }
    format!("c4{}", String::from_utf8_lossy(&digits))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::super::checksum::Checksum;
    use super::super::{Listed, parse};
    use super::*;

    fn entries() -> Vec<Entry> {
        let entry = |path: &str, digest: u8, format: Format| Entry {
            path: path.to_owned(),
            size: 5,
            modified: Timestamp::from_second(1_700_000_000).unwrap(),
            digest: vec![digest; format.algorithm().bytes()],
        };
        ["A001/clip & <1>.mov", "näïve -- 🎬.wav", "b\\c.txt"].map(|path| entry(path, 0xab, Format::AscMhl)).into()
    }

    fn composed(format: Format) -> Composed {
        let at = Timestamp::from_second(1_700_000_100).unwrap();
        let mut list = Composer::new(format, "Day 1: a/b", "cart<2>", at);
        for entry in entries() {
            list.add(&Entry { digest: vec![0xab; format.algorithm().bytes()], ..entry });
        }
        list.leave_out("x--y.mov", "changed after it was sent");
        list.finish(&|path| path == "Day 1_ a_b.md5")
    }

    /// What is written is read again: nothing that a name may have is in the way.
    #[test]
    fn what_is_written_is_understood() {
        for format in [Format::AscMhl, Format::Md5] {
            let (path, bytes) = composed(format).remove(0);
            let listed = parse(Path::new(&path), &bytes).unwrap();
            let names: Vec<PathBuf> = listed.iter().map(|file| file.path.clone()).collect();
            let mut expected: Vec<PathBuf> = entries().iter().map(|entry| PathBuf::from(&entry.path)).collect();
            expected.sort();
            assert_eq!(names, expected, "{format:?}");
            let is_whole = |file: &Listed| {
                file.checksums.len() == 1
                    && file.checksums[0].algorithms[0] == format.algorithm()
                    && file.unknown.is_empty()
            };
            assert!(listed.iter().all(is_whole), "{listed:?}");
        }
    }

    #[test]
    fn lists_have_names_that_are_free_and_safe() {
        let names = |format| composed(format).into_iter().map(|(path, _)| path).collect::<Vec<_>>();
        assert_eq!(names(Format::Md5), ["Day 1_ a_b (2).md5"]);
        assert_eq!(names(Format::AscMhl), ["ascmhl/0001_Day 1_ a_b_2023-11-14_221500Z.mhl", "ascmhl/ascmhl_chain.xml"]);
        assert_eq!((plain("..").as_str(), plain(" .x. ").as_str()), ("package", "x"));
    }

    /// The chain names the list by its C4 identifier, that of nothing as the standard gives it.
    #[test]
    fn a_chain_has_the_identifier_of_its_list() {
        let empty = "c459dsjfscH38cYeXXYogktxf4Cd9ibshE3BHUo6a58hBXmRQdZrAkZzsWcbWtDg5oQstpDuni4Hirj75GEmTc1sFT";
        assert_eq!(c4(b""), empty);
        let [(_, list), (_, chain)]: [(String, Vec<u8>); 2] = composed(Format::AscMhl).try_into().unwrap();
        let chain = String::from_utf8(chain).unwrap();
        let id = chain.split("<c4>").nth(1).unwrap().split('<').next().unwrap();
        assert_eq!(Checksum::c4(id).unwrap().digest, Sha512::digest(&list).to_vec());
    }
}
