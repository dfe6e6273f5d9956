use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;
use crate::FileIdentity;

/// A folder `in` to work in, beside a folder `outside` with a secret in it.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let around = tempfile::tempdir().unwrap();
        for folder in ["in", "in/a", "in/a/b", "outside"] {
            std::fs::create_dir(around.path().join(folder)).unwrap();
        }
        std::fs::write(around.path().join("in/a/b/clip.mov"), "clip").unwrap();
        std::fs::write(around.path().join("outside/clip.mov"), "secret").unwrap();
        Self(around)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn folder(&self) -> Folder {
        Folder::open(&self.at("in")).unwrap()
    }
}

fn text(folder: &Folder, path: &str) -> Result<String> {
    let (mut file, _) = folder.open_file(Path::new(path))?;
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    Ok(text)
}

#[test]
fn a_file_is_opened_and_looked_at_beneath_the_folder() {
    let bench = Bench::new();
    let folder = bench.folder();
    assert_eq!(text(&folder, "a/b/clip.mov").unwrap(), "clip");
    assert_eq!(text(&folder.below(Path::new("a/b")).unwrap(), "clip.mov").unwrap(), "clip");
    let (_, opened) = folder.open_file(Path::new("./a/b/clip.mov")).unwrap();
    assert_eq!(folder.look(Path::new("a/b/clip.mov")).unwrap(), opened);
    assert_eq!(opened.identity, FileIdentity::of(&std::fs::metadata(bench.at("in/a/b/clip.mov")).unwrap()));
    assert!(matches!(text(&folder, "a/none"), Err(FolderError::Missing(_))));
    assert!(matches!(text(&folder, "a/b"), Err(FolderError::NotAFile { kind: EntryKind::Folder, .. })));
    assert!(matches!(text(&folder, "a/b/clip.mov/x"), Err(FolderError::NotAFolder { kind: EntryKind::File, .. })));
    let mut names: Vec<_> =
        folder.below(Path::new("a")).unwrap().list().unwrap().map(|entry| entry.unwrap().0).collect();
    names.sort();
    assert_eq!(names, ["b"]);
}

/// Case: what is read, compared or renamed below a folder is reached through no link, at the end or on the way.
#[test]
fn a_link_is_followed_neither_at_the_end_nor_on_the_way() {
    let bench = Bench::new();
    let folder = bench.folder();
    symlink(bench.at("outside/clip.mov"), bench.at("in/file")).unwrap();
    symlink(bench.at("outside"), bench.at("in/door")).unwrap();
    symlink("b", bench.at("in/a/near")).unwrap();
    for path in ["file", "door/clip.mov", "a/near/clip.mov"] {
        let error = text(&folder, path).unwrap_err();
        assert!(matches!(error, FolderError::Symlink(_)), "{path}: {error}");
        assert!(error.is_gone() && error.to_string().contains("symbolic link"), "{error}");
    }
    for path in ["door", "a/near"] {
        assert!(matches!(folder.below(Path::new(path)), Err(FolderError::Symlink(_))), "{path}");
        assert!(matches!(folder.make_below(Path::new(path)), Err(FolderError::Symlink(_))), "{path}");
        assert!(matches!(folder.make_below(&Path::new(path).join("x")), Err(FolderError::Symlink(_))), "{path}");
    }
    assert_eq!(folder.look(Path::new("door")).unwrap().kind, EntryKind::Symlink);
    assert!(matches!(folder.look(Path::new("door/clip.mov")), Err(FolderError::Symlink(_))));
    assert!(matches!(folder.create_new(OsStr::new("file"), 0o600), Err(FolderError::Taken(_))));
    assert_eq!(std::fs::read_to_string(bench.at("outside/clip.mov")).unwrap(), "secret");
    assert_eq!(std::fs::read_dir(bench.at("outside")).unwrap().count(), 1);
}

/// What was opened stays what it is, whatever takes its name.
#[test]
fn a_folder_exchanged_for_a_link_is_still_the_folder_that_was_opened() {
    let bench = Bench::new();
    let folder = bench.folder().below(Path::new("a/b")).unwrap();
    std::fs::rename(bench.at("in/a/b"), bench.at("in/away")).unwrap();
    symlink(bench.at("outside"), bench.at("in/a/b")).unwrap();
    assert_eq!(text(&folder, "clip.mov").unwrap(), "clip");
    folder.remove_file(OsStr::new("clip.mov")).unwrap();
    folder.create_new(OsStr::new("new"), 0o600).unwrap();
    assert!(bench.at("in/away/new").exists() && bench.at("outside/clip.mov").exists());
    assert!(matches!(text(&bench.folder(), "a/b/clip.mov"), Err(FolderError::Symlink(_))));
}

#[test]
fn no_path_leads_out_of_the_folder() {
    let bench = Bench::new();
    let folder = bench.folder();
    for path in ["..", "../outside/clip.mov", "a/../../outside/clip.mov", "/etc/passwd"] {
        assert!(text(&folder, path).is_err() && folder.below(Path::new(path)).is_err(), "{path}");
        assert!(folder.look(Path::new(path)).is_err() && folder.make_below(Path::new(path)).is_err(), "{path}");
    }
    for name in ["..", ".", "", "a/b/clip.mov", "../outside/clip.mov", "a/"] {
        let name = OsStr::new(name);
        assert!(folder.create_new(name, 0o600).is_err() && folder.remove_file(name).is_err(), "{name:?}");
        assert!(folder.remove_folder(name).is_err() && folder.make_folder(name).is_err(), "{name:?}");
        assert!(folder.rename_new(name, &folder, OsStr::new("x")).is_err(), "{name:?}");
        assert!(folder.rename_new(OsStr::new("a"), &folder, name).is_err(), "{name:?}");
    }
}

/// Case: a named pipe in the place of a file.
#[test]
fn a_pipe_in_a_file_s_place_hangs_nobody() {
    let bench = Bench::new();
    assert!(std::process::Command::new("mkfifo").arg(bench.at("in/pipe")).status().unwrap().success());
    let folder = bench.folder();
    assert!(matches!(text(&folder, "pipe"), Err(FolderError::NotAFile { kind: EntryKind::Pipe, .. })));
    assert!(folder.open_to_write(Path::new("pipe")).is_err());
    assert_eq!(folder.look(Path::new("pipe")).unwrap().kind, EntryKind::Pipe);
}

/// A second name is seen by its count, which is all that there is to see.
#[test]
fn a_hard_link_is_a_file_with_two_names() {
    let bench = Bench::new();
    std::fs::hard_link(bench.at("outside/clip.mov"), bench.at("in/linked")).unwrap();
    let (_, entry) = bench.folder().open_file(Path::new("linked")).unwrap();
    assert_eq!((entry.links, entry.is_our_own_file()), (2, false));
    let (_, entry) = bench.folder().open_file(Path::new("a/b/clip.mov")).unwrap();
    assert_eq!((entry.links, entry.is_our_own_file()), (1, true));
}

#[test]
fn renaming_never_replaces_and_replacing_replaces_the_link_itself() {
    let bench = Bench::new();
    let (folder, inner) = (bench.folder(), bench.folder().below(Path::new("a/b")).unwrap());
    symlink(bench.at("outside/clip.mov"), bench.at("in/taken")).unwrap();
    let taken = inner.rename_new(OsStr::new("clip.mov"), &folder, OsStr::new("taken"));
    assert!(matches!(taken, Err(FolderError::Taken(_))));
    inner.rename_new(OsStr::new("clip.mov"), &folder, OsStr::new("free")).unwrap();
    folder.replace(OsStr::new("free"), OsStr::new("taken")).unwrap();
    assert_eq!(text(&folder, "taken").unwrap(), "clip");
    assert_eq!(std::fs::read_to_string(bench.at("outside/clip.mov")).unwrap(), "secret");
    assert!(matches!(inner.rename_new(OsStr::new("none"), &folder, OsStr::new("x")), Err(FolderError::Missing(_))));
}

/// Case: the name under which a file is copied cannot be foreseen.
#[test]
fn random_names_differ_and_missing_folders_are_made() {
    let bench = Bench::new();
    let (folder, made) = bench.folder().make_below(Path::new("a/new/deeper")).unwrap();
    assert_eq!(made, 2);
    let (one, _) = folder.create_unique(".masv-", ".part", 0o600).unwrap();
    let (two, file) = folder.create_unique(".masv-", ".part", 0o600).unwrap();
    assert_ne!(one, two);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    folder.flush().unwrap();
    assert!(folder.free_space().unwrap() > 0);
    folder.remove_file(&one).unwrap();
    folder.remove_file(&two).unwrap();
    bench.folder().below(Path::new("a/new")).unwrap().remove_folder(OsStr::new("deeper")).unwrap();
    assert!(bench.folder().below(Path::new("a")).unwrap().remove_folder(OsStr::new("b")).is_err(), "it is not empty");
}

/// A folder that may be searched and not read is no obstacle on the way to a file.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_on_the_way_need_not_be_readable() {
    if crate::own_user() == 0 {
        return; // Everything can be read by root.
    }
    let bench = Bench::new();
    std::fs::set_permissions(bench.at("in/a"), std::fs::Permissions::from_mode(0o711 & 0o311)).unwrap();
    let read = text(&bench.folder(), "a/b/clip.mov");
    std::fs::set_permissions(bench.at("in/a"), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(read.unwrap(), "clip");
}

/// Case: across file systems owner, group and extended attributes were dropped, and holes were filled.
#[test]
fn a_copy_has_the_bytes_the_holes_the_times_and_the_attributes() {
    let bench = Bench::new();
    let folder = bench.folder();
    let mut source = folder.create_new(OsStr::new("source"), 0o640).unwrap();
    source.write_all(b"head").unwrap();
    source.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&source, b"tail", 48 << 20).unwrap();
    set_modified(&source, 1_600_000_000_000_000_007);
    source.set_permissions(std::fs::Permissions::from_mode(0o4750)).unwrap();
    // Where the file system has any: extended attributes were dropped, and nobody noticed.
    let attributes = [("user.reel", vec![7_u8; 6]), ("user.notes", vec![8; 2_000])];
    let set = |(name, value): &(&str, Vec<u8>)| {
        rustix::fs::fsetxattr(&source, *name, value, rustix::fs::XattrFlags::empty()).is_ok()
    };
    let has_attributes = attributes.iter().all(set);
    let copy = folder.create_new(OsStr::new("copy"), 0o600).unwrap();
    let told = std::cell::RefCell::new(Vec::new());
    copy_file(&source, &copy, 64 << 20, &|bytes| told.borrow_mut().push(bytes)).unwrap();
    keep_attributes(&source, &copy).unwrap();
    let read = |name| std::fs::read(bench.at(name)).unwrap();
    assert!(read("in/source") == read("in/copy"));
    let (before, after) = (source.metadata().unwrap(), copy.metadata().unwrap());
    assert!(after.blocks() <= before.blocks() + 64, "{} blocks of {}", after.blocks(), before.blocks());
    assert_eq!((after.mtime(), after.uid(), after.gid()), (1_600_000_000, before.uid(), before.gid()));
    assert_eq!(after.mode() & 0o7777, 0o750, "no copy runs with its owner's rights");
    for (name, value) in attributes.iter().filter(|_| has_attributes) {
        let mut kept = vec![0; 4_096];
        let length = rustix::fs::fgetxattr(&copy, *name, kept.as_mut_slice()).unwrap();
        assert_eq!(&kept[..length], value, "{name}");
    }
    let told = told.into_inner();
    assert!(told.is_sorted() && told.last() == Some(&(64 << 20)), "{told:?}");
}
