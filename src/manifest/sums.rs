//! Lists of lines: those of `md5sum` and its relatives in the style of GNU and of BSD, of `xxhsum`, `b3sum`, `openssl`,
//! `hashdeep` and BagIt, and SFV.
//!
//! **In**: a list's name and text. **Out**: the files it lists. Pure.
//!
//! The name beside a checksum says of what kind it is, or the list's own name does: see [`Checksum::bare`].

use std::path::{Path, PathBuf};

use masv_platform::bytes_to_path;

use super::checksum::{Algorithm, Checksum, Kind};
use super::text::lines;
use super::{Listed, below};

/// What the lines list, relative to `folder`.
///
/// # Errors
/// Which line is not understood, for a person.
pub fn parse(folder: &Path, place: &Path, text: &[u8]) -> Result<Vec<Listed>, String> {
    let name = place.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let (suggested, unsupported) = (suggested(&name), unsupported(&name));
    let is_sfv = name.ends_with(".sfv");
    let mut columns: Option<Vec<Option<Algorithm>>> = None;
    let mut listed = Vec::new();
    for (number, line) in lines(text).enumerate() {
        let refuse = |why: String| format!("is not understood in line {}: {why}", number + 1);
        if let Some(header) = line.strip_prefix(b"%%%% ") {
            columns = hashdeep_header(header).or(columns);
            continue;
        }
        if line.trim_ascii().is_empty() || line.starts_with(b"#") || line.starts_with(b";") {
            continue;
        }
        let entry = match &columns {
            Some(columns) => hashdeep(line, columns),
            None if is_sfv => sfv(line),
            None => gnu(line, suggested, unsupported).or_else(|| tagged(line)).unwrap_or(Err(NOT_A_LINE.to_owned())),
        };
        let Entry { name, size, checksum } = entry.map_err(refuse)?;
        let path = below(folder, name).map_err(refuse)?;
        let (checksums, unknown) = match checksum {
            Sum::Known(checksums) => (checksums, Vec::new()),
            Sum::Unknown(kind) => (Vec::new(), vec![kind]),
        };
        listed.push(Listed { size, checksums, unknown, ..Listed::new(path) });
    }
    Ok(listed)
}

const NOT_A_LINE: &str = "does not consist of a checksum and a name";

enum Sum {
    Known(Vec<Checksum>),
    /// The kind that is not understood.
    Unknown(String),
}

struct Entry {
    name: PathBuf,
    size: Option<u64>,
    checksum: Sum,
}

/// The algorithm that the list's own name names: `card.md5`, `SHA256SUMS`, `manifest-sha512.txt`, `sha1sum.txt`.
fn suggested(name: &str) -> Option<Algorithm> {
    let words = name.split(['.', '-', '_', ' ']).rev();
    let plain = |word: &str| Algorithm::named(word.strip_suffix('s').unwrap_or(word).trim_end_matches("sum"));
    words.into_iter().find_map(|word| if word == "xxh" { Some(Algorithm::Xxh64) } else { plain(word) })
}

/// The kind of checksum that the list's own name names, if it is one that is not supported: `manifest-sha3-256.txt`.
fn unsupported(name: &str) -> Option<&str> {
    let words = name.split(['.', '-', '_', ' ']).rev();
    let plain = |word: &str| Algorithm::is_unsupported(word.trim_end_matches('s').trim_end_matches("sum"));
    words.into_iter().find(|word| Algorithm::is_unsupported(word) || plain(word))
}

fn printable(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// `CHECKSUM  NAME` or `CHECKSUM *NAME`; a backslash in front says that the name is escaped. `None` when it does not look
/// like such a line at all.
fn gnu(line: &[u8], suggested: Option<Algorithm>, unsupported: Option<&str>) -> Option<Result<Entry, String>> {
    let (line, escaped) = line.strip_prefix(b"\\").map_or((line, false), |line| (line, true));
    let blank = line.iter().position(|byte| matches!(byte, b' ' | b'\t'))?;
    let text = printable(&line[..blank])?;
    let rest = &line[blank..];
    let name = rest.strip_prefix(b" *").unwrap_or_else(|| rest.trim_ascii_start());
    let checksum = match text.strip_prefix("XXH3_") {
        Some(digits) => Checksum::of(Algorithm::Xxh3, digits),
        None => Checksum::bare(text, suggested),
    };
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
    match checksum {
        _ if name.is_empty() => None,
        Some(checksum) => {
            let checksum = match unsupported {
                Some(kind) if checksum.kind == Kind::Guessed => Sum::Unknown(kind.to_owned()),
                _ => Sum::Known(vec![checksum]),
            };
            Some(Ok(Entry { name: named(name, escaped), size: None, checksum }))
        }
        // A number of a length that no known algorithm gives, or that could be anything.
        None if digits == text.len() && digits >= 8 => Some(Err(format!(
            "a checksum of {digits} digits is not supported; name the list after its kind, like `card.md5`"
        ))),
        None => None,
    }
}

/// `MD5 (NAME) = CHECKSUM`, as BSD, `xxhsum --tag` and `openssl` write it.
fn tagged(line: &[u8]) -> Option<Result<Entry, String>> {
    let (line, escaped) = line.strip_prefix(b"\\").map_or((line, false), |line| (line, true));
    let open = line.iter().position(|byte| *byte == b'(')?;
    let close = line.windows(3).rposition(|three| three == b")= ").map(|at| (at, 3));
    let (close, length) = line.windows(4).rposition(|four| four == b") = ").map(|at| (at, 4)).or(close)?;
    let tag = printable(line[..open].trim_ascii_end())?;
    let text = printable(line[close + length..].trim_ascii_end())?;
    let name = named(line.get(open + 1..close)?, escaped);
    let (kind, little) = tag.strip_suffix("_LE").map_or((tag, false), |kind| (kind, true));
    let Some(algorithm) = Algorithm::named(kind) else {
        return Some(Ok(Entry { name, size: None, checksum: Sum::Unknown(tag.to_owned()) }));
    };
    let checksum = if little { Checksum::little_endian(algorithm, text) } else { Checksum::of(algorithm, text) };
    let entry = |checksum| Entry { name, size: None, checksum: Sum::Known(vec![checksum]) };
    Some(checksum.map(entry).ok_or_else(|| format!("`{text}` is not a valid {tag} checksum")))
}

/// `NAME CHECKSUM`.
fn sfv(line: &[u8]) -> Result<Entry, String> {
    let line = line.trim_ascii_end();
    let blank = line.iter().rposition(|byte| matches!(byte, b' ' | b'\t')).ok_or(NOT_A_LINE)?;
    let text = printable(&line[blank + 1..]).ok_or(NOT_A_LINE)?;
    let checksum =
        Checksum::of(Algorithm::Crc32, text).ok_or_else(|| format!("`{text}` is not a valid CRC-32 checksum"))?;
    let name = named(line[..blank].trim_ascii_end(), false);
    Ok(Entry { name, size: None, checksum: Sum::Known(vec![checksum]) })
}

/// `%%%% size,md5,sha256,filename`: the columns before the name, of which the first is the size.
fn hashdeep_header(header: &[u8]) -> Option<Vec<Option<Algorithm>>> {
    let columns: Vec<&str> = std::str::from_utf8(header).ok()?.trim().split(',').collect();
    let (last, first) = columns.split_last()?;
    (*last == "filename" && first.first() == Some(&"size"))
        .then(|| first.iter().map(|name| Algorithm::named(name)).collect())
}

fn hashdeep(line: &[u8], columns: &[Option<Algorithm>]) -> Result<Entry, String> {
    let parts: Vec<&[u8]> = line.splitn(columns.len() + 1, |byte| *byte == b',').collect();
    let (name, values) = parts.split_last().filter(|(_, values)| values.len() == columns.len()).ok_or(NOT_A_LINE)?;
    let size = printable(values[0]).and_then(|size| size.parse().ok()).ok_or(NOT_A_LINE)?;
    let mut checksums = Vec::new();
    for (value, algorithm) in values.iter().zip(columns).skip(1) {
        let Some(algorithm) = algorithm else { continue };
        let checksum = printable(value).and_then(|text| Checksum::of(*algorithm, text));
        checksums.push(checksum.ok_or_else(|| format!("has no valid {} checksum", algorithm.name()))?);
    }
    let checksum = if checksums.is_empty() { Sum::Unknown("hashdeep".to_owned()) } else { Sum::Known(checksums) };
    Ok(Entry { name: named(name, false), size: Some(size), checksum })
}

/// A name as a path. An escaped one writes a backslash as `\\` and line breaks as `\n` and `\r`; in one that is not
/// escaped a backslash is what Windows puts between folders, for the tools of Unix escape theirs.
fn named(name: &[u8], escaped: bool) -> PathBuf {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.iter().copied();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' if escaped => bytes.push(match rest.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(other) => other,
                None => b'\\',
            }),
            b'\\' => bytes.push(b'/'),
            other => bytes.push(other),
        }
    }
    bytes_to_path(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

    fn parsed(place: &str, text: &str) -> Result<Vec<Listed>, String> {
        parse(Path::new("A001"), &Path::new("A001").join(place), text.as_bytes())
    }

    fn one(place: &str, line: &str) -> Listed {
        let mut listed = parsed(place, line).unwrap_or_else(|why| panic!("{line}: {why}"));
        assert_eq!(listed.len(), 1, "{line}");
        listed.remove(0)
    }

    fn algorithms(place: &str, line: &str) -> Vec<Algorithm> {
        one(place, line).checksums.into_iter().flat_map(|checksum| checksum.algorithms).collect()
    }

    /// Cases: lists in the style of GNU, BSD, OpenSSL and Windows, with more than two spaces, with escaped names.
    #[test]
    fn names_in_every_style() {
        let text = format!(
            "# a comment\n{MD5}  one.mov\r\n{MD5} *sub/two words.mov\n\\{MD5}  line\\nbreak.mov\n\
             MD5 (three (1).mov) = {}\nMD5(four.mov)= {MD5}\n{MD5}\tfive.mov\n{MD5}     six.mov\n{MD5}  ./win\\seven.mov\n\
             \\{MD5}  eight\\\\n\\r.mov\n",
            MD5.to_uppercase()
        );
        let names: Vec<PathBuf> = parsed("card.md5", &text).unwrap().into_iter().map(|file| file.path).collect();
        let expected = [
            "one.mov",
            "sub/two words.mov",
            "line\nbreak.mov",
            "three (1).mov",
            "four.mov",
            "five.mov",
            "six.mov",
            "win/seven.mov",
            "eight\\n\r.mov",
        ];
        assert_eq!(names, expected.map(|name| Path::new("A001").join(name)));
    }

    /// A name on disk need not be UTF-8, and the tools of Unix write it into their lists as it is.
    #[test]
    fn a_name_that_is_not_utf_8_is_kept() {
        let listed = parse(Path::new(""), Path::new("card.md5"), &[MD5.as_bytes(), b"  caf\xe9.mov\n"].concat());
        assert_eq!(listed.unwrap()[0].path, bytes_to_path(b"caf\xe9.mov"));
    }

    /// The length of a checksum decided, not the name beside it: sums of XXH3, XXH128 and BLAKE3 were mistaken for MD5 and
    /// SHA-256, and good media was called corrupt.
    #[test]
    fn the_name_beside_a_checksum_decides() {
        let hex = |digits: usize| "0123456789abcdef".repeat(digits / 16 + 1)[..digits].to_owned();
        let tags = [
            ("MD5", 32, Algorithm::Md5),
            ("SHA1", 40, Algorithm::Sha1),
            ("SHA2-256", 64, Algorithm::Sha256),
            ("SHA224", 56, Algorithm::Sha224),
            ("SHA384", 96, Algorithm::Sha384),
            ("SHA512", 128, Algorithm::Sha512),
            ("BLAKE2b", 128, Algorithm::Blake2b),
            ("BLAKE3", 64, Algorithm::Blake3),
            ("XXH32", 8, Algorithm::Xxh32),
            ("XXH64", 16, Algorithm::Xxh64),
            ("XXH3", 16, Algorithm::Xxh3),
            ("XXH128", 32, Algorithm::Xxh128),
        ];
        for (tag, digits, algorithm) in tags {
            assert_eq!(algorithms("checksums.txt", &format!("{tag} (a.mov) = {}", hex(digits))), [algorithm], "{tag}");
            assert!(parsed("checksums.txt", &format!("{tag} (a.mov) = {}", hex(digits - 2))).is_err(), "{tag}");
        }
        let little = one("x", "XXH64_LE (a.mov) = 0123456789abcdef");
        assert_eq!(little.checksums, [Checksum::of(Algorithm::Xxh64, "efcdab8967452301").unwrap()]);
        assert_eq!(algorithms("x.txt", "XXH3_0123456789abcdef  a.mov"), [Algorithm::Xxh3]);
        assert_eq!(algorithms("x", "MD5 (a.mov) = 1B2M2Y8AsgTpgAmY7PhCfg=="), [Algorithm::Md5], "base64");
    }

    /// Cases: lists of `b3sum`, `xxhsum`, `b2sum` and BagIt are known by their names.
    #[test]
    fn the_name_of_the_list_decides_where_there_is_none_beside_the_checksum() {
        let first = |place: &str, digits: usize| algorithms(place, &format!("{}  a.mov", "ab".repeat(digits / 2)))[0];
        assert_eq!(first("card.md5", 32), Algorithm::Md5);
        assert_eq!(first("card.xxh128", 32), Algorithm::Xxh128);
        assert_eq!(first("card.XXH3", 16), Algorithm::Xxh3);
        assert_eq!(first("card.xxh", 16), Algorithm::Xxh64);
        assert_eq!(first("SHA256SUMS", 64), Algorithm::Sha256);
        assert_eq!(first("B3SUMS", 64), Algorithm::Blake3);
        assert_eq!(first("card.b3", 64), Algorithm::Blake3);
        assert_eq!(first("b2sum.txt", 128), Algorithm::Blake2b);
        assert_eq!(first("manifest-sha512.txt", 128), Algorithm::Sha512);
        assert_eq!(first("tagmanifest-sha384.txt", 96), Algorithm::Sha384);
        assert_eq!(first("card.xxh32", 8), Algorithm::Xxh32);
        assert_eq!(algorithms("checksums.txt", &format!("{MD5}  a.mov")), [Algorithm::Md5, Algorithm::Xxh128]);
    }

    /// Case: XXH128 and BLAKE3 in a list that is named after another kind are compared as well.
    #[test]
    fn the_name_of_the_list_rules_out_no_kind_of_the_same_length() {
        for place in ["card.md5", "card.xxh", "checksums.txt"] {
            for (digits, algorithm) in [(32, Algorithm::Xxh128), (64, Algorithm::Blake3)] {
                let may_be = algorithms(place, &format!("{}  a.mov", "ab".repeat(digits / 2)));
                assert!(may_be.contains(&algorithm), "{place}: {may_be:?}");
            }
        }
    }

    /// Case: a kind, length or line of a list that is not understood is told with its line.
    #[test]
    fn what_is_not_understood_is_told() {
        let unknown = one("x", "RMD160 (a.mov) = 0123456789012345678901234567890123456789");
        assert_eq!((unknown.checksums.len(), unknown.unknown), (0, vec!["RMD160".to_owned()]));
        for (place, line, why) in [
            ("checksums.txt", "01234567  a.mov", "8 digits"),
            ("x.md5", "0123456789abcdef01  a.mov", "18 digits"),
            ("x.md5", "hello", "does not consist of a checksum and a name"),
            ("x.sfv", "a.mov 0123", "CRC-32"),
            ("x.md5", &format!("{MD5}  ../a.mov"), "not below"),
            ("x.md5", &format!("{MD5}  /a.mov"), "not below"),
        ] {
            let told = parsed(place, line).unwrap_err();
            assert!(told.contains(why) && told.contains("in line 1: "), "{line}: {told}");
        }
    }

    /// Case: SFV and hashdeep are read.
    #[test]
    fn sfv_and_hashdeep() {
        let sfv = parsed("x.sfv", "; made by x\nA clip.mov 3610a686\n").unwrap();
        assert_eq!(sfv[0].path, Path::new("A001/A clip.mov"));
        assert_eq!(sfv[0].checksums, [Checksum::of(Algorithm::Crc32, "3610a686").unwrap()]);
        let deep = format!("%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n## x\n5,{MD5},./a,b.mov\n");
        let deep = parsed("deep.txt", &deep).unwrap();
        assert_eq!((deep[0].path.as_path(), deep[0].size), (Path::new("A001/a,b.mov"), Some(5)));
    }
}
