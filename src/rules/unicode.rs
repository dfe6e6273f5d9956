//! Normalises names that look the same.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use icu_normalizer::ComposingNormalizerBorrowed;

const NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfc();

/// The path in Unicode's composed form (NFC). Macs decompose names that others compose: an `é` typed into a rule, or
/// written into a checksum list, is to be found on disk in either form. Paths that are not UTF-8 stay as they are.
#[must_use]
pub fn composed(path: &Path) -> Cow<'_, Path> {
    match path.to_str() {
        Some(text) if !text.is_ascii() => match NFC.normalize(text) {
            Cow::Borrowed(_) => Cow::Borrowed(path),
            Cow::Owned(text) => Cow::Owned(PathBuf::from(text)),
        },
        _ => Cow::Borrowed(path),
    }
}

/// Text in the same form.
#[must_use]
pub(super) fn composed_text(text: &str) -> String {
    NFC.normalize(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_have_one_composed_form() {
        let forms =
            ["Caf\u{e9}/\u{fc}.mov", "Cafe\u{301}/u\u{308}.mov"].map(|name| composed(Path::new(name)).into_owned());
        assert_eq!(forms[0], forms[1]);
        assert_eq!(forms[0], Path::new("Caf\u{e9}/\u{fc}.mov"));
        assert_eq!(composed(Path::new("plain.mov")), Path::new("plain.mov"));
    }
}
