//! `masv doctor`: problems that keep the agent from working, and how to fix them.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::client::Client;
use super::error::{CliError, Exit};
use super::output::{Mood, Output};
use super::service;
use crate::agent::default_data_dir;
use crate::api::doctor;
use crate::api::types::{Check, Examination, Grade};

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The rules file to check if no agent is running.
    #[arg(long, value_name = "FILE", env = "MASV_RULES")]
    rules: Option<PathBuf>,
    /// Exit with code 1 for warnings, too.
    #[arg(long)]
    strict: bool,
}

pub(super) async fn run(options: Doctor, client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    let (mut examination, agent) = match client.get::<Examination>("/doctor").await {
        Ok(examination) => {
            let finding = format!("running at {}", client.address());
            (examination, Check { name: "agent".into(), grade: Grade::Green, finding, todo: None })
        }
        Err(error) if error.exit == Exit::NoAgent => {
            let check = Check { name: "agent".into(), grade: Grade::Red, finding: error.message, todo: error.hint };
            (Examination { checks: alone(&options)? }, check)
        }
        Err(error) => return Err(error),
    };
    let unit = unit(service::installed_state(), agent.grade);
    examination.checks.splice(0..0, [agent, unit]);
    output.json(&examination);
    examination.checks.iter().for_each(|check| show(check, output));
    Ok(if is_failure(&examination, options.strict) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A finding in words.
pub(super) fn show(check: &Check, output: &Output) {
    let (mark, mood) = match check.grade {
        Grade::Green => ("ok    ", Mood::Good),
        Grade::Amber => ("look  ", Mood::Warned),
        Grade::Red => ("wrong ", Mood::Bad),
    };
    output.marked(mark, mood, &format!("{}: {}", check.name, check.finding));
    if let Some(todo) = &check.todo {
        output.line(&format!("        {todo}"));
    }
}

/// The worst finding determines the exit code.
fn is_failure(examination: &Examination, strict: bool) -> bool {
    let bad = |grade| grade == Grade::Red || (strict && grade == Grade::Amber);
    examination.checks.iter().any(|check| bad(check.grade))
}

/// What can be checked without an agent, as the current user.
fn alone(options: &Doctor) -> Result<Vec<Check>, CliError> {
    let data_dir = std::env::var_os("MASV_DATA_DIR").map_or_else(default_data_dir, PathBuf::from);
    let rules = match &options.rules {
        Some(file) => masv_rules::load(file, &crate::agent::Surroundings).map_err(|diagnostics| {
            CliError::failed(diagnostics.render(false)).hint("correct the rules file first (`masv rule check FILE`)")
        })?,
        None => masv_rules::RuleSet::empty(),
    };
    Ok(doctor::machine(&data_dir, &rules, &|_| None))
}

fn unit(state: Option<(String, String)>, agent: Grade) -> Check {
    let check = |grade, finding: String, todo: Option<&str>| Check {
        name: "service".into(),
        grade,
        finding,
        todo: todo.map(str::to_owned),
    };
    match state {
        None => check(
            Grade::Amber,
            "not installed: the agent does not start automatically".into(),
            Some("to start it at boot, run `masv service install`; see service.md in the documentation"),
        ),
        Some((name, state)) if state == "active" => check(Grade::Green, format!("{name} is active"), None),
        Some((name, state)) if agent == Grade::Green => check(
            Grade::Amber,
            format!("{name} is {state}, but an agent is running outside of the service"),
            Some("stop the agent with `masv server stop` and start the service"),
        ),
        Some((name, state)) => check(
            Grade::Red,
            format!("{name} is {state}"),
            Some("see `systemctl status` and the journal for the reason"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides_the_exit_code() {
        let of = |grades: &[Grade]| {
            let check =
                |grade: &Grade| Check { name: String::new(), grade: *grade, finding: String::new(), todo: None };
            Examination { checks: grades.iter().map(check).collect() }
        };
        let cases = [
            (&[Grade::Green][..], false, false),
            (&[Grade::Green, Grade::Amber], false, true),
            (&[Grade::Amber, Grade::Red, Grade::Green], true, true),
            (&[], false, false),
        ];
        for (grades, usual, strict) in cases {
            let examination = of(grades);
            assert_eq!(
                (is_failure(&examination, false), is_failure(&examination, true)),
                (usual, strict),
                "{grades:?}"
            );
        }
    }

    #[test]
    fn a_service_that_is_down_is_wrong_only_without_an_agent() {
        let state = |word: &str| Some(("masv-agent.service".to_owned(), word.to_owned()));
        assert_eq!(unit(state("active"), Grade::Green).grade, Grade::Green);
        assert_eq!(unit(state("failed"), Grade::Red).grade, Grade::Red);
        assert_eq!(unit(state("failed"), Grade::Green).grade, Grade::Amber);
        assert_eq!(unit(None, Grade::Green).grade, Grade::Amber);
    }
}
