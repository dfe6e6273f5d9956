//! A package that turns out to be finalized while its upload still sends to it: the agent's database is older than the package, as
//! after a copy of it was restored that was made during the transfer.
//!
//! **In**: the upload, the cloud's list of the package's files. **Out**: whether everything that the upload was to send is there.
//!
//! The same question is asked where a file has vanished before it was sent, as far as the database knows: it may have been sent, and
//! then deleted by the rule.
//!
//! **Guarantees.** A file counts as delivered only if the cloud lists it under its path with the size and the date that it was to be sent
//! with: the package was filled by this upload, at a later time than the database remembers. Whatever differs is not taken for it.
//!
//! **On a crash** the next start finds the same again.

use std::collections::HashMap;

use super::task::Run;
use crate::engine::task_context::Halt;
use crate::model::{File, FileState, Part};
use masv_client::{Call, CloudError};
use masv_protocol::{File as Listed, FileState as CloudState};

/// Files read from the database at once.
const PAGE: u32 = 256;
/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

/// Whether the cloud refuses a file because the package is finalized.
pub(super) fn is_finalized(error: &CloudError) -> bool {
    let CloudError::Refused { call: Call::CreateFile | Call::CreateFiles, status: 400 | 409, message, .. } = error
    else {
        return false;
    };
    let message = message.to_ascii_lowercase();
    message.contains("finalized") && !message.contains("not ")
}

/// Whether the package has everything that the upload was to send. Its files are done then.
pub(super) async fn has_everything(run: &Run) -> Result<bool, Halt> {
    let listed = run.try_to(|| run.cloud().package_files(run.package())).await?;
    let listed: HashMap<String, Listed> = listed.into_iter().map(|file| (path_of(&file), file)).collect();
    let (mut after, mut missing) = (None, Vec::new());
    loop {
        let page = run.store().files(run.id, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.number);
        for file in page {
            match (file.state, listed.get(&file.path.to_string())) {
                (FileState::LeftOut, _) => {}
                (FileState::Done, Some(there)) if there.size == file.identity.size => {}
                (_, Some(there)) if is_same(&file, there) => missing.push((file.number, file.identity)),
                _ => return Ok(false),
            }
        }
    }
    for (number, identity) in missing {
        let part = Part { number: 1, size: identity.size, etag: String::new(), tree: Vec::new() };
        run.store().file_restarted(run.id, number, identity).await?;
        run.store().file_done(run.id, number, None, Some(part)).await?;
    }
    Ok(true)
}

/// Whoever may not list the package's files does not know.
///
/// # Errors
/// Everything but a refusal.
pub(super) fn unless_refused(halt: Halt) -> Result<bool, Halt> {
    match halt {
        Halt::Refused(..) => Ok(false),
        halt => Err(halt),
    }
}

fn path_of(file: &Listed) -> String {
    if file.path.is_empty() { file.name.clone() } else { format!("{}/{}", file.path.trim_end_matches('/'), file.name) }
}

/// Whether the cloud's file is this one: clouds keep dates to the millisecond or to the second.
fn is_same(file: &File, there: &Listed) -> bool {
    let kept = there.last_modified.as_millisecond().map(|kept| kept.div_euclid(1_000));
    let is_finalized = there.state.as_ref().is_none_or(|state| *state == CloudState::Finalized);
    is_finalized && there.size == file.identity.size && kept == Some(file.identity.mtime_ns.div_euclid(SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_of_a_file_for_its_finalized_package_is_one() {
        let refused = |call, status, message: &str| {
            let message = message.to_owned();
            is_finalized(&CloudError::Refused { call, status, code: None, message, retry_after: None })
        };
        assert!(refused(Call::CreateFile, 409, "the package is finalized"));
        assert!(refused(Call::CreateFiles, 400, "Package already finalized"));
        assert!(!refused(Call::CreateFile, 409, "the package is not finalized"));
        assert!(!refused(Call::CreateFile, 409, "the package is expired"));
        assert!(!refused(Call::FinalizePackage, 409, "the package is finalized"));
        assert!(!refused(Call::CreateFile, 404, "package not found"));
    }
}
