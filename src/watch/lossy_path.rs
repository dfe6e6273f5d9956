//! Paths for people and JSON: bytes that are not valid UTF-8 become `�`, so that one odd name never breaks a response.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

/// Serializes a path; for `#[serde(serialize_with)]`.
///
/// # Errors
/// Those of the serializer.
pub fn path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    path.to_string_lossy().serialize(serializer)
}

/// Serializes paths and what is said of each; for `#[serde(serialize_with)]`.
///
/// # Errors
/// Those of the serializer.
pub fn remarks<S: Serializer>(remarks: &[(PathBuf, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(remarks.iter().map(|(path, remark)| (path.to_string_lossy(), remark)))
}
