//! What a portal takes: kinds and sizes of files, sizes of packages.

use masv_protocol::Restrictions;

use super::Error;
use crate::format;

/// What a portal takes, for people; empty when it takes everything.
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

/// Refuses a file that the portal does not take.
pub(super) fn check_file(taken: &Restrictions, name: &str, size: u64) -> Result<(), Error> {
    if taken.file_type_restriction_enabled {
        let name = name.to_lowercase();
        let listed = taken.file_types.iter().any(|end| {
            let end = bare(end);
            !end.is_empty() && name.ends_with(&format!(".{end}"))
        });
        if listed == taken.file_type_restriction_exclude {
            return Err(Error::Restricted(format!("the portal does not take files like {name:?}")));
        }
    }
    if taken.package_size_restriction_enabled && over(size, taken.max_file_size) {
        return Err(Error::Restricted(format!("the portal takes files up to {} bytes", taken.max_file_size)));
    }
    Ok(())
}

/// Refuses a package that has grown beyond what the portal takes.
pub(super) fn check_package(taken: &Restrictions, files: u64, size: u64) -> Result<(), Error> {
    if !taken.package_size_restriction_enabled {
        return Ok(());
    }
    if over(files, taken.max_file_count) {
        return Err(Error::Restricted(format!("the portal takes up to {} files at a time", taken.max_file_count)));
    }
    if over(size, taken.max_package_size) {
        return Err(Error::Restricted(format!("the portal takes packages up to {} bytes", taken.max_package_size)));
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
