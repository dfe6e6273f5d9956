//! `masv hub check`.

use std::process::ExitCode;

use clap::Args;
use masv_hub::{CheckAsked, CheckReport, Fault, FaultKind, Finding, Hub, Repair};
use serde::Serialize;

use super::local::told;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Cell, Mood, Output, count, size};

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckOptions {
    /// Also read all content and compare it with its checksums. The time taken depends on the disk.
    #[arg(long)]
    deep: bool,
    /// Restore missing parts from the trash where possible, and mark files whose content is lost: their links then say so, and the
    /// ZIP of the package omits and lists them.
    #[arg(long)]
    repair: bool,
}

/// The JSON output.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    report: &'a CheckReport,
    /// Other findings for the operator.
    findings: &'a [Finding],
}

pub(super) async fn run(asked: &CheckOptions, hub: &Hub, output: &Output) -> Result<ExitCode, CliError> {
    let asked = CheckAsked { deep: asked.deep, repair: asked.repair };
    let report = hub.check(asked).await.map_err(told)?;
    let mut findings = hub.findings().await.map_err(told)?;
    // Newer than what the hub found at its start.
    findings.retain(|finding| !finding.code.starts_with("content_"));
    output.json(&Told { report: &report, findings: &findings });
    show(&report, &findings, output);
    let severe = report.has_faults() || report.not_looked_at > 0 || findings.iter().any(|finding| finding.severe);
    Ok(if severe { ExitCode::from(Exit::Failed as u8) } else { ExitCode::SUCCESS })
}

fn show(report: &CheckReport, findings: &[Finding], output: &Output) {
    if !report.faults.is_empty() {
        let rows: Vec<Vec<Cell>> = report.faults.iter().map(row).collect();
        output.table(&["PACKAGE", "NAME", "STATE", "REPAIR", "FILE", "DETAIL"], &rows);
    }
    if !report.unknown.is_empty() {
        let rows = report.unknown.iter().map(|unknown| {
            let place = if unknown.in_bucket { "bucket" } else { "disk" };
            let bytes = unknown.bytes.map(size).unwrap_or_default();
            vec![unknown.package.as_str().into(), place.into(), Cell::right(bytes), unknown.name.as_str().into()]
        });
        output.table(&["UNKNOWN IN PACKAGE", "PLACE", "SIZE", "PART"], &rows.collect::<Vec<_>>());
    }
    for finding in findings {
        let (mark, mood) = if finding.severe { ("fault", Mood::Bad) } else { ("note", Mood::Warned) };
        output.marked(mark, mood, &format!("{}. {}", finding.message, finding.todo));
    }
    let of = |kind| report.faults.iter().filter(|fault| fault.kind == kind).count() as u64;
    let taken_back = report.faults.iter().filter(|fault| fault.repair == Repair::TakenBack).count() as u64;
    output.line(&format!(
        "{} in {} ({}): {} missing, {} damaged, {taken_back} restored from the trash; {} unknown.",
        count(report.parts, "part"),
        count(report.packages, "package"),
        size(report.bytes),
        of(FaultKind::Missing),
        of(FaultKind::Damaged),
        report.unknown.len()
    ));
    if report.not_looked_at > 0 {
        output.line(&format!(
            "{} in a bucket not checked: name the bucket with --storage, as for `masv hub start`.",
            count(report.not_looked_at, "file")
        ));
    }
}

fn row(fault: &Fault) -> Vec<Cell> {
    let (repair, mood) = match fault.repair {
        Repair::None => ("", Mood::Plain),
        Repair::TakenBack => ("restored", Mood::Good),
        Repair::MarkedLost => ("marked as lost", Mood::Bad),
    };
    let kind = match fault.kind {
        FaultKind::Missing => "missing",
        FaultKind::Damaged => "damaged",
    };
    vec![
        fault.package.as_str().into(),
        fault.package_name.as_str().into(),
        Cell::mood(kind, Mood::Bad),
        Cell::mood(repair, mood),
        fault.path.as_str().into(),
        fault.detail.as_str().into(),
    ]
}
