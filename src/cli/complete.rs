//! Completion in the shell that knows what there is: uploads, downloads, rules, contexts, states, and what is in a hub.
//!
//! **In**: the words typed so far, from the shell. **Out**: candidates on standard output. The running agent is asked; if it does not answer at
//! once there are none, and nothing is printed that would disturb the line.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Command;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::client::Client;
use super::error::CliError;
use super::hub::{Offered, Reach};
use super::transfers::Transfer;
use super::{Common, context};
use crate::api::types::{Download, Transfers, Upload};

/// The variable in which the shell asks.
const VARIABLE: &str = "MASV_COMPLETE";
/// How long somebody who has pressed the key waits at most.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many transfers are offered.
const OFFERED: usize = 50;
/// How much of an id is offered, as tables show it.
const SHORT_ID: usize = 8;
const STATES: [&str; 5] = ["transferring", "paused", "idle", "complete", "error"];

/// Answers a shell that asks, and ends the process then.
pub(super) fn answer() {
    let command = || {
        let mut command = super::command();
        // So that every flag is there, that of the help as well.
        command.build();
        with_completers(command, &mut Vec::new())
    };
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// The script with which a shell asks.
pub(super) fn registration(shell: &str) -> Result<String, CliError> {
    let failed = || CliError::usage(format!("completion is not supported for {shell}"));
    let shells = Shells::builtins();
    let completer = shells.completer(shell).ok_or_else(failed)?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, "masv", "masv", "masv", &mut script).map_err(|_| failed())?;
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if shell == "zsh" {
        // From a folder of functions, it is read when the key is pressed for the first time: it has to answer then as well.
        script += "if [ \"$funcstack[1]\" = \"_masv\" ]; then\n    _clap_dynamic_completer_masv \"$@\"\nfi\n";
    }
    Ok(script)
}

/// The commands, with what completes their arguments; `path` are the names of the commands above.
fn with_completers(command: Command, path: &mut Vec<String>) -> Command {
    let words: Vec<String> = path.clone();
    let command = command.mut_args(|argument| {
        // What is hidden is offered only if there is nothing else: flags for who begins to type one, or where nothing but flags fits.
        let argument = if argument.is_positional() { argument } else { argument.hide(true) };
        match completer(&words, argument.get_id().as_str()) {
            Some(completer) => argument.add(completer),
            None => argument,
        }
    });
    command.mut_subcommands(|below| {
        path.push(below.get_name().to_owned());
        let below = with_completers(below, path);
        path.pop();
        below
    })
}

fn completer(path: &[String], argument: &str) -> Option<ArgValueCompleter> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match (path.as_slice(), argument) {
        (["hub", ..], "package" | "link" | "key") | (["hub", "portal", "show" | "set" | "rm"], "subdomain") => {
            let what = match argument {
                "package" => Offered::Packages,
                "link" => Offered::Links,
                "key" => Offered::Keys,
                _ => Offered::Portals,
            };
            Some(ArgValueCompleter::new(move |typed: &OsStr| of_a_hub(typed, what)))
        }
        (["hub", ..], _) => None,
        (_, "states") => Some(ArgValueCompleter::new(states)),
        (_, "context") | (["context", "use" | "rm"], "name") => Some(ArgValueCompleter::new(contexts)),
        (["upload", what], "id") => {
            let fitting = fitting(what);
            Some(ArgValueCompleter::new(move |typed: &OsStr| transfers::<Upload>(typed, fitting)))
        }
        (["download", what], "id") => {
            let fitting = fitting(what);
            Some(ArgValueCompleter::new(move |typed: &OsStr| transfers::<Download>(typed, fitting)))
        }
        (["rule", what], "name") => {
            let all = matches!(*what, "pause" | "resume");
            Some(ArgValueCompleter::new(move |typed: &OsStr| rules(typed, all)))
        }
        (["automation", "delete"] | ["automation", "update", _], "id")
        | (["upload" | "download", "ls"] | ["ls"], "rule") => {
            Some(ArgValueCompleter::new(|typed: &OsStr| rules(typed, false)))
        }
        _ => None,
    }
}

/// The states in which a command makes sense, and whether it takes `all`.
fn fitting(command: &str) -> (&'static str, bool) {
    match command {
        "pause" => ("transferring", true),
        "resume" => ("paused,error", true),
        "finalize" => ("idle,transferring", false),
        "add" | "set" => ("idle,transferring,paused,error", false),
        "rm" => ("", true),
        _ => ("", false),
    }
}

fn transfers<T: Transfer>(typed: &OsStr, (states, all): (&str, bool)) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let list: Option<Transfers<T>> = ask(&format!("/{}s?states={states}&limit={OFFERED}", T::NAME));
    let entries = list.into_iter().flat_map(|list| list.transfers);
    let mut candidates = offered(typed, entries.map(|one| (one.id(), one.title(), one.state().0)));
    if all && "all".starts_with(typed) {
        candidates.push(CompletionCandidate::new("all").display_order(Some(OFFERED)));
    }
    candidates
}

/// What there is with these ids, names and states, the first one first.
fn offered(typed: &str, entries: impl Iterator<Item = (String, String, String)>) -> Vec<CompletionCandidate> {
    let mut candidates = Vec::new();
    for (order, (id, name, state)) in entries.enumerate() {
        let about = [name.as_str(), &state].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
        let short = id.get(id.len().saturating_sub(SHORT_ID)..).unwrap_or(&id);
        // Names only for who begins to type one: otherwise everything would be there twice.
        let named = !typed.is_empty() && name.starts_with(typed) && is_plain(&name);
        let values =
            [Some(short), Some(id.as_str()).filter(|_| typed.len() > SHORT_ID), Some(name.as_str()).filter(|_| named)];
        for value in values.into_iter().flatten().filter(|value| value.starts_with(typed)) {
            let candidate = CompletionCandidate::new(value).help(Some(about.clone().into()));
            candidates.push(candidate.display_order(Some(order)));
        }
    }
    candidates
}

/// What there is in the hub that the line is about.
fn of_a_hub(typed: &OsStr, what: Offered) -> Vec<CompletionCandidate> {
    let words: Vec<String> = std::env::args().collect();
    let value = |flag: &str, variable: &str| {
        value_of(&words, flag).or_else(|| std::env::var(variable).ok()).filter(|value| !value.is_empty())
    };
    let reach = Reach::of(
        value("--data-dir", "MASV_HUB_DATA_DIR"),
        value("--hub", "MASV_HUB_URL"),
        value_of(&words, "--key-file"),
        value("--team", "MASV_HUB_TEAM"),
    );
    let (Some(typed), Some(reach)) = (typed.to_str(), reach) else { return Vec::new() };
    let found = in_time(reach.offered(what, OFFERED)).flatten().unwrap_or_default();
    match what {
        // A portal is called by its name in URLs, as a whole.
        Offered::Portals => starting(
            found.into_iter().map(|(name, title, _)| CompletionCandidate::new(name).help(Some(title.into()))),
            OsStr::new(typed),
        ),
        _ => offered(typed, found.into_iter()),
    }
}

/// Whether a shell takes it as one word, whatever its quoting.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
}

fn rules(typed: &OsStr, all: bool) -> Vec<CompletionCandidate> {
    let answer: Value = ask("/automations").unwrap_or_default();
    let named = answer["automations"].as_array().into_iter().flatten().filter_map(|rule| {
        let about = format!("{}, {} waiting", rule["state"].as_str()?, rule["waiting_count"]);
        Some(CompletionCandidate::new(rule["name"].as_str()?).help(Some(about.into())))
    });
    let all = all.then(|| CompletionCandidate::new("all"));
    starting(named.chain(all), typed)
}

fn contexts(typed: &OsStr) -> Vec<CompletionCandidate> {
    starting(context::names().into_iter().map(CompletionCandidate::new), typed)
}

fn starting(all: impl Iterator<Item = CompletionCandidate>, typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    all.filter(|candidate| candidate.get_value().to_string_lossy().starts_with(&*typed)).collect()
}

/// States, separated by commas.
fn states(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let before = typed.rfind(',').map_or("", |comma| &typed[..=comma]);
    let unused = STATES.iter().filter(|state| !before.split(',').any(|one| one == **state));
    starting(unused.map(|state| CompletionCandidate::new(format!("{before}{state}"))), OsStr::new(&*typed))
}

/// The agent's answer, if it is there and gives one soon.
fn ask<T: DeserializeOwned>(path: &str) -> Option<T> {
    let client = Client::new(&common(std::env::args().collect())).ok()?;
    in_time(client.get(path))?.ok()
}

/// The result, if it is there soon.
fn in_time<T>(work: impl Future<Output = T>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let done = runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.ok() });
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    done
}

/// The value of a flag in the words of a line.
fn value_of(words: &[String], flag: &str) -> Option<String> {
    let words = words.iter().zip(words.iter().skip(1).map(Some).chain([None]));
    words
        .filter_map(|(word, next)| match word.strip_prefix(flag)?.strip_prefix('=') {
            Some(value) => Some(value.to_owned()),
            None if word == flag => next.cloned(),
            None => None,
        })
        .last()
}

/// Which agent the line that is being typed is for.
fn common(words: Vec<String>) -> Common {
    let value = |flag: &str| value_of(&words, flag);
    let (server, context) = (value("--server"), value("--context"));
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Common {
        server_typed: server.is_some(),
        context_typed: context.is_some(),
        server: server.or_else(|| variable("MASV_SERVER")),
        context: context.or_else(|| variable("MASV_CONTEXT")),
        token_file: value("--with-token").map(PathBuf::from),
        output: None,
        json: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_completed_one_after_the_other() {
        let offered = |typed: &str| {
            let found = states(OsStr::new(typed)).into_iter();
            found.map(|candidate| candidate.get_value().to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(offered("p"), ["paused"]);
        assert_eq!(offered("paused,"), ["paused,transferring", "paused,idle", "paused,complete", "paused,error"]);
        assert_eq!(offered("paused,tr"), ["paused,transferring"]);
    }

    #[test]
    fn the_agent_of_the_line_is_asked() {
        let of = |line: &str| common(line.split(' ').map(str::to_owned).collect());
        let common = of("masv -- masv --server http://a:1 upload status");
        assert!(common.server_typed && common.server.as_deref() == Some("http://a:1"));
        let common = of("masv --context=b --with-token t upload rm x");
        assert_eq!((common.context.as_deref(), common.token_file), (Some("b"), Some("t".into())));
    }

    #[test]
    fn each_shell_has_a_script_that_asks() {
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let script = registration(shell).unwrap();
            assert!(script.contains(VARIABLE) && script.contains("masv"), "{shell}: {script}");
        }
        let zsh = registration("zsh").unwrap();
        assert!(zsh.starts_with("#compdef masv\n"), "{zsh}");
        assert_eq!(zsh.matches("_clap_dynamic_completer_masv").count(), 3, "defined, registered and called: {zsh}");
        assert!(registration("sh").is_err());
    }
}
