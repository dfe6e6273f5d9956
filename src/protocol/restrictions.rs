//! What a portal accepts: kinds and sizes of files, sizes of packages. Documented by the service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient;

/// A portal's restrictions. Those that are not enabled have no effect; a limit of 0 is unlimited. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Restrictions {
    /// Whether only some types of files are accepted.
    #[serde(deserialize_with = "lenient::field")]
    pub file_type_restriction_enabled: bool,
    /// Whether the listed types are rejected instead of accepted.
    #[serde(deserialize_with = "lenient::field")]
    pub file_type_restriction_exclude: bool,
    /// Extensions of file names, with or without their dot.
    #[serde(deserialize_with = "lenient::field")]
    pub file_types: Vec<String>,
    /// Whether sizes and numbers are limited.
    #[serde(deserialize_with = "lenient::field")]
    pub package_size_restriction_enabled: bool,
    /// The maximum number of files of a package.
    #[serde(deserialize_with = "lenient::field")]
    pub max_file_count: u64,
    /// The largest file.
    #[serde(deserialize_with = "lenient::field")]
    pub max_file_size: u64,
    /// The largest package.
    #[serde(deserialize_with = "lenient::field")]
    pub max_package_size: u64,
}

/// Changes to a portal's [`Restrictions`]; omitted fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RestrictionSettings {
    /// Whether only some types of files are accepted.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub file_type_restriction_enabled: Option<bool>,
    /// Whether the listed types are rejected instead of accepted.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub file_type_restriction_exclude: Option<bool>,
    /// Extensions of file names, with or without their dot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_types: Option<Vec<String>>,
    /// Whether sizes and numbers are limited.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub package_size_restriction_enabled: Option<bool>,
    /// The maximum number of files of a package.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub max_file_count: Option<u64>,
    /// The largest file, bytes.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub max_file_size: Option<u64>,
    /// The largest package, bytes.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub max_package_size: Option<u64>,
}

impl RestrictionSettings {
    /// Applies the given fields to `restrictions`.
    pub fn apply(self, restrictions: &mut Restrictions) {
        fn set<T>(known: &mut T, given: Option<T>) {
            if let Some(given) = given {
                *known = given;
            }
        }
        set(&mut restrictions.file_type_restriction_enabled, self.file_type_restriction_enabled);
        set(&mut restrictions.file_type_restriction_exclude, self.file_type_restriction_exclude);
        set(&mut restrictions.file_types, self.file_types);
        set(&mut restrictions.package_size_restriction_enabled, self.package_size_restriction_enabled);
        set(&mut restrictions.max_file_count, self.max_file_count);
        set(&mut restrictions.max_file_size, self.max_file_size);
        set(&mut restrictions.max_package_size, self.max_package_size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_in_many_spellings_and_change_what_they_name() {
        let mut restrictions = Restrictions { max_package_size: 7, ..Restrictions::default() };
        let text = r#"{"file_type_restriction_enabled":"true","max_file_size":"12","max_file_count":null,"other":1}"#;
        serde_json::from_str::<RestrictionSettings>(text).unwrap().apply(&mut restrictions);
        assert!(restrictions.file_type_restriction_enabled);
        let sizes = (restrictions.max_file_size, restrictions.max_file_count, restrictions.max_package_size);
        assert_eq!(sizes, (12, 0, 7));
    }
}
