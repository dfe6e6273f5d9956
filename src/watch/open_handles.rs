//! Who has a file open for writing, by everything this system shows.
//!
//! **In**: files below a watched folder. **Out**: a [`Writing`] for each. Blocks.
//!
//! Three sources of evidence, each of which sees what the others do not:
//!
//! * a **lease** ([`masv_platform::open_for_writing`]) is refused while any process has the file open or mapped for writing. It
//!   is certain, and granted to root, to the file's owner, and with `CAP_LEASE`;
//! * the **events** of the folder ([`super::write_tracker`]) show, to any user, a file that was modified and not closed since.
//!   A file whose closing is never reported is held for [`LONGEST_HOLD`] after its last write and no longer, because
//!   the event may have been lost;
//! * the **processes** with the file open are named ([`masv_platform::writers_of`]), where the agent may see it: its own user's, or all of them for root.
//!   They cost one pass over all processes and are checked only for files that no lease has cleared.
//!
//! On network file systems and FUSE none of them sees what other machines do: such a file is [`Writing::Unseen`] unless
//! a program of this machine holds it.
//!
//! Must never know: rules, or what is decided.

use std::path::Path;
use std::time::Duration;

use super::fs_events::{FsEvents, Silence};
use super::write_tracker::Written;
use masv_platform::{FileIdentity, Folder, OpenForWriting, open_for_writing, silent_file_system_of, writers_of};

/// How long after its last write an unclosed file is held, if only the events say so.
pub const LONGEST_HOLD: Duration = Duration::from_secs(3_600);

/// What is known of the writers of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writing {
    /// No program has it open for writing.
    No,
    /// A program has; which one, for people.
    By(String),
    /// Nothing here can tell; why, for a person.
    Unseen(String),
}

/// Whether the files (paths relative to `root`, the watched folder, with what they were last seen to be) are being written,
/// in the order of `files`.
#[must_use]
pub fn is_being_written(events: &FsEvents, root: &Folder, files: &[(&Path, FileIdentity)]) -> Vec<Writing> {
    let asked: Vec<(OpenForWriting, Option<&'static str>)> = match events.silence() {
        Some(Silence::FileSystem(name)) => vec![(OpenForWriting::Unknown, Some(name)); files.len()],
        _ => files.iter().map(|(path, _)| lease(root, path)).collect(),
    };
    let uncleared = files.iter().zip(&asked).filter(|(_, (lease, _))| *lease != OpenForWriting::No);
    let holders = writers_of(&uncleared.map(|((_, identity), _)| *identity).collect::<Vec<_>>());
    let judged = files.iter().zip(asked).map(|((path, identity), (lease, network))| {
        let holder = holders.get(&(identity.device, identity.inode)).cloned();
        judge(lease, events.written(path), holder, network)
    });
    judged.collect()
}

/// What a lease on the file says, and its file system's name if that does not show writers elsewhere.
fn lease(root: &Folder, path: &Path) -> (OpenForWriting, Option<&'static str>) {
    let Ok((file, _)) = root.open_file(path) else {
        return (OpenForWriting::Unknown, None);
    };
    match silent_file_system_of(&file) {
        // There a lease is about what this machine may keep in its memory.
        Some(name) => (OpenForWriting::Unknown, Some(name)),
        None => (open_for_writing(&file), None),
    }
}

/// Weighs the evidence. Pure.
fn judge(lease: OpenForWriting, events: Written, holder: Option<String>, network: Option<&'static str>) -> Writing {
    match (holder, lease, events) {
        (Some(holder), ..) => Writing::By(holder),
        (None, OpenForWriting::Yes, _) => Writing::By("a program of another user".to_owned()),
        (None, OpenForWriting::No, _) => Writing::No,
        (None, OpenForWriting::Unknown, Written::Open { idle }) if idle < LONGEST_HOLD => Writing::By(format!(
            "a program that has not closed it (it counts as closed at most {} minutes after its last write)",
            LONGEST_HOLD.as_secs() / 60
        )),
        (None, OpenForWriting::Unknown, Written::Closed) if network.is_none() => Writing::No,
        (None, OpenForWriting::Unknown, _) => Writing::Unseen(match network {
            Some(name) => format!("{name} does not show who is writing to a file"),
            None => "the agent's user has no permission to see who is writing to this file".to_owned(),
        }),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use masv_platform::PathBeneath;

    const HOUR: Duration = LONGEST_HOLD;

    fn open(idle: Duration) -> Written {
        Written::Open { idle }
    }

    fn is_by(writing: &Writing) -> bool {
        matches!(writing, Writing::By(_))
    }

    #[test]
    fn a_file_is_held_as_long_as_somebody_has_it_open_for_writing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("render.mov");
        let writer = std::fs::File::create(&path).unwrap();
        let identity = FileIdentity::of(&std::fs::metadata(&path).unwrap());
        let reader = std::fs::File::open(&path).unwrap();
        assert!(writers_of(&[identity]).contains_key(&(identity.device, identity.inode)));
        let root = super::super::beneath::open_root(&PathBeneath::new(folder.path(), "")).unwrap();
        let events = FsEvents::new(folder.path(), false, |_| None);
        let ask = || is_being_written(&events, &root, &[(Path::new("render.mov"), identity)]).remove(0);
        assert!(is_by(&ask()), "{:?}", ask());
        drop(writer);
        assert!(writers_of(&[identity]).is_empty());
        assert_eq!(ask(), Writing::No);
        drop(reader);
    }

    /// A lease is certain; what it does not show, the events may.
    #[test]
    fn whoever_knows_decides() {
        use OpenForWriting::{No, Unknown, Yes};
        let ask = |lease, events, holder: Option<&str>| judge(lease, events, holder.map(str::to_owned), None);
        assert_eq!(ask(Yes, Written::Closed, Some("smbd (process 7)")), Writing::By("smbd (process 7)".to_owned()));
        assert_eq!(ask(Unknown, Written::Closed, Some("sox")), Writing::By("sox".to_owned()));
        assert!(is_by(&ask(Yes, Written::Closed, None)), "mapped, or a second writer");
        assert_eq!(ask(No, open(Duration::ZERO), None), Writing::No, "`truncate` by path is never closed");
        assert!(is_by(&ask(Unknown, open(Duration::ZERO), None)));
        assert!(is_by(&ask(Unknown, open(HOUR / 2), None)));
        assert!(matches!(ask(Unknown, open(HOUR), None), Writing::Unseen(_)), "no hold lasts forever");
        assert_eq!(ask(Unknown, Written::Closed, None), Writing::No);
        assert!(matches!(ask(Unknown, Written::Unknown, None), Writing::Unseen(_)));
    }

    #[test]
    fn on_a_network_file_system_only_a_writer_of_this_machine_is_seen() {
        let ask = |events| judge(OpenForWriting::Unknown, events, None, Some("NFS"));
        assert!(is_by(&ask(open(Duration::ZERO))));
        assert_eq!(ask(Written::Closed), Writing::Unseen("NFS does not show who is writing to a file".to_owned()));
    }
}
