//! Comparing a folder with all the checksum lists in it.
//!
//! **In**: a folder, and lists that are named. **Out**: which files are what the lists say, which are not, which are missing, which no
//! list names. Blocks; reads every listed file once.
//!
//! **Guarantees.** A list that is not understood is reported, and so is a folder without any list: nothing counts as verified because of what
//! is not known. Symbolic links are not followed, and nothing outside the folder is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use masv_platform::PathBeneath;
use masv_rules::composed;
use walkdir::WalkDir;

use super::checksum::{Algorithm, Checksum, Kind};
use super::measure::Digests;
use super::reader::{CHANGED, digests, read};
use super::{ASC_FOLDER, Listed, effective, history_of, parse};

/// Endings of lists, beside the names of the algorithms.
const ENDS: [&str; 3] = ["mhl", "sfv", "xxh"];

/// What is wrong with a file or a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A list that is not understood or cannot be read, and why.
    List(String),
    /// A listed file that is not there.
    Missing,
    /// A file that is not what a list says, and how.
    Different(String),
    /// A file that could not be compared, and why.
    NotCompared(String),
}

/// The outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The lists that were read, relative to the folder.
    pub lists: Vec<PathBuf>,
    /// Files that are what every list says that names them.
    pub verified: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong, by path.
    pub faults: Vec<(PathBuf, Fault)>,
    /// Files that no list names, but for the lists themselves.
    pub unlisted: Vec<PathBuf>,
}

impl Comparison {
    /// Whether everything that is listed is right, and something is.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.faults.is_empty() && self.verified > 0
    }
}

/// Whether that is the name of a list, by its ending or as `SHA256SUMS` and `manifest-md5.txt` are.
#[must_use]
pub fn is_list(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let end = name.rsplit_once('.').map(|(_, end)| end);
    if end.is_some_and(|end| ENDS.contains(&end) || Algorithm::named(end).is_some()) {
        return true;
    }
    let stem = name.strip_suffix(".txt").unwrap_or(&name);
    let sums = stem.strip_suffix("sums").or_else(|| stem.strip_suffix("sum")).unwrap_or_default();
    let bagit = stem.strip_prefix("tagmanifest-").or_else(|| stem.strip_prefix("manifest-")).unwrap_or_default();
    [sums, bagit].into_iter().any(|word| Algorithm::named(word.trim_end_matches(['-', '_', '.'])).is_some())
}

/// Compares the folder with its lists, and with those that `more` names, relative to it. `told` gets every file as it is read.
///
/// # Errors
/// Those of listing the folder.
pub fn compare(folder: &Path, more: &[PathBuf], told: &mut dyn FnMut(&Path)) -> std::io::Result<Comparison> {
    let mut found = BTreeMap::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry?;
        if entry.file_type().is_file()
            && let Ok(relative) = entry.path().strip_prefix(folder)
        {
            found.insert(composed(relative).into_owned(), relative.to_owned());
        }
    }
    let mut outcome = Comparison::default();
    let places: BTreeSet<PathBuf> = found.values().filter(|path| is_list(path)).chain(more).cloned().collect();
    let listed = read_lists(folder, &places, &mut outcome);
    let mut required: BTreeMap<PathBuf, Vec<Listed>> = BTreeMap::new();
    for file in listed {
        required.entry(composed(&file.path).into_owned()).or_default().push(file);
    }
    for (path, files) in &required {
        let Some(place) = found.get(path) else {
            outcome.faults.push((path.clone(), Fault::Missing));
            continue;
        };
        told(place);
        match compare_file(folder, place, files) {
            Ok(bytes) => {
                outcome.verified += 1;
                outcome.bytes += bytes;
            }
            Err(fault) => outcome.faults.push((place.clone(), fault)),
        }
    }
    let is_own =
        |path: &Path| places.contains(path) || path.parent().is_some_and(|folder| folder.ends_with(ASC_FOLDER));
    let unlisted = found.iter().filter(|(key, path)| !required.contains_key(*key) && !is_own(path));
    outcome.unlisted = unlisted.map(|(_, path)| path.clone()).collect();
    Ok(outcome)
}

/// What all lists ask for together; those of a history with the knowledge of the later ones.
fn read_lists(folder: &Path, places: &BTreeSet<PathBuf>, outcome: &mut Comparison) -> Vec<Listed> {
    let mut histories: BTreeMap<Option<PathBuf>, Vec<Vec<Listed>>> = BTreeMap::new();
    for place in places {
        let content = read(&PathBeneath::new(folder, place)).and_then(|read| {
            let (_, bytes) = read.ok_or_else(|| CHANGED.to_owned())?;
            parse(place, &bytes)
        });
        match content {
            Ok(files) => {
                outcome.lists.push(place.clone());
                histories.entry(history_of(place).map(Path::to_owned)).or_default().push(files);
            }
            Err(why) => outcome.faults.push((place.clone(), Fault::List(why))),
        }
    }
    let mut all = Vec::new();
    for (history, lists) in histories {
        match history {
            None => all.extend(lists.into_iter().flatten()),
            Some(_) => {
                let generations: Vec<&[Listed]> = lists.iter().map(Vec::as_slice).collect();
                all.extend(effective(&generations).into_iter().flatten());
            }
        }
    }
    all
}

/// Reads a file once and compares it with everything that is said about it; returns its size.
fn compare_file(folder: &Path, place: &Path, files: &[Listed]) -> Result<u64, Fault> {
    if let Some(when) = files.iter().find_map(|file| file.failed.as_ref()) {
        return Err(Fault::Different(format!("a list says that its verification failed at {when}")));
    }
    if let Some(kind) = files.iter().flat_map(|file| &file.unknown).next() {
        return Err(Fault::NotCompared(format!("checksums of the kind {kind} are not supported")));
    }
    let checksums: Vec<&Checksum> = files.iter().flat_map(|file| &file.checksums).collect();
    if checksums.is_empty() {
        return Err(Fault::NotCompared("the list has no checksum of it".to_owned()));
    }
    let wanted: BTreeSet<Algorithm> =
        checksums.iter().flat_map(|checksum| checksum.algorithms.iter().copied()).collect();
    let measured = digests(&PathBeneath::new(folder, place), &wanted);
    let (identity, digests) = measured
        .map_err(|error| Fault::NotCompared(error.to_string()))?
        .ok_or_else(|| Fault::NotCompared("it changed while it was read".to_owned()))?;
    if let Some(size) = files.iter().filter_map(|file| file.size).find(|size| *size != identity.size) {
        return Err(Fault::Different(format!("{} bytes instead of {size}", identity.size)));
    }
    match checksums.into_iter().find(|checksum| !is_right(checksum, &digests)) {
        None => Ok(identity.size),
        Some(wrong) => {
            let name = wrong.algorithms.first().map_or("checksum", |algorithm| algorithm.name());
            let name = if wrong.kind == Kind::Guessed { "checksum" } else { name };
            Err(Fault::Different(format!("another {name} than {}", hex::encode(&wrong.digest))))
        }
    }
}

fn is_right(checksum: &Checksum, digests: &Digests) -> bool {
    let is = |algorithm: &Algorithm| digests.get(algorithm).is_some_and(|digest| checksum.is(*algorithm, digest));
    checksum.algorithms.iter().any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        folder
    }

    fn compared(folder: &tempfile::TempDir) -> Comparison {
        compare(folder.path(), &[], &mut |_| {}).unwrap()
    }

    const HELLO: &str = "5d41402abc4b2a76b9719d911017c592";

    /// Right, wrong, missing, unlisted: each is told, and only all right is right.
    #[test]
    fn a_folder_is_right_when_everything_listed_is_there_and_what_its_lists_say() {
        let list = format!("{HELLO}  a/x.mov\n{HELLO} *y.mov\n");
        let right = folder(&[("a/x.mov", "hello"), ("y.mov", "hello"), ("card.md5", &list), ("z.txt", "")]);
        let outcome = compared(&right);
        assert!(outcome.is_right() && outcome.verified == 2 && outcome.bytes == 10, "{outcome:?}");
        assert_eq!((outcome.lists.len(), outcome.unlisted), (1, vec![PathBuf::from("z.txt")]));
        let wrong = folder(&[("a/x.mov", "hellO"), ("card.md5", &list)]);
        let outcome = compared(&wrong);
        assert!(!outcome.is_right());
        assert!(
            matches!(&outcome.faults[..], [(_, Fault::Different(how)), (path, Fault::Missing)]
            if how.contains("another MD5 than 5d41") && path == Path::new("y.mov")),
            "{outcome:?}"
        );
    }

    /// What is not understood proves nothing: neither a list that ends in the middle nor a folder without one.
    #[test]
    fn nothing_is_right_without_a_list_that_is_understood() {
        assert!(!compared(&folder(&[("a.mov", "hello")])).is_right());
        let cut = folder(&[("a.mov", "hello"), ("c.mhl", "<hashlist version=\"1.1\"><hash><file>a.mov</file>")]);
        let outcome = compared(&cut);
        assert!(!outcome.is_right() && matches!(outcome.faults[0].1, Fault::List(_)), "{outcome:?}");
        let sha3 = folder(&[("a.mov", "hello"), ("b.md5", &format!("SHA3-256 (a.mov) = {}\n", "ab".repeat(32)))]);
        assert!(!compared(&sha3).is_right(), "{:?}", compared(&sha3));
    }

    /// A list may be named as people name them, and lead nowhere else.
    #[test]
    fn lists_are_known_by_name_and_lead_nowhere_else() {
        for name in ["a.md5", "b.MHL", "SHA256SUMS", "md5sum.txt", "manifest-sha512.txt", "c.xxh128", "d.sfv", "e.b3"] {
            assert!(is_list(Path::new(name)), "{name}");
        }
        for name in ["a.mov", "readme.txt", "sums", "manifest.txt", "md5", "ascmhl_chain.xml"] {
            assert!(!is_list(Path::new(name)), "{name}");
        }
        let outside = folder(&[("d/card.md5", &format!("{HELLO}  ../x.mov\n")), ("x.mov", "hello")]);
        let outcome = compare(&outside.path().join("d"), &[], &mut |_| {}).unwrap();
        assert!(matches!(outcome.faults[0].1, Fault::List(_)), "{outcome:?}");
    }
}
