//! Checksum lists: what a manifest says is in a drop, and whether it is.
//!
//! **In**: a manifest's name and text. **Out**: the files it lists with their checksums. Pure; [`reader`] opens files.
//!
//! Understood are the lists of `md5sum` and its relatives (GNU and BSD style), MHL 1.x and ASC MHL 2.0
//! (<https://github.com/ascmitc/mhl-specification>).

use std::path::{Component, Path, PathBuf};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

pub mod reader;

/// Folder that ASC MHL manifests lie in; what they list is relative to the folder around it.
const ASC_FOLDER: &str = "ascmhl";

/// A kind of checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// MD5.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// XXH64, written as a big-endian number.
    Xxh64,
    /// The 64-bit variant of XXH3.
    Xxh3,
    /// The 128-bit variant of XXH3.
    Xxh128,
}

/// A file that a manifest lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Relative to the watched folder.
    pub path: PathBuf,
    /// Bytes, if the manifest says.
    pub size: Option<u64>,
    /// Checksum in lower-case hexadecimal, if the manifest has one of a kind that is known.
    pub checksum: Option<(Hash, String)>,
}

/// What the manifest at `place` (relative to the watched folder) lists.
///
/// # Errors
/// Why it can not be understood, for a person.
pub fn parse(place: &Path, text: &str) -> Result<Vec<Listed>, String> {
    let around = place.parent().unwrap_or(Path::new(""));
    let is_xml = text.trim_start_matches('\u{feff}').trim_start().starts_with('<');
    let listed = if is_xml {
        let inside = around.file_name().is_some_and(|name| name == ASC_FOLDER);
        parse_xml(if inside { around.parent().unwrap_or(Path::new("")) } else { around }, text)?
    } else {
        parse_lines(around, place, text)?
    };
    if listed.is_empty() { Err("lists no files".to_owned()) } else { Ok(listed) }
}

fn below(folder: &Path, listed: &str) -> Result<PathBuf, String> {
    let mut path = folder.to_owned();
    for component in Path::new(&listed.replace('\\', "/")).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            _ => return Err(format!("lists `{listed}`, which is not below its folder")),
        }
    }
    Ok(path)
}

fn parse_lines(folder: &Path, place: &Path, text: &str) -> Result<Vec<Listed>, String> {
    let mut listed = Vec::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') || line.starts_with(';') {
            continue;
        }
        let (checksum, name) = gnu_line(line)
            .or_else(|| bsd_line(line))
            .ok_or_else(|| format!("line {} is not a checksum and a name", number + 1))?;
        let hash = kind_of(place, &checksum).ok_or_else(|| format!("line {}: no known checksum", number + 1))?;
        listed.push(Listed { path: below(folder, &name)?, size: None, checksum: Some((hash, checksum)) });
    }
    Ok(listed)
}

/// `CHECKSUM  NAME` or `CHECKSUM *NAME`; a backslash in front says that the name is escaped.
fn gnu_line(line: &str) -> Option<(String, String)> {
    let (line, escaped) = line.strip_prefix('\\').map_or((line, false), |line| (line, true));
    let (checksum, name) = line.split_once([' ', '\t'])?;
    let name = name.strip_prefix([' ', '*']).unwrap_or(name).trim_start_matches('\t');
    let name = if escaped { name.replace("\\n", "\n").replace("\\\\", "\\") } else { name.to_owned() };
    (is_hexadecimal(checksum) && !name.is_empty()).then(|| (checksum.to_ascii_lowercase(), name))
}

/// `MD5 (NAME) = CHECKSUM`.
fn bsd_line(line: &str) -> Option<(String, String)> {
    let (name, checksum) = line.split_once(" (")?.1.rsplit_once(") = ")?;
    is_hexadecimal(checksum).then(|| (checksum.to_ascii_lowercase(), name.to_owned()))
}

fn is_hexadecimal(text: &str) -> bool {
    text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn kind_of(place: &Path, checksum: &str) -> Option<Hash> {
    let extension = place.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match (checksum.len(), extension.as_str()) {
        (32, "xxh128" | "xxh3") => Some(Hash::Xxh128),
        (16, "xxh3") => Some(Hash::Xxh3),
        (32, _) => Some(Hash::Md5),
        (40, _) => Some(Hash::Sha1),
        (64, _) => Some(Hash::Sha256),
        (16, _) => Some(Hash::Xxh64),
        _ => None,
    }
}

/// What of a `<hash>` element has been read.
#[derive(Default)]
struct Entry {
    path: Option<String>,
    size: Option<u64>,
    checksum: Option<(Hash, String)>,
}

fn parse_xml(folder: &Path, text: &str) -> Result<Vec<Listed>, String> {
    let mut reader = Reader::from_str(text);
    let mut listed = Vec::new();
    let (mut entry, mut open, mut content): (Option<Entry>, String, String) = Default::default();
    loop {
        match reader.read_event().map_err(|error| format!("is not well-formed XML: {error}"))? {
            Event::Start(element) => {
                let name = element.local_name().as_ref().to_owned();
                if name == "hash" {
                    entry = Some(Entry::default());
                } else if let ("path", Some(entry)) = (&*name, &mut entry) {
                    entry.size = size_attribute(&element);
                }
                open = name;
                content.clear();
            }
            Event::Text(piece) => content.push_str(&piece.xml10_content()),
            Event::GeneralRef(reference) => content.push_str(&resolved(&reference)?),
            Event::CData(piece) => content.push_str(&piece),
            Event::End(element) => {
                let name = element.local_name().as_ref().to_owned();
                match &mut entry {
                    Some(found) if name == "hash" => {
                        let Entry { path, size, checksum } = std::mem::take(found);
                        entry = None;
                        let path = path.ok_or("has a hash without a file")?;
                        listed.push(Listed { path: below(folder, &path)?, size, checksum });
                    }
                    Some(found) if name == open => found.take(&name, content.trim()),
                    _ => {}
                }
            }
            Event::Eof => return Ok(listed),
            _ => {}
        }
    }
}

impl Entry {
    fn take(&mut self, name: &str, text: &str) {
        let hash = match name {
            "file" | "path" => {
                self.path = Some(text.to_owned());
                return;
            }
            "size" => {
                self.size = text.parse().ok();
                return;
            }
            "md5" => Hash::Md5,
            "sha1" => Hash::Sha1,
            "sha256" => Hash::Sha256,
            "xxh64" | "xxhash64be" => Hash::Xxh64,
            "xxh3" => Hash::Xxh3,
            "xxh128" => Hash::Xxh128,
            _ => return,
        };
        if is_hexadecimal(text) {
            self.checksum.get_or_insert((hash, text.to_ascii_lowercase()));
        }
    }
}

fn size_attribute(element: &BytesStart<'_>) -> Option<u64> {
    let size = element.try_get_attribute("size").ok().flatten()?;
    size.value.parse().ok()
}

fn resolved(reference: &quick_xml::events::BytesRef<'_>) -> Result<String, String> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Ok(character.to_string());
    }
    let name: &str = reference;
    let text = quick_xml::escape::resolve_predefined_entity(name);
    text.map(str::to_owned).ok_or_else(|| format!("uses the unknown entity `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(path: &str, hash: Hash, checksum: &str) -> Listed {
        Listed { path: path.into(), size: None, checksum: Some((hash, checksum.to_owned())) }
    }

    #[test]
    fn lists_of_md5sum_and_its_relatives() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        let text = format!(
            "# a comment\n{md5}  one.mov\r\n{md5} *sub/two words.mov\n\\{md5}  line\\nbreak.mov\nMD5 (three (1).mov) = {}\n",
            md5.to_uppercase()
        );
        let found = parse(Path::new("A001/card.md5"), &text).unwrap();
        let names = ["A001/one.mov", "A001/sub/two words.mov", "A001/line\nbreak.mov", "A001/three (1).mov"];
        assert_eq!(found, names.map(|name| listed(name, Hash::Md5, md5)));
    }

    #[test]
    fn mhl_of_both_generations() {
        let old = r#"<?xml version="1.0" encoding="UTF-8"?><hashlist version="1.1"><creatorinfo><tool>x</tool></creatorinfo>
            <hash><file>CLIPS/a &amp; b.mov</file><size>5</size><xxhash64be>0123456789ABCDEF</xxhash64be></hash></hashlist>"#;
        let mut expected = listed("A001/CLIPS/a & b.mov", Hash::Xxh64, "0123456789abcdef");
        expected.size = Some(5);
        assert_eq!(parse(Path::new("A001/A001.mhl"), old).unwrap(), [expected]);

        let new = r#"<?xml version="1.0" encoding="UTF-8"?><hashlist version="2.0" xmlns="urn:ASC:MHL:v2.0"><hashes>
            <hash><path size="5" lastmodificationdate="2026-01-01">CLIPS/a.mov</path>
            <c4 action="original">c41</c4><xxh128 action="original">00000000000000000000000000000abc</xxh128></hash>
            <directoryhash><path>CLIPS</path><content><xxh64>0123456789abcdef</xxh64></content></directoryhash>
            </hashes></hashlist>"#;
        let mut expected = listed("A001/CLIPS/a.mov", Hash::Xxh128, "00000000000000000000000000000abc");
        expected.size = Some(5);
        assert_eq!(parse(Path::new("A001/ascmhl/0001_A001.mhl"), new).unwrap(), [expected]);
    }

    #[test]
    fn what_can_not_be_understood_is_told_and_nothing_leaves_the_folder() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        for text in
            ["", "hello\n", &format!("{md5}  ../../etc/passwd\n"), &format!("{md5}  /etc/passwd\n"), "<a><b></a>"]
        {
            parse(Path::new("card.md5"), text).unwrap_err();
        }
    }
}
