//! Mail: what finalizing a package owes its recipients, and its sender.
//!
//! **In**: rows of mails that are due. **Out**: mails to a mail server or, where none is set, files in `outbox/`.
//!
//! **Guarantees.** Each mail is tried until it is accepted, then marked; a server that is away costs time only. One
//! that a server refuses for good, or that has failed for days, is given up with its reason. A crash between
//! acceptance and mark sends one mail twice; a file is then written again under the same name.
//!
//! Must never know: HTTP routes, storage.

mod compose;
mod deliver;
mod transport;

pub(super) use deliver::deliver;
pub(crate) use transport::check;
pub use transport::try_mail_server;
