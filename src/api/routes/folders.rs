//! The folders of the agent's machine, for those who choose what to send or to watch.
//!
//! **In**: the path of a folder, or nothing. **Out**: its files and folders; for nothing, the folders to begin at.
//!
//! **Guarantees.** Nothing outside the allowed roots is listed, and whether something is there is not told either. The folder is
//! reached from its root by descriptors, name by name; links are neither followed nor listed. The agent's own files are not
//! listed.

use std::path::{Component, Path, PathBuf};

use axum::Json;
use axum::extract::State as Extract;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::ApiState;
use super::super::error::ApiError;
use super::super::types::{FolderEntry, FolderListing};
use super::Query;
use super::transfers::Answer;
use masv_platform::{Entry, EntryKind, Folder, OwnPlaces, PathBeneath};
use masv_rules::{Environment, SystemEnvironment};

/// The most entries listed at once.
const MOST: usize = 1_000;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Browsing {
    /// The absolute path of the folder; without it, the folders to begin at are listed.
    #[schemars(with = "Option<String>")]
    path: Option<PathBuf>,
    /// Only entries whose name contains this, ignoring case.
    #[serde(default)]
    search: String,
}

pub(super) async fn list(Extract(state): Extract<ApiState>, Query(browsing): Query<Browsing>) -> Answer<FolderListing> {
    let Some(path) = browsing.path else {
        let watched = state.watcher.rules().rules.iter().map(|rule| rule.watch.clone()).collect();
        return Ok(Json(places(&state.allowed_roots, watched)));
    };
    let (roots, own) = (state.allowed_roots.clone(), state.own.clone());
    let listed = tokio::task::spawn_blocking(move || content(&path, &browsing.search, &roots, &own)).await;
    let listed = listed.unwrap_or_else(|error| Err(error.to_string()));
    listed.map(Json).map_err(|problem| ApiError::fields([("path".to_owned(), problem)].into()))
}

/// The folders to begin at: the allowed roots; if everything is allowed, the home folder, the watched folders and the root.
fn places(roots: &[PathBuf], watched: Vec<PathBuf>) -> FolderListing {
    let mut folders: Vec<PathBuf> = roots.to_vec();
    if roots.is_empty() {
        folders.extend(SystemEnvironment.home().filter(|home| home.is_absolute()));
        folders.extend(watched.into_iter().filter(|folder| folder.is_dir()));
        folders.push(PathBuf::from("/"));
    }
    let mut entries: Vec<FolderEntry> = Vec::new();
    for folder in folders {
        let Some(path) = folder.to_str().map(str::to_owned) else { continue };
        if entries.iter().all(|known| known.path != path) {
            entries.push(FolderEntry { name: path.clone(), path, folder: true, size: None, modified_at: None });
        }
    }
    FolderListing { path: None, parent: None, entries, more: 0, skipped: 0 }
}

/// Reads a folder. Blocks.
fn content(path: &Path, search: &str, roots: &[PathBuf], own: &OwnPlaces) -> Result<FolderListing, String> {
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err("the path must be absolute, without `..`".to_owned());
    }
    let outside = || "it is outside the folders that this agent may read (--allow-root)".to_owned();
    let known = roots.is_empty() || roots.iter().any(|root| path.starts_with(root));
    let real = path.canonicalize().map_err(|error| if known { error.to_string() } else { outside() })?;
    let place = match roots.iter().find_map(|root| PathBeneath::within(root, &real)) {
        Some(place) => place,
        None if roots.is_empty() => PathBeneath::without_links(&real),
        None => return Err(outside()),
    };
    let own = own.ask();
    if own.hold(&real) {
        return Err("it belongs to the agent itself".to_owned());
    }
    let shown = real.to_str().ok_or("its name is not valid UTF-8")?.to_owned();
    let root = Folder::open(place.root()).map_err(|error| error.to_string())?;
    let folder = root.below(place.relative()).map_err(|error| error.to_string())?;
    let (mut found, mut skipped) = (Vec::new(), 0);
    for name in folder.list().map_err(|error| error.to_string())? {
        let (name, kind) = name.map_err(|error| error.to_string())?;
        if masv_rules::is_junk(&name) {
            continue;
        }
        let kind = match kind {
            EntryKind::Unknown => folder.look(Path::new(&name)).map_or(EntryKind::Unknown, |entry| entry.kind),
            kind => kind,
        };
        let text = name.to_str().filter(|_| matches!(kind, EntryKind::File | EntryKind::Folder));
        match text.filter(|_| !own.hold(&real.join(&name))) {
            Some(text) => found.push((kind == EntryKind::File, text.to_lowercase(), text.to_owned())),
            None => skipped += 1,
        }
    }
    let words = search.to_lowercase();
    found.retain(|(_, lower, _)| lower.contains(&words));
    found.sort();
    let more = found.len().saturating_sub(MOST) as u64;
    let mut entries = Vec::new();
    for (file, _, name) in found.into_iter().take(MOST) {
        // What has gone since, or was exchanged for something else, is not listed.
        let Ok(entry) = folder.look(Path::new(&name)) else { continue };
        if own.are(&entry.identity) {
            skipped += 1;
        } else if entry.is_file() == file {
            entries.push(listed(name, &real, &entry));
        }
    }
    let above = real.parent().filter(|above| roots.is_empty() || roots.iter().any(|root| above.starts_with(root)));
    let parent = above.and_then(Path::to_str).map(str::to_owned);
    Ok(FolderListing { path: Some(shown), parent, entries, more, skipped })
}

fn listed(name: String, folder: &Path, entry: &Entry) -> FolderEntry {
    let modified_at = Timestamp::from_nanosecond(entry.identity.mtime_ns.into()).ok();
    FolderEntry {
        path: folder.join(&name).to_string_lossy().into_owned(),
        name,
        folder: !entry.is_file(),
        size: entry.is_file().then_some(entry.identity.size),
        modified_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listing: &FolderListing) -> Vec<&str> {
        listing.entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    #[test]
    fn folders_come_first_and_links_litter_and_the_agent_s_own_files_are_not_listed() {
        let around = tempfile::tempdir().unwrap();
        let root = around.path().canonicalize().unwrap();
        for folder in ["card", "Zoo", "data"] {
            std::fs::create_dir(root.join(folder)).unwrap();
        }
        for file in ["b.mov", "A.mov", ".DS_Store", "rules.yaml"] {
            std::fs::write(root.join(file), file).unwrap();
        }
        std::os::unix::fs::symlink("/etc", root.join("link")).unwrap();
        let own = OwnPlaces::new(vec![root.join("data"), root.join("rules.yaml")]);
        let all = content(&root, "", &[], &own).unwrap();
        assert_eq!(names(&all), ["card", "Zoo", "A.mov", "b.mov"]);
        assert_eq!((all.more, all.skipped), (0, 3));
        assert_eq!(all.entries[2].size, Some(5));
        assert_eq!(all.parent.as_deref(), root.parent().unwrap().to_str());
        assert_eq!(names(&content(&root, "a.M", &[], &own).unwrap()), ["A.mov"]);
        assert!(content(&root.join("data"), "", &[], &own).unwrap_err().contains("agent itself"));
    }

    #[test]
    fn nothing_outside_the_allowed_roots_is_listed_nor_told_to_be_there() {
        let around = tempfile::tempdir().unwrap();
        let base = around.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("root/inner")).unwrap();
        std::fs::create_dir_all(base.join("secret")).unwrap();
        std::os::unix::fs::symlink(base.join("secret"), base.join("root/door")).unwrap();
        let (roots, own) = ([base.join("root")], OwnPlaces::default());
        let look = |path: &str| content(&base.join(path), "", &roots, &own);
        assert_eq!(names(&look("root").unwrap()), ["inner"]);
        assert_eq!(look("root").unwrap().parent, None, "what is above the root is not told");
        assert_eq!(look("root/inner").unwrap().parent.as_deref(), roots[0].to_str());
        for path in ["", "secret", "none", "root/door"] {
            assert!(look(path).unwrap_err().contains("--allow-root"), "{path}");
        }
        assert!(content(Path::new("relative"), "", &roots, &own).is_err());
        assert!(content(&base.join("root/../secret"), "", &roots, &own).is_err());
        let begin = places(&roots, vec![base.join("secret")]);
        assert_eq!(names(&begin), [roots[0].to_str().unwrap()]);
    }

    #[test]
    fn a_full_folder_is_listed_in_part_and_searched_as_a_whole() {
        let around = tempfile::tempdir().unwrap();
        for number in 0..MOST + 5 {
            std::fs::write(around.path().join(format!("clip{number:05}.mov")), "").unwrap();
        }
        let own = OwnPlaces::default();
        let all = content(around.path(), "", &[], &own).unwrap();
        assert_eq!((all.entries.len(), all.more), (MOST, 5));
        assert_eq!(names(&content(around.path(), "clip01004", &[], &own).unwrap()), ["clip01004.mov"]);
    }
}
