//! The door to the operating system: what the agent and the hub both ask of it, and nothing of theirs.
//!
//! **In**: paths, descriptors, what `stat` answered. **Out**: plain values, so that no other crate names a system call.
//!
//! * [`Folder`] is an open folder and the one way to what is beneath it, where others may write too: no link is followed.
//! * [`FileIdentity`] is what a file on disk is known by; [`path_to_bytes`] keeps a path that need not be UTF-8.
//! * [`flush`] and its like bring what was written to the disk itself.
//! * [`raise_descriptors`], [`free_space`] say how much of the machine is left.
//! * [`open_for_writing`] asks the kernel whether another process writes to a file.
//! * [`OwnPlaces`] are the program's own files, which nobody is given.
//! * [`real_path`] is the one path of a place, whatever links lead to it.
//! * [`AcceptTrouble`] tells trouble of a listener that passes from a listener that is broken.
//! * [`tcp_peer_user`] tells whose the other end of a loopback connection is.
//! * [`crash_point`] ends the process at a named place, as a power cut would; release builds have none of it.
//!
//! On a crash nothing is lost: nothing is kept here.
//!
//! Must never know: the database, the network's protocol, rules.

mod accept;
mod failpoints;
mod flush;
mod folder;
mod identity;
mod lease;
mod limits;
mod own_places;
mod peer;
mod real_path;

#[cfg(not(target_vendor = "apple"))]
mod linux;
#[cfg(not(target_vendor = "apple"))]
use linux as system;
#[cfg(target_vendor = "apple")]
mod macos;
#[cfg(target_vendor = "apple")]
use macos as system;

pub use accept::AcceptTrouble;
pub use failpoints::{CRASH_POINTS, crash_point, slow_point, unless_hurried};
pub use flush::{flush, flush_data, flush_folder, flush_open_folder};
pub use folder::{
    Entry, EntryKind, Folder, FolderError, PathBeneath, copy_file, entry_of, give_file, keep_attributes, put_copy,
    set_modified,
};
pub use identity::{FileIdentity, bytes_to_path, path_to_bytes};
pub use lease::{OpenForWriting, open_for_writing, sees_all_writers};
pub use limits::{FEWEST_DESCRIPTORS, descriptors, free_space, free_space_of, raise_descriptors};
pub use own_places::{OwnPlaces, RealPlaces};
pub use peer::{own_user, tcp_peer_user};
pub use real_path::real_path;
