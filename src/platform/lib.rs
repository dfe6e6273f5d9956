//! The door to the operating system: what the agent and the hub both need from it, and nothing of their own.
//!
//! **In**: paths, descriptors, results of `stat`. **Out**: plain values, so that no other crate names a system call.
//!
//! * [`Folder`] is an open folder and the only way to what is beneath it, where others may write, too: no link is followed.
//! * [`FileIdentity`] identifies a file on disk; [`path_to_bytes`] encodes a path that need not be UTF-8.
//! * [`flush()`] and related functions flush writes to the disk itself.
//! * [`read_exact_at`] and [`write_all_at`] share one open file among tasks.
//! * [`private_file`] and [`private_folder`] are closed to others from the beginning; [`Permissions`] tells what others may do.
//! * [`may_enter`] and [`may_write`] tell what this user may do.
//! * [`raise_descriptors`], [`free_space`] say how much of the machine is left, [`ProcessUsage`] what this process takes.
//! * [`silent_file_system`], [`watch_limits`] and their like say what can be relied on to tell of changes.
//! * [`open_for_writing`] asks the kernel whether another process writes to a file, [`writers_of`] which ones do.
//! * [`FolderMark`] and [`FolderPlace`] tell whether a folder is the one of a moment ago, or of before a restart.
//! * [`make_folders`] makes folders, but none in the place of a disk that is not mounted.
//! * [`may_signal`] and [`end_group`] are about other processes; [`ServiceManager`] and [`tell_service_manager`] about the one that
//!   started this one.
//! * [`listen_locally`] makes a socket among files, [`SilentTerminal`] a terminal that does not show what is typed;
//!   [`output_size`] is how large the terminal is.
//! * [`clock_advice`] and its like say what a person can do on this system.
//! * [`Awake`] keeps the machine from falling asleep.
//! * [`user_data_folder`], [`user_config_folder`] and [`page_opener`] are what this system has for its users.
//! * [`OwnPlaces`] are the program's own files, which are never given away.
//! * [`real_path()`] is the canonical path of a place, whatever links lead to it.
//! * [`AcceptTrouble`] distinguishes transient errors of a listener from a broken one.
//! * [`tcp_peer_user`] returns the user at the other end of a loopback connection, [`listening_users`] who listens on a port.
//! * [`crash_point`] ends the process at a named place, as a power cut would; release builds do not contain it.
//!
//! On a crash nothing is lost: nothing is stored here.
//!
//! Must never know: the database, the network's protocol, rules.

mod accept;
mod access;
mod advice;
mod awake;
mod failpoints;
mod file_system;
mod flush;
mod folder;
mod fs_events;
mod identity;
mod lease;
mod limits;
mod local_socket;
mod mounts;
mod own_places;
mod peer;
mod places;
mod positioned;
mod private;
mod process;
mod real_path;
mod service_manager;
mod terminal;
mod writers;

#[cfg(not(target_vendor = "apple"))]
mod linux;
#[cfg(not(target_vendor = "apple"))]
use linux as system;
#[cfg(target_vendor = "apple")]
mod macos;
#[cfg(target_vendor = "apple")]
use macos as system;

pub use accept::AcceptTrouble;
pub use access::{has_other_writers, may_enter, may_write};
pub use advice::{clock_advice, keep_watch_limit_advice, let_read_advice, let_write_advice, more_descriptors_advice};
pub use awake::Awake;
pub use failpoints::{CRASH_POINTS, crash_point, hold_point, slow_point, unless_hurried};
pub use file_system::{FolderMark, FolderPlace, Sameness};
pub use flush::{flush, flush_data, flush_folder, flush_open_folder};
pub use folder::{
    Entry, EntryKind, Folder, FolderError, PathBeneath, copy_file, entry_of, give_file, keep_attributes, put_copy,
    set_modified,
};
pub use fs_events::{
    EVENTS_TELL_OF_CLOSING, WATCHES_COVER_ALL_BELOW, WatchLimits, is_watch_limit, more_folders_advice,
    more_watchers_advice, watch_limits,
};
pub use identity::{FileIdentity, bytes_to_path, path_to_bytes};
pub use lease::{OpenForWriting, open_for_writing, sees_all_writers};
pub use limits::{FEWEST_DESCRIPTORS, descriptors, free_space, free_space_of, raise_descriptors, within_descriptors};
pub use local_socket::{LocalListener, listen_locally};
pub use mounts::{make_folders, silent_file_system, silent_file_system_of};
pub use own_places::{OwnPlaces, RealPlaces};
pub use peer::{listening_users, own_user, tcp_peer_user};
pub use places::{page_opener, user_config_folder, user_data_folder};
pub use positioned::{read_exact_at, write_all_at};
pub use private::{
    Permissions, change_owner, close_to_others, keep_own_files_usable, let_all_read, new_private_folder, private_file,
    private_folder,
};
pub use process::{ProcessUsage, end_group, host_name, may_signal};
pub use real_path::{plain_path, real_path};
pub use service_manager::{ServiceManager, ServiceNews, stderr_is_journal, tell_service_manager, watchdog};
pub use terminal::{SilentTerminal, open_terminal, output_size};
pub use writers::writers_of;
