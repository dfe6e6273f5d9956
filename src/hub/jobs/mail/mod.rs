//! Mail to the recipients and the sender of a finalized package.
//!
//! **In**: rows of due mails. **Out**: mails to a mail server or, if none is configured, files in `outbox/`.
//!
//! **Guarantees.** Each mail is tried until it is accepted, then marked; a server that is away costs time only. One
//! that a server refuses for good, or that has failed for days, is abandoned with its reason. A crash between
//! acceptance and mark sends one mail twice; a file is then written again under the same name.
//!
//! Must never know: HTTP routes, storage.

mod compose;
mod deliver;
mod transport;

pub(super) use deliver::deliver;
pub use transport::{MailRefusal, TextMail, send_text, try_mail_server};
pub(crate) use transport::{check, send_at_once};
