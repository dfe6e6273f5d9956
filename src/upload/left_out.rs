//! Tells the recipients of a package which files are not in it.
//!
//! The message was written when the package was put together, and may name files that have vanished since, or that were replaced and go
//! into another package. Before the package is finalized, and its mail made, the message says so.
//!
//! **On a crash** the same message is given once more.

use std::time::Duration;

use super::task::Run;
use crate::engine::task_context::Halt;
use crate::model::{Destination, Upload};

/// So many files are named, at most.
const NAMED: usize = 20;

/// How often it is tried, and how long is waited in between.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);

/// Adds what was left out of a package to the message to its recipients. A cloud that does not change packages holds nothing up. What is
/// sent to a portal stays as it was announced: who may do no more than send there may not change it.
pub(super) async fn tell_recipients(run: &Run, upload: &Upload) -> Result<(), Halt> {
    let left_out = run.store().files_left_out(run.id).await?;
    if left_out.is_empty() || matches!(upload.destination, Destination::Portal { .. }) {
        return Ok(());
    }
    let message = message(upload.description.as_deref(), &left_out);
    let mut tries = 1;
    while let Err(error) = run.cloud().describe_package(run.package(), message.clone()).await {
        if tries == TRIES {
            tracing::warn!(upload = %run.id, %error, "the recipients are not told which files were left out");
            break;
        }
        tries += 1;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

fn message(written: Option<&str>, left_out: &[String]) -> String {
    let named = left_out.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match left_out.len().saturating_sub(NAMED) {
        0 => "",
        _ => ", and more",
    };
    let note = format!("Not included, because they were gone or replaced before they could be sent: {named}{more}.");
    written.map_or_else(|| note.clone(), |written| format!("{written}\n\n{note}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_after_what_was_written() {
        let paths = |count: usize| (0..count).map(|number| format!("{number}.mov")).collect::<Vec<_>>();
        let note = "Not included, because they were gone or replaced before they could be sent: 0.mov, 1.mov.";
        assert_eq!(message(None, &paths(2)), note);
        assert_eq!(message(Some("Hello"), &paths(2)), format!("Hello\n\n{note}"));
        assert!(message(None, &paths(21)).ends_with("19.mov, and more."));
    }
}
