//! Expands the given paths into files to send.
//!
//! **In**: absolute paths of files and folders, or patterns for them ([`patterns`]). **Out**: [`Expanded`], or all errors.
//!
//! A file goes to the root of the package, a folder keeps its own name. Links are not followed, except in the named path itself,
//! and there only now: each file is remembered beneath the allowed root that it was found below, or by its real path, and is
//! not sent if a link is in that by then. Names that systems leave in folders are passed over.

mod patterns;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use self::patterns::PathPattern;
use super::error::ApiError;
use crate::model::SourceFile;
use masv_platform::{Entry, EntryKind, Folder, FolderError, OwnPlaces, PathBeneath, RealPlaces};
use masv_protocol::PackagePath;

/// The maximum depth; each level holds a descriptor open.
const DEEPEST: usize = 200;
/// The error for a file that whoever may write below an allowed root may have put there without being able to read it.
const PLANTED: &str = "it has several names (hard links), and whoever may write to its folder may have made one of a file that is not \
     theirs: this is not sent where --allow-root limits what may be";
/// The error for the agent's own files.
const OWN: &str = "it belongs to the agent itself: its state, rules, settings or a key";

/// What the paths are.
#[derive(Debug)]
pub(super) struct Expanded {
    /// The files, in the order of the paths.
    pub files: Vec<SourceFile>,
    /// The name of the first file or folder among the paths, if it has one.
    pub first: Option<String>,
}

/// Finds the files below `paths`, on a thread that may block.
///
/// # Errors
/// One that names every bad path, and why; a pattern without matches is one.
pub(super) async fn expand(
    paths: Vec<PathBuf>,
    exclude: Vec<String>,
    roots: std::sync::Arc<[PathBuf]>,
    own: OwnPlaces,
) -> Result<Expanded, ApiError> {
    let walk =
        tokio::task::spawn_blocking(move || expand_now(&paths, &exclude, &Allowed { roots: &roots, own: own.ask() }))
            .await;
    walk.map_err(|error| ApiError::bad(format!("the paths cannot be read: {error}")))?
}

/// What may be sent.
struct Allowed<'a> {
    /// The allowed folders; empty for all.
    roots: &'a [PathBuf],
    /// The agent's own files, which may not.
    own: RealPlaces,
}

fn expand_now(paths: &[PathBuf], exclude: &[String], allowed: &Allowed<'_>) -> Result<Expanded, ApiError> {
    let mut taking = Taking { exclude: &globs(exclude)?, allowed, files: Vec::new(), first: None };
    let mut problems = BTreeMap::new();
    if paths.is_empty() {
        problems.insert("paths".to_owned(), "give at least one file or folder".to_owned());
    }
    for path in paths {
        if let Err(problem) = taking.path(path) {
            problems.insert(path.display().to_string(), problem);
        }
    }
    if !problems.is_empty() {
        return Err(ApiError::fields(problems));
    }
    if taking.files.is_empty() {
        return Err(ApiError::bad("these paths contain no files").hint("an upload needs at least one file"));
    }
    Ok(Expanded { files: taking.files, first: taking.first })
}

fn globs(patterns: &[String]) -> Result<GlobSet, ApiError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        // A pattern without a slash matches names at any depth.
        let anywhere = if pattern.contains('/') { pattern.clone() } else { format!("**/{pattern}") };
        let glob = GlobBuilder::new(&anywhere).literal_separator(true).build();
        set.add(glob.map_err(|error| ApiError::bad(format!("the pattern {pattern:?} is not valid: {error}")))?);
    }
    set.build().map_err(|error| ApiError::bad(error.to_string()))
}

/// The paths accepted so far.
struct Taking<'a> {
    exclude: &'a GlobSet,
    allowed: &'a Allowed<'a>,
    files: Vec<SourceFile>,
    first: Option<String>,
}

impl Taking<'_> {
    /// Adds a file or a folder, or what matches a pattern.
    fn path(&mut self, path: &Path) -> Result<(), String> {
        if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
            return Err("the path must be absolute, without `..`".to_owned());
        }
        match PathPattern::read(path)? {
            Some(pattern) => self.pattern(&pattern),
            None => self.literal(path),
        }
    }

    fn literal(&mut self, path: &Path) -> Result<(), String> {
        let (real, place) = self.allowed.find(path)?;
        let top = path.file_name().map(Path::new).and_then(PackagePath::from_relative);
        let root = Folder::open(place.root()).map_err(|error| error.to_string())?;
        match root.open_file(place.relative()) {
            Ok((_, entry)) if self.allowed.own.are(&entry.identity) => return Err(OWN.to_owned()),
            Ok((_, entry)) if self.allowed.refuses_links() && place.may_be_planted(&entry).unwrap_or(true) => {
                return Err(PLANTED.to_owned());
            }
            Ok((_, entry)) => return self.file(place, path.file_name(), &entry),
            Err(FolderError::NotAFile { kind: EntryKind::Folder, .. }) => {}
            Err(FolderError::NotAFile { .. }) => return Err("it is neither a file nor a folder".to_owned()),
            Err(error) => return Err(std::io::Error::from(error).to_string()),
        }
        let folder = root.below(place.relative()).map_err(|error| error.to_string())?;
        self.called(path.file_name());
        self.folder(&folder, &place, &real, top.as_ref())
    }

    /// Adds what matches. What is skipped in folders is skipped here, too: nobody has named it.
    fn pattern(&mut self, pattern: &PathPattern) -> Result<(), String> {
        let at = |problem: String| format!("{}: {problem}", pattern.folder.display());
        let (real, place) = self.allowed.find(&pattern.folder).map_err(at)?;
        let root = Folder::open(place.root()).map_err(|error| error.to_string())?;
        let folder = root.below(place.relative()).map_err(|error| at(std::io::Error::from(error).to_string()))?;
        let own = &self.allowed.own;
        let pass_over = |below: &Path| {
            below.file_name().is_some_and(masv_rules::is_junk)
                || self.exclude.is_match(below)
                || own.hold(&real.join(below))
        };
        let found = pattern.find(&folder, &pass_over)?;
        if found.is_empty() {
            return Err(
                "nothing matches this pattern; hidden names are matched only by patterns that begin with a dot"
                    .to_owned(),
            );
        }
        for found in found {
            let name = found.below.file_name();
            let place = PathBeneath::new(place.root(), place.relative().join(&found.below));
            if found.entry.kind != EntryKind::Folder {
                if self.allowed.refuses_links() && place.may_be_planted(&found.entry).unwrap_or(true) {
                    return Err(format!("{}: {PLANTED}", found.below.display()));
                }
                if !own.are(&found.entry.identity) {
                    self.file(place, name, &found.entry)?;
                }
                continue;
            }
            let top = name.map(Path::new).and_then(PackagePath::from_relative);
            match folder.below(&found.below) {
                Ok(inner) => {
                    self.called(name);
                    self.folder(&inner, &place, &real.join(&found.below), top.as_ref())?;
                }
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    fn file(&mut self, place: PathBeneath, name: Option<&OsStr>, entry: &Entry) -> Result<(), String> {
        let top = name.map(Path::new).and_then(PackagePath::from_relative).ok_or("it has no name")?;
        self.called(name);
        self.files.push(source(top, place, entry));
        Ok(())
    }

    fn folder(
        &mut self,
        folder: &Folder,
        place: &PathBeneath,
        real: &Path,
        top: Option<&PackagePath>,
    ) -> Result<(), String> {
        let (exclude, own, is_limited) = (self.exclude, &self.allowed.own, self.allowed.refuses_links());
        Walk { place, real, top, exclude, own, is_limited, files: &mut self.files }.folder(folder, Path::new(""), 0)
    }

    fn called(&mut self, name: Option<&OsStr>) {
        if self.first.is_none() {
            self.first = name.map(|name| name.to_string_lossy().into_owned());
        }
    }
}

impl Allowed<'_> {
    /// Whether files are refused that may have been planted: callers may send what is below the roots, and nothing else.
    fn refuses_links(&self) -> bool {
        !self.roots.is_empty()
    }

    /// The real path of a given path, and its position beneath what may be sent.
    fn find(&self, path: &Path) -> Result<(PathBuf, PathBeneath), String> {
        let real = path.canonicalize().map_err(|error| error.to_string())?;
        if self.own.hold(&real) {
            return Err(OWN.to_owned());
        }
        let place = match self.roots.iter().find_map(|root| PathBeneath::within(root, &real)) {
            Some(place) => place,
            None if self.roots.is_empty() => PathBeneath::without_links(&real),
            None => {
                return Err("it is outside the folders from which this agent may upload (--allow-root)".to_owned());
            }
        };
        Ok((real, place))
    }
}

fn source(path: PackagePath, source: PathBeneath, entry: &Entry) -> SourceFile {
    SourceFile {
        path,
        source,
        identity: entry.identity,
        owner: Some(entry.owner),
        claim: None,
        verified: None,
        guard: None,
    }
}

/// A given folder, and what is found in it.
struct Walk<'a> {
    place: &'a PathBeneath,
    /// Its real path.
    real: &'a Path,
    /// Its own name.
    top: Option<&'a PackagePath>,
    exclude: &'a GlobSet,
    own: &'a RealPlaces,
    /// Whether only what is below the allowed roots may be sent.
    is_limited: bool,
    files: &'a mut Vec<SourceFile>,
}

impl Walk<'_> {
    /// Collects the content of an open folder, at `below` under the given one.
    fn folder(&mut self, folder: &Folder, below: &Path, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("{} is nested more than {DEEPEST} folders deep", folder.path().display()));
        }
        let names = folder.list().and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut names = names.map_err(|error| error.to_string())?;
        names.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, _) in names {
            let below = below.join(&name);
            if masv_rules::is_junk(&name) || self.exclude.is_match(&below) || self.own.hold(&self.real.join(&below)) {
                continue;
            }
            let name = Path::new(&name);
            let entry = match folder.look(name) {
                Ok(entry) => entry,
                Err(error) if error.is_gone() => continue,
                Err(error) => return Err(error.to_string()),
            };
            match entry.kind {
                EntryKind::File if self.own.are(&entry.identity) => {}
                EntryKind::File if self.is_limited && folder.may_be_planted(&entry).unwrap_or(true) => {
                    return Err(format!("{}: {PLANTED}", below.display()));
                }
                EntryKind::File => self.file(&below, &entry),
                EntryKind::Folder => match folder.below(name) {
                    Ok(inner) => self.folder(&inner, &below, depth + 1)?,
                    Err(error) if error.is_gone() => {}
                    Err(error) => return Err(error.to_string()),
                },
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, below: &Path, entry: &Entry) {
        let Some(path) = PackagePath::from_relative(below) else { return };
        let path = self.top.map_or_else(|| path.clone(), |top| path.below(top));
        let place = PathBeneath::new(self.place.root(), self.place.relative().join(below));
        self.files.push(source(path, place, entry));
    }
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

    fn all(roots: &[PathBuf]) -> Allowed<'_> {
        Allowed { roots, own: RealPlaces::default() }
    }

    fn names(expanded: &Expanded) -> Vec<&str> {
        expanded.files.iter().map(|file| file.path.as_str()).collect()
    }

    #[test]
    fn a_folder_keeps_its_name_and_links_and_litter_are_left() {
        let folder = tree();
        let files = expand_now(&[folder.path().join("card")], &["*.tmp".to_owned()], &all(&[])).unwrap();
        assert_eq!(names(&files), ["card/A001.mov", "card/deep/B.wav"]);
    }

    #[test]
    fn every_bad_path_is_named_at_once() {
        let folder = tree();
        let paths = [folder.path().join("none"), "relative".into(), folder.path().join("card/../other")];
        let error = format!("{:?}", expand_now(&paths, &[], &all(&[])).unwrap_err());
        for part in ["none", "No such file", "relative", "absolute", "card/../other"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    /// Case: a link below an allowed root that leads out of it is refused.
    #[test]
    fn nothing_outside_the_allowed_roots_is_taken_not_even_by_a_link() {
        let folder = tree();
        let root = folder.path().canonicalize().unwrap().join("other");
        let door = root.join("door");
        std::os::unix::fs::symlink(folder.path().join("card"), &door).unwrap();
        assert!(expand_now(&[root.join("A001.mov")], &[], &all(std::slice::from_ref(&root))).is_ok());
        assert!(expand_now(&[door], &[], &all(&[root])).is_err());
    }

    /// Those who may start uploads must not get the agent's rules, keys and state.
    #[test]
    fn the_agent_s_own_files_are_never_taken_whatever_leads_to_them() {
        let folder = tree();
        std::fs::hard_link(folder.path().join("other/A001.mov"), folder.path().join("card/second-name")).unwrap();
        let own = OwnPlaces::new(vec![folder.path().join("card/deep"), folder.path().join("other/A001.mov")]);
        let allowed = Allowed { roots: &[], own: own.ask() };
        let files = expand_now(&[folder.path().join("card")], &[], &allowed).unwrap();
        assert_eq!(names(&files), ["card/A001.mov", "card/x.tmp"]);
        for path in ["card/deep", "card/deep/B.wav", "other/A001.mov", "card/second-name"] {
            let error = expand_now(&[folder.path().join(path)], &[], &allowed).unwrap_err();
            assert!(format!("{error:?}").contains("belongs to the agent"), "{path}");
        }
    }

    /// A file found below an allowed root is opened below it, without following links, when it is sent.
    #[test]
    fn each_file_is_remembered_beneath_the_folder_that_was_checked() {
        let folder = tree();
        let root = folder.path().canonicalize().unwrap();
        std::os::unix::fs::symlink("card", root.join("alias")).unwrap();
        let files = expand_now(&[root.join("alias")], &[], &all(std::slice::from_ref(&root))).unwrap().files;
        assert_eq!(files[0].source, PathBeneath::new(&*root, "card/A001.mov"));
        assert_eq!(files[0].path.as_str(), "alias/A001.mov");
        let files = expand_now(&[root.join("alias/A001.mov")], &[], &all(&[])).unwrap().files;
        assert_eq!(files[0].source, PathBeneath::without_links(&root.join("card/A001.mov")));
    }

    /// A pattern is one path: files go to the root of the package, folders keep their names, litter and what is left out is left.
    #[test]
    fn what_matches_a_pattern_is_taken_as_if_it_were_named() {
        let folder = tree();
        let at = |pattern: &str| expand_now(&[folder.path().join(pattern)], &["*.tmp".to_owned()], &all(&[]));
        let card = at("card/*").unwrap();
        assert_eq!(names(&card), ["A001.mov", "deep/B.wav"]);
        assert_eq!(card.first.as_deref(), Some("A001.mov"), "the name of the package is not `*`");
        assert_eq!(names(&at("*/A*.mov").unwrap()), ["A001.mov", "A001.mov"]);
        assert_eq!(names(&at("c*").unwrap()), ["card/A001.mov", "card/deep/B.wav"]);
        for (wrong, said) in
            [("card/*.mxf", "nothing matches"), ("card/*.tmp", "nothing matches"), ("none/*", "none: No such")]
        {
            let error = format!("{:?}", at(wrong).unwrap_err());
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_pattern_takes_nothing_outside_the_allowed_roots_and_nothing_of_the_agent() {
        let folder = tree();
        let root = folder.path().canonicalize().unwrap();
        let other = root.join("other");
        std::os::unix::fs::symlink(root.join("card"), other.join("door")).unwrap();
        let within = |pattern: &str| expand_now(&[root.join(pattern)], &[], &all(std::slice::from_ref(&other)));
        assert_eq!(names(&within("other/*").unwrap()), ["A001.mov"], "the link is not followed");
        // Whether something matches outside is not told either.
        for outside in ["card/A*", "card/none*", "*/A001.mov", "other/door/*"] {
            let error = format!("{:?}", within(outside).unwrap_err());
            assert!(error.contains("--allow-root"), "{outside}: {error}");
        }
        let own = OwnPlaces::new(vec![root.join("card/deep"), root.join("other/A001.mov")]);
        let allowed = Allowed { roots: &[], own: own.ask() };
        let files = expand_now(&[root.join("*/*")], &[], &allowed).unwrap();
        assert_eq!(names(&files), ["A001.mov", "x.tmp"]);
        assert!(expand_now(&[root.join("card/deep/*")], &[], &allowed).is_err());
    }
}
