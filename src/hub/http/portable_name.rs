//! Names for archives that every system can write and that mislead nobody: senders may name their files as they like, but whoever
//! unpacks them should get files, not options, devices, streams or drives.
//!
//! Pure.

/// The longest name that file systems accept, in bytes.
const LONGEST: usize = 255;
/// Devices of Windows: names that cannot be used for files, whatever their extension.
const DEVICES: &[&str] = &["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"];

/// The path with each of its names made portable.
pub(super) fn path(path: &str) -> String {
    let names: Vec<String> = path.split('/').map(name).collect();
    names.join("/")
}

/// The name, unchanged where possible, with `_` in place of what cannot be written everywhere.
fn name(name: &str) -> String {
    let mut safe: String = name.chars().map(|sign| if is_writable(sign) { sign } else { '_' }).collect();
    let kept = safe.trim_end_matches(['.', ' ']).len();
    let cut = safe.len() - kept;
    safe.truncate(kept);
    safe.extend(std::iter::repeat_n('_', cut));
    if safe.starts_with('-') || is_device(&safe) {
        if safe.len() >= LONGEST {
            safe.remove(0);
        }
        safe.insert(0, '_');
    }
    safe
}

fn is_writable(sign: char) -> bool {
    let turns_text =
        matches!(sign, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !sign.is_control() && !turns_text && !matches!(sign, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_uppercase();
    let is_port = ["COM", "LPT"].iter().any(|port| {
        let mut number = stem.strip_prefix(port).unwrap_or_default().chars();
        matches!((number.next(), number.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
    });
    is_port || DEVICES.contains(&stem.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Such names went into archives as they were.
    #[test]
    fn names_that_are_no_files_elsewhere_become_some() {
        for (given, safe) in [
            ("CON", "_CON"),
            ("con.mov", "_con.mov"),
            ("Com1.txt", "_Com1.txt"),
            ("lpt² .x", "_lpt² .x"),
            ("a:b", "a_b"),
            ("C:evil", "C_evil"),
            ("-rf", "_-rf"),
            ("gpj.\u{202e}exe", "gpj._exe"),
            ("name.", "name_"),
            ("name . .", "name____"),
            ("a\\b*?\"<>|", "a_b______"),
            ("bell\u{7}\u{85}", "bell__"),
        ] {
            assert_eq!(name(given), safe);
        }
        for kept in ["A001_C002.mov", "console.txt", "COM12", "näïve 🎬 (2).mov", ".hidden", "क्\u{200d}ष", "a -b"]
        {
            assert_eq!(name(kept), kept);
        }
        assert_eq!(path("-x/NUL/ok."), "_-x/_NUL/ok_");
        assert_eq!(name(&"-".repeat(255)).len(), 255);
    }
}
