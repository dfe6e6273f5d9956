//! The text of a checksum list, whatever its encoding.
//!
//! **In**: bytes. **Out**: UTF-8, or what to do about the list. Nothing is guessed: a name that is decoded wrongly is a
//! name that is never found. Pure.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// What a list says that cannot be read as text.
const SAVE_AS: &str = "save it as UTF-8";

/// The text of a list that marks itself as UTF-16 or XML; other lists stay bytes, for names on disk are bytes too.
///
/// # Errors
/// Why it cannot be decoded, for people.
pub fn decoded(bytes: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    if bytes.starts_with(&[0xff, 0xfe, 0, 0]) || bytes.starts_with(&[0, 0, 0xfe, 0xff]) {
        return Err(format!("is written in UTF-32: {SAVE_AS}"));
    }
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return if encoding == UTF_8 { Ok(Cow::Borrowed(&bytes[mark..])) } else { strictly(encoding, &bytes[mark..]) };
    }
    match bytes {
        // Text without a mark: every other byte of what is ASCII is zero.
        [first, 0, second, 0, ..] if *first != 0 && *second != 0 => strictly(UTF_16LE, bytes),
        [0, first, 0, second, ..] if *first != 0 && *second != 0 => strictly(UTF_16BE, bytes),
        _ => match declared(bytes) {
            Some(label) => match Encoding::for_label(label.as_bytes()) {
                // What is UTF-16 does not read as ASCII this far.
                Some(encoding) if encoding != UTF_16LE && encoding != UTF_16BE => strictly(encoding, bytes),
                _ => Err(format!("is written in the unknown encoding `{label}`: {SAVE_AS}")),
            },
            None if is_xml(bytes) => strictly(UTF_8, bytes),
            None if bytes.contains(&0) => Err(format!("is not text: {SAVE_AS}")),
            None => Ok(Cow::Borrowed(bytes)),
        },
    }
}

/// Whether the text is XML.
#[must_use]
pub fn is_xml(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"<")
}

/// The encoding that an XML declaration names.
fn declared(bytes: &[u8]) -> Option<String> {
    let declaration = bytes.trim_ascii_start().strip_prefix(b"<?xml")?;
    let end = declaration.windows(2).position(|two| two == b"?>")?;
    let declaration = String::from_utf8_lossy(&declaration[..end]).into_owned();
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start().to_owned();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    value[1..].split_once(quote).map(|(label, _)| label.to_owned())
}

fn strictly<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
    match text {
        Some(Cow::Borrowed(text)) => Ok(Cow::Borrowed(text.as_bytes())),
        Some(Cow::Owned(text)) => Ok(Cow::Owned(text.into_bytes())),
        None => Err(format!("is not valid {}: {SAVE_AS}", encoding.name())),
    }
}

/// The lines of a text, ended as on Unix, Windows or an old Mac.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = if !text.contains(&b'\n') && text.contains(&b'\r') { b'\r' } else { b'\n' };
    text.split(move |byte| *byte == end).map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    /// PowerShell's `>` writes UTF-16, with a mark in some versions.
    #[test]
    fn utf_16_is_decoded_with_and_without_its_mark() {
        for text in ["\u{feff}ab  \u{fc}.mov\n", "ab  \u{fc}.mov\n"] {
            for bytes in [utf16(text, u16::to_le_bytes), utf16(text, u16::to_be_bytes)] {
                assert_eq!(&*decoded(&bytes).unwrap(), "ab  \u{fc}.mov\n".as_bytes());
            }
        }
        assert_eq!(&*decoded("\u{feff}a".as_bytes()).unwrap(), b"a");
        assert!(decoded(&[0xff, 0xfe, b'a', 0, 0, 0xd8]).unwrap_err().contains("save it as UTF-8"));
    }

    /// Case: an MHL in Windows-1251, ISO 8859 or EUC-JP has its names, or is refused.
    #[test]
    fn xml_is_decoded_as_it_declares_itself_or_refused() {
        let xml = |label: &str, name: &[u8]| {
            [format!("<?xml version='1.0' encoding=\"{label}\"?><a>").as_bytes(), name, b"</a>"].concat()
        };
        let name = |label, bytes| {
            let text = String::from_utf8(decoded(&xml(label, bytes)).unwrap().into_owned()).unwrap();
            text.split_once("<a>").unwrap().1.replace("</a>", "")
        };
        assert_eq!(name("windows-1251", b"\xd4\xe8\xeb\xfc\xec"), "Фильм");
        assert_eq!(name("iso-8859-2", b"\xb3\xf3d\xbc"), "łódź");
        assert_eq!(name("EUC-JP", b"\xb1\xc7\xb2\xe8"), "映画");
        assert_eq!(name("us-ascii", b"plain"), "plain");
        for (label, bytes) in [("utf-8", &b"\xff"[..]), ("x-unheard-of", b"a"), ("utf-16", b"a")] {
            assert!(decoded(&xml(label, bytes)).unwrap_err().contains("save it as UTF-8"), "{label}");
        }
        assert!(decoded(b"<a>\xff</a>").is_err());
    }

    /// Case: lists with the line ends of Unix, Windows and old Macs.
    #[test]
    fn lines_end_as_on_any_system() {
        for text in [&b"a\nb\n"[..], b"a\r\nb\r\n", b"a\rb\r"] {
            assert_eq!(lines(text).filter(|line| !line.is_empty()).collect::<Vec<_>>(), [b"a", b"b"]);
        }
    }
}
