//! `masv verify`: compares a folder that was received with the checksum lists in it. It needs no agent.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::output::{Mood, Output, size};
use crate::manifest::verify::{Comparison, Fault, compare};

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The folder.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// A list whose name does not say that it is one, in the folder; can be repeated.
    #[arg(long, value_name = "FILE")]
    list: Vec<PathBuf>,
    /// Files that no list names count as wrong, too.
    #[arg(long)]
    strict: bool,
}

/// The result for programs.
#[derive(Debug, Serialize)]
struct Report {
    right: bool,
    lists: Vec<PathBuf>,
    verified: u64,
    bytes: u64,
    faults: Vec<FaultLine>,
    unlisted: Vec<PathBuf>,
}

#[derive(Debug, Serialize)]
struct FaultLine {
    path: PathBuf,
    fault: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

pub(super) async fn run(options: Verify, output: &Output) -> Result<ExitCode, CliError> {
    let Verify { folder, list, strict } = options;
    if !folder.is_dir() {
        return Err(CliError::usage(format!("{} is not a folder", folder.display())));
    }
    let lists: Vec<PathBuf> = list.into_iter().map(|list| within(&folder, list)).collect::<Result<_, _>>()?;
    let shown = folder.clone();
    let shows_progress = !output.is_json() && std::io::stderr().is_terminal();
    let comparing = tokio::task::spawn_blocking(move || {
        let mut number = 0_u64;
        compare(&folder, &lists, &mut |path| {
            number += 1;
            if shows_progress {
                let _ = write!(std::io::stderr(), "\r\x1b[K{number} {}", path.display());
            }
        })
    });
    let failed = |error: &dyn std::error::Error| CliError::failed(format!("cannot read {}: {error}", shown.display()));
    let outcome = comparing.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    if shows_progress {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    let right = outcome.is_right() && (!strict || outcome.unlisted.is_empty());
    show(&outcome, right, output);
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The path of a list relative to the folder, wherever it was typed.
fn within(folder: &Path, list: PathBuf) -> Result<PathBuf, CliError> {
    if folder.join(&list).is_file() && list.is_relative() {
        return Ok(list);
    }
    let (whole, around) = (masv_platform::real_path(&list), masv_platform::real_path(folder));
    let inside =
        whole.ok().zip(around.ok()).and_then(|(list, folder)| list.strip_prefix(folder).map(Path::to_owned).ok());
    inside.ok_or_else(|| CliError::usage(format!("{} is not a file in {}", list.display(), folder.display())))
}

fn show(outcome: &Comparison, right: bool, output: &Output) {
    let faults = outcome.faults.iter().map(|(path, fault)| {
        let (fault, detail) = words(fault);
        FaultLine { path: path.clone(), fault, detail }
    });
    let faults: Vec<FaultLine> = faults.collect();
    for FaultLine { path, fault, detail } in &faults {
        let detail = detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        output.marked("wrong ", Mood::Bad, &format!("{} {fault}{detail}", path.display()));
    }
    for path in &outcome.unlisted {
        output.marked("look  ", Mood::Warned, &format!("{} is in no list", path.display()));
    }
    let lists = outcome.lists.len();
    match (lists, right) {
        (0, _) if faults.is_empty() => {
            output.line("There is no checksum list here: nothing can be verified. Name one with --list.")
        }
        (_, true) => output.line(&format!(
            "All {} listed files ({}) are what {lists} checksum {} say{}.",
            outcome.verified,
            size(outcome.bytes),
            if lists == 1 { "list" } else { "lists" },
            if lists == 1 { "s" } else { "" },
        )),
        (_, false) => output.line(&format!(
            "NOT verified: {} wrong, {} right, {} in no list.",
            faults.len(),
            outcome.verified,
            outcome.unlisted.len()
        )),
    }
    output.json(&Report {
        right,
        lists: outcome.lists.clone(),
        verified: outcome.verified,
        bytes: outcome.bytes,
        faults,
        unlisted: outcome.unlisted.clone(),
    });
}

fn words(fault: &Fault) -> (&'static str, Option<String>) {
    match fault {
        Fault::List(why) => ("is a list that is not understood", Some(why.clone())),
        Fault::Missing => ("is missing", None),
        Fault::Different(how) => ("is different", Some(how.clone())),
        Fault::NotCompared(why) => ("was not compared", Some(why.clone())),
    }
}
