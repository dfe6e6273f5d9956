//! Paths that somebody named become files to send.
//!
//! A file goes to the root of the package, a folder keeps its own name. Links are not followed, except where the named path itself
//! is one; names that systems leave in folders are passed over.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use walkdir::WalkDir;

use super::error::ApiError;
use crate::model::SourceFile;
use masv_platform::FileIdentity;
use masv_protocol::PackagePath;

/// Finds the files below `paths`, on a thread that may block.
///
/// # Errors
/// One that names every path that is bad, and why.
pub(super) async fn expand(
    paths: Vec<PathBuf>,
    exclude: Vec<String>,
    roots: std::sync::Arc<[PathBuf]>,
) -> Result<Vec<SourceFile>, ApiError> {
    let walk = tokio::task::spawn_blocking(move || expand_now(&paths, &exclude, &roots)).await;
    walk.map_err(|error| ApiError::bad(format!("the paths cannot be read: {error}")))?
}

fn expand_now(paths: &[PathBuf], exclude: &[String], roots: &[PathBuf]) -> Result<Vec<SourceFile>, ApiError> {
    let exclude = globs(exclude)?;
    let mut problems = BTreeMap::new();
    let mut files = Vec::new();
    if paths.is_empty() {
        problems.insert("paths".to_owned(), "name at least one file or folder".to_owned());
    }
    for path in paths {
        if let Err(problem) = take(path, &exclude, roots, &mut files) {
            problems.insert(path.display().to_string(), problem);
        }
    }
    if !problems.is_empty() {
        return Err(ApiError::fields(problems));
    }
    if files.is_empty() {
        return Err(ApiError::bad("there is no file in these paths").hint("an upload needs at least one file"));
    }
    Ok(files)
}

fn globs(patterns: &[String]) -> Result<GlobSet, ApiError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        // Without a slash a pattern is about the name, at any depth.
        let anywhere = if pattern.contains('/') { pattern.clone() } else { format!("**/{pattern}") };
        let glob = GlobBuilder::new(&anywhere).literal_separator(true).build();
        set.add(glob.map_err(|error| ApiError::bad(format!("the pattern {pattern:?} is wrong: {error}")))?);
    }
    set.build().map_err(|error| ApiError::bad(error.to_string()))
}

fn take(path: &Path, exclude: &GlobSet, roots: &[PathBuf], files: &mut Vec<SourceFile>) -> Result<(), String> {
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err("the path must be absolute, without `..`".to_owned());
    }
    let real = path.canonicalize().map_err(|error| error.to_string())?;
    if !roots.is_empty() && !roots.iter().any(|root| real.starts_with(root)) {
        return Err("it is outside of the folders that this agent may upload from (--allow-root)".to_owned());
    }
    let metadata = real.metadata().map_err(|error| error.to_string())?;
    let name = path.file_name().map(Path::new);
    if metadata.is_file() {
        std::fs::File::open(&real).map_err(|error| error.to_string())?;
        let package_path = name.and_then(PackagePath::from_relative).ok_or("it has no name")?;
        files.push(SourceFile { path: package_path, source: real, identity: FileIdentity::of(&metadata), claim: None });
        return Ok(());
    }
    if !metadata.is_dir() {
        return Err("it is neither a file nor a folder".to_owned());
    }
    let top = name.and_then(PackagePath::from_relative);
    let walk = WalkDir::new(&real).min_depth(1).sort_by_file_name().into_iter();
    let wanted = |entry: &walkdir::DirEntry| {
        let relative = entry.path().strip_prefix(&real).unwrap_or(entry.path());
        !masv_rules::is_junk(entry.file_name()) && !exclude.is_match(relative)
    };
    for entry in walk.filter_entry(wanted) {
        let entry = entry.map_err(|error| error.to_string())?;
        if !entry.file_type().is_file() {
            continue;
        }
        let metadata = entry.metadata().map_err(|error| error.to_string())?;
        let relative = entry.path().strip_prefix(&real).unwrap_or(entry.path());
        let Some(below) = PackagePath::from_relative(relative) else { continue };
        let package_path = top.as_ref().map_or_else(|| below.clone(), |top| below.below(top));
        let identity = FileIdentity::of(&metadata);
        files.push(SourceFile { path: package_path, source: entry.into_path(), identity, claim: None });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["card/A001.mov", "card/deep/B.wav", "card/.DS_Store", "card/x.tmp", "other/A001.mov"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("card/link")).unwrap();
        folder
    }

    fn names(files: &[SourceFile]) -> Vec<&str> {
        files.iter().map(|file| file.path.as_str()).collect()
    }

    #[test]
    fn a_folder_keeps_its_name_and_links_and_litter_are_left() {
        let folder = tree();
        let files = expand_now(&[folder.path().join("card")], &["*.tmp".to_owned()], &[]).unwrap();
        assert_eq!(names(&files), ["card/A001.mov", "card/deep/B.wav"]);
    }

    #[test]
    fn every_bad_path_is_named_at_once() {
        let folder = tree();
        let paths = [folder.path().join("none"), "relative".into(), folder.path().join("card/../other")];
        let error = format!("{:?}", expand_now(&paths, &[], &[]).unwrap_err());
        for part in ["none", "No such file", "relative", "absolute", "card/../other"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn nothing_outside_the_allowed_roots_is_taken_not_even_by_a_link() {
        let folder = tree();
        let root = folder.path().canonicalize().unwrap().join("other");
        let door = root.join("door");
        std::os::unix::fs::symlink(folder.path().join("card"), &door).unwrap();
        assert!(expand_now(&[root.join("A001.mov")], &[], std::slice::from_ref(&root)).is_ok());
        assert!(expand_now(&[door], &[], &[root]).is_err());
    }
}
