//! Findings for the operator, derived from the notices that the jobs leave.

use jiff::Timestamp;
use masv_db::Database;
use serde::Serialize;

use super::check::Checked;
use super::gc::Waiting;
use super::sweep::Unknown;
use crate::records;
use crate::records::notices::{self, Notice};

/// A finding for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable word for programs.
    pub code: &'static str,
    /// What was found, for people.
    pub message: String,
    /// What to do about it.
    pub todo: &'static str,
    /// Content has been lost, or may be: it does not resolve by itself.
    pub severe: bool,
}

/// All findings; none if all is well.
pub(crate) async fn all(database: &Database) -> Result<Vec<Finding>, records::Error> {
    let mut findings = Vec::new();
    if let Some((at, commits)) = notices::get::<u64>(database, Notice::Damaged).await? {
        findings.push(Finding {
            code: "database_damaged",
            message: format!(
                "the log of the database was damaged: {commits} commits were lost at the start of {at:.0}"
            ),
            todo: "restore the last backup with `masv hub restore`, or accept the loss with `masv hub sweep --confirm`",
            severe: true,
        });
    }
    if let Some((at, checked)) = notices::get::<Checked>(database, Notice::Checked).await? {
        findings.extend(lost(at, &checked));
    }
    findings.extend(notices::get::<Waiting>(database, Notice::Waiting).await?.map(|(_, waiting)| waits(&waiting)));
    for (notice, place) in [(Notice::DiskRefused, "on the disk"), (Notice::BucketRefused, "in the bucket")] {
        if let Some((_, Unknown { unknown, all, .. })) = notices::get(database, notice).await? {
            findings.push(Finding {
                code: "sweep_refused",
                message: format!(
                    "the database does not know {unknown} of {all} parts {place}: none of them is touched"
                ),
                todo: "restore the backup that belongs to this storage, or confirm with `masv hub sweep --confirm`",
                severe: true,
            });
        }
    }
    Ok(findings)
}

/// The result of scanning the storage.
fn lost(at: Timestamp, checked: &Checked) -> Vec<Finding> {
    let Checked { missing, damaged, unknown, unknown_packages, complete } = *checked;
    let mut findings = Vec::new();
    if missing + damaged > 0 {
        findings.push(Finding {
            code: "content_missing",
            message: format!("{missing} parts are missing in the storage, {damaged} are damaged, as of {at:.0}"),
            todo: "`masv hub check` names them, `masv hub check --repair` takes back what is in the trash",
            severe: true,
        });
    }
    if unknown_packages > 0 {
        findings.push(Finding {
            code: "content_unknown",
            message: format!(
                "the storage has {unknown} parts, of {unknown_packages} packages that the database does not have, as of {at:.0}"
            ),
            todo: "if there are many, the database has lost what was committed: restore a backup. `masv hub check` names them",
            severe: false,
        });
    }
    if !complete {
        findings.push(Finding {
            code: "check_incomplete",
            message: "the storage is so large that the look at it at the start did not get through".to_owned(),
            todo: "run `masv hub check` from a timer",
            severe: false,
        });
    }
    findings
}

fn waits(waiting: &Waiting) -> Finding {
    let todo = "if all is as it must be, say so with `masv hub sweep --confirm`; otherwise set the clock, or restore the right backup";
    match waiting {
        Waiting::Clock { minutes } => Finding {
            code: "clock_doubted",
            message: format!("the clock has jumped by hours: nothing expires or is removed for {minutes} minutes"),
            todo,
            severe: false,
        },
        Waiting::Restored { until } => {
            let until = Timestamp::from_millisecond(*until).unwrap_or(Timestamp::MAX);
            Finding {
                code: "restored",
                message: format!(
                    "a backup was restored: what the database does not know stays where it is until {until:.0}"
                ),
                todo,
                severe: false,
            }
        }
    }
}
