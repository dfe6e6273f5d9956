//! What a portal accepts: kinds and sizes of files, sizes of packages.

use masv_protocol::Restrictions;

use super::Error;
use crate::format;

/// What a portal accepts, for people; empty if it accepts everything.
pub(crate) fn summary(taken: &Restrictions) -> String {
    let mut told = Vec::new();
    if taken.file_type_restriction_enabled && !taken.file_types.is_empty() {
        let types: Vec<String> = taken.file_types.iter().map(|end| format!(".{}", bare(end))).collect();
        let not = if taken.file_type_restriction_exclude { "not " } else { "only " };
        told.push(format!("{not}{}", types.join(", ")));
    }
    if taken.package_size_restriction_enabled {
        let bounds = [
            (taken.max_file_count, format!("up to {} files", taken.max_file_count)),
            (taken.max_file_size, format!("files up to {}", format::bytes(taken.max_file_size))),
            (taken.max_package_size, format!("{} in all", format::bytes(taken.max_package_size))),
        ];
        told.extend(bounds.into_iter().filter(|(bound, _)| *bound > 0).map(|(_, words)| words));
    }
    told.join(" · ")
}

/// What a portal takes, as those see it who check it before they send: 0 is any size or number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    /// Extensions in lower case, without their dot; empty: all.
    pub types: Vec<String>,
    /// Whether these are the ones that are not taken.
    pub exclude: bool,
    pub file_size: u64,
    pub file_count: u64,
    pub package_size: u64,
}

/// What a portal takes, of what is enabled.
pub(crate) fn limits(taken: &Restrictions) -> Limits {
    let mut limits = Limits::default();
    if taken.file_type_restriction_enabled {
        limits.types = taken.file_types.iter().map(|end| bare(end)).filter(|end| !end.is_empty()).collect();
        limits.exclude = taken.file_type_restriction_exclude;
    }
    if taken.package_size_restriction_enabled {
        limits.file_size = taken.max_file_size;
        limits.file_count = taken.max_file_count;
        limits.package_size = taken.max_package_size;
    }
    limits
}

/// Refuses a file that the portal does not accept.
pub(super) fn check_file(taken: &Restrictions, name: &str, size: u64) -> Result<(), Error> {
    if taken.file_type_restriction_enabled {
        let lower = name.to_lowercase();
        let listed = taken.file_types.iter().any(|end| {
            let end = bare(end);
            !end.is_empty() && lower.ends_with(&format!(".{end}"))
        });
        if listed == taken.file_type_restriction_exclude {
            let summary = summary(&Restrictions { package_size_restriction_enabled: false, ..taken.clone() });
            let types = if summary.is_empty() { String::new() } else { format!(", {summary}") };
            return Err(Error::Restricted(format!("the portal does not accept {name:?}{types}")));
        }
    }
    if taken.package_size_restriction_enabled && over(size, taken.max_file_size) {
        let (size, most) = (format::bytes(size), format::bytes(taken.max_file_size));
        return Err(Error::Restricted(format!("{name:?} has {size}, and the portal accepts files up to {most}")));
    }
    Ok(())
}

/// Refuses a package that has grown beyond the portal's limits.
pub(super) fn check_package(taken: &Restrictions, files: u64, size: u64) -> Result<(), Error> {
    if !taken.package_size_restriction_enabled {
        return Ok(());
    }
    if over(files, taken.max_file_count) {
        return Err(Error::Restricted(format!("the portal accepts up to {} files at a time", taken.max_file_count)));
    }
    if over(size, taken.max_package_size) {
        let (size, most) = (format::bytes(size), format::bytes(taken.max_package_size));
        return Err(Error::Restricted(format!("the package would have {size}, and the portal accepts up to {most}")));
    }
    Ok(())
}

/// An extension without what people write in front of it.
fn bare(end: &str) -> String {
    end.trim().trim_start_matches(['*', '.']).to_lowercase()
}

fn over(value: u64, most: u64) -> bool {
    most > 0 && value > most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_taken_or_those_not() {
        let mut portal = Restrictions {
            file_type_restriction_enabled: true,
            file_types: vec![".mov".into(), "MXF".into(), "tar.gz".into(), ".".into()],
            ..Restrictions::default()
        };
        for name in ["a.MOV", "b.mxf", "c.tar.gz"] {
            assert!(check_file(&portal, name, 1).is_ok(), "{name}");
        }
        for name in ["a.exe", "mov", "b.", "c.gz"] {
            assert!(check_file(&portal, name, 1).is_err(), "{name}");
        }
        let said = check_file(&portal, "README.md", 1).unwrap_err().to_string();
        assert_eq!(said, "the portal does not accept \"README.md\", only .mov, .mxf, .tar.gz, .");
        assert_eq!(limits(&portal).types, ["mov", "mxf", "tar.gz"]);
        portal.file_type_restriction_exclude = true;
        assert!(check_file(&portal, "a.mov", 1).is_err() && check_file(&portal, "a.exe", 1).is_ok());
        portal.file_type_restriction_enabled = false;
        assert!(check_file(&portal, "a.mov", 1).is_ok());
    }

    #[test]
    fn sizes_are_bounded_only_when_enabled_and_not_zero() {
        let mut portal =
            Restrictions { max_file_count: 2, max_file_size: 10, max_package_size: 15, ..Restrictions::default() };
        assert!(check_file(&portal, "a", 11).is_ok() && check_package(&portal, 3, 99).is_ok());
        portal.package_size_restriction_enabled = true;
        assert!(check_file(&portal, "a", 10).is_ok() && check_file(&portal, "a", 11).is_err());
        assert!(check_package(&portal, 2, 15).is_ok());
        assert!(check_package(&portal, 3, 1).is_err() && check_package(&portal, 1, 16).is_err());
        portal.max_package_size = 0;
        assert!(check_package(&portal, 1, 16).is_ok());
    }
}
