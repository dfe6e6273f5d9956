//! What the hub does by itself, when it is due: mail, webhook calls, removal of what is over.
//!
//! **In**: rows that say what is due. **Out**: mails, calls, freed storage; the rows say how it went.
//!
//! Must never know: HTTP routes.

pub(crate) mod gc;
pub(crate) mod mail;
pub(crate) mod webhooks;
