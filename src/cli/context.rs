//! `masv context`: agents that are known by name, here or elsewhere, each with its address and token.
//!
//! **Guarantees.** A token is in a file of its own that only its user can read, and is sent only to the agent of its context.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Common;
use super::client::checked;
use super::error::{CliError, Exit};
use super::list::{Kind, ListOptions};
use super::output::{Cell, Mood, Output};
use super::table::Column;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a context: a name for the agent at --server, with its token from --with-token.
    #[command(
        after_help = "Example:\n  masv context add studio-b --server https://studio-b.example:8080 --with-token studio-b.token"
    )]
    Add {
        /// Its name: letters, digits, and . _ - within it.
        name: String,
    },
    /// List the contexts; the current one is marked.
    #[command(after_help = "Example:\n  masv context ls")]
    Ls(ListOptions),
    /// Make a context the current one: commands go to its agent from now on.
    #[command(after_help = "Examples:\n  masv context use studio-b\n  masv context use --none")]
    Use {
        /// The context.
        #[arg(required_unless_present = "none")]
        name: Option<String>,
        /// Have no current context: commands go to the agent of this machine.
        #[arg(long, conflicts_with = "name")]
        none: bool,
    },
    /// Remove a context and its token. The agent is not touched.
    #[command(after_help = "Example:\n  masv context rm studio-b")]
    Rm {
        /// The context.
        name: String,
    },
}

/// What is known of an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {
    server: String,
}

/// All contexts.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Contexts {
    #[serde(default)]
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Known>,
}

/// The agent that a command goes to by its context.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) server: String,
    /// The file with its token, if it has one.
    pub(super) token_file: Option<PathBuf>,
}

/// The folder of the contexts, private to this user.
fn folder() -> PathBuf {
    let home = std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"));
    masv_platform::user_config_folder(&home).join("masv")
}

fn file(folder: &Path) -> PathBuf {
    folder.join("contexts.json")
}

fn token_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.token"))
}

impl Contexts {
    fn read(folder: &Path) -> Result<Self, CliError> {
        let path = file(folder);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| CliError::failed(format!("{} is not valid: {error}", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(CliError::failed(format!("cannot read {}: {error}", path.display()))),
        }
    }

    fn write(&self, folder: &Path) -> Result<(), CliError> {
        let text = serde_json::to_vec_pretty(self).map_err(|error| CliError::failed(error.to_string()))?;
        write(folder, &file(folder), &text)
    }

    fn get(&self, name: &str) -> Result<&Known, CliError> {
        self.contexts.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
            let known = if names.is_empty() { "there are none yet".to_owned() } else { names.join(", ") };
            CliError::new(Exit::NotFound, format!("there is no context {name}"))
                .hint(format!("the contexts are: {known}; `masv context add` adds one"))
        })
    }
}

/// Replaces a file that only this user can read.
fn write(folder: &Path, path: &Path, content: &[u8]) -> Result<(), CliError> {
    let written = masv_platform::private_folder(folder).and_then(|()| {
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        masv_platform::close_to_others(new.path())?;
        new.write_all(content)?;
        new.persist(path).map(drop).map_err(|error| error.error)
    });
    written.map_err(|error| CliError::failed(format!("cannot write {}: {error}", path.display())))
}

/// The context that this command goes to; none if the agent is named by its address, or found on this machine.
pub(super) fn chosen(common: &Common) -> Result<Option<Chosen>, CliError> {
    let name = match (common.server_typed, common.context_typed) {
        (true, true) => return Err(CliError::usage("give either --server or --context")),
        (true, false) => return Ok(None),
        (false, true) => common.context.clone(),
        (false, false) if common.server.is_some() => return Ok(None),
        (false, false) => common.context.clone(),
    };
    find(&folder(), name.filter(|name| !name.is_empty()))
}

fn find(folder: &Path, name: Option<String>) -> Result<Option<Chosen>, CliError> {
    // Who runs a command for another user often keeps the own home, and a service may see no home at all: there, no context is
    // current. One that is named has to be read.
    if name.is_none() && is_closed(folder) {
        return Ok(None);
    }
    let contexts = Contexts::read(folder)?;
    let Some(name) = name.or_else(|| contexts.current.clone()) else { return Ok(None) };
    let server = contexts.get(&name)?.server.clone();
    let token_file = Some(token_file(folder, &name)).filter(|path| path.exists());
    Ok(Some(Chosen { server, token_file }))
}

/// Whether this user may not even look for contexts there.
fn is_closed(folder: &Path) -> bool {
    use std::io::ErrorKind::{NotADirectory, PermissionDenied};
    std::fs::metadata(file(folder)).is_err_and(|error| matches!(error.kind(), NotADirectory | PermissionDenied))
}

/// All contexts: their names, with the address of each agent.
pub(super) fn all() -> Result<Vec<(String, String)>, CliError> {
    let contexts = Contexts::read(&folder())?.contexts;
    Ok(contexts.into_iter().map(|(name, known)| (name, known.server)).collect())
}

/// Names of contexts, for completion.
pub(super) fn names() -> Vec<String> {
    Contexts::read(&folder()).map(|all| all.contexts.into_keys().collect()).unwrap_or_default()
}

fn is_name(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.bytes().all(fine) && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

const COLUMNS: [Column; 4] =
    [Column::new("NAME"), Column::new("CURRENT"), Column::new("SERVER").cut(20), Column::new("TOKEN").rank(1)];

pub(super) fn run(command: Command, common: &Common, output: &Output) -> Result<ExitCode, CliError> {
    run_in(&folder(), command, common, output)
}

fn run_in(folder: &Path, command: Command, common: &Common, output: &Output) -> Result<ExitCode, CliError> {
    let mut contexts = Contexts::read(folder)?;
    match command {
        Command::Add { name } => {
            if !is_name(&name) {
                return Err(CliError::usage(format!("{name:?} is not a valid name"))
                    .hint("letters, digits, and . _ - within it, such as studio-b"));
            }
            let server = common.server.as_deref().ok_or_else(|| {
                CliError::usage("give the agent's address: --server URL")
                    .hint("such as --server https://studio-b.example:8080")
            })?;
            let server = server.trim_end_matches('/').to_owned();
            if !server.starts_with("unix://") {
                checked(&server)?;
            }
            let path = token_file(folder, &name);
            match &common.token_file {
                Some(given) => {
                    let text = std::fs::read_to_string(given);
                    let text =
                        text.map_err(|error| CliError::usage(format!("--with-token {}: {error}", given.display())))?;
                    write(folder, &path, text.trim().as_bytes())?;
                }
                // The token of an agent that had this name before is not that of this one.
                None => drop(std::fs::remove_file(&path)),
            }
            output.json(&json!({ "name": name, "server": server, "token": common.token_file.is_some() }));
            output.line(&format!("Added {name} ({server}). `masv context use {name}` makes it the current one."));
            contexts.contexts.insert(name, Known { server });
            contexts.write(folder)?;
        }
        Command::Ls(options) => {
            let current = contexts.current.clone();
            let entries: Vec<(String, Known)> = contexts.contexts.into_iter().collect();
            let has_token = |name: &str| token_file(folder, name).exists();
            let row = |(name, known): &(String, Known)| {
                vec![
                    name.as_str().into(),
                    Cell::mood(if current.as_ref() == Some(name) { "yes" } else { "" }, Mood::Good),
                    known.server.as_str().into(),
                    if has_token(name) { "yes" } else { "no" }.into(),
                ]
            };
            let empty = "No contexts; commands go to the agent of this machine.";
            output.list(&options, &Kind::new(&COLUMNS, empty), entries, row, |entries| {
                let of = |(name, known): (String, Known)| {
                    let token = has_token(&name);
                    json!({ "current": current.as_ref() == Some(&name), "name": name, "server": known.server, "token": token })
                };
                json!({ "contexts": entries.into_iter().map(of).collect::<Vec<_>>() })
            })?;
        }
        Command::Use { name, .. } => {
            if let Some(name) = &name {
                contexts.get(name)?;
            }
            output.json(&json!({ "current": name }));
            output.line(&match &name {
                Some(name) => format!("Commands go to {name} from now on."),
                None => "Commands go to the agent of this machine from now on.".to_owned(),
            });
            contexts.current = name;
            contexts.write(folder)?;
        }
        Command::Rm { name } => {
            contexts.get(&name)?;
            contexts.contexts.remove(&name);
            if contexts.current.as_ref() == Some(&name) {
                contexts.current = None;
            }
            contexts.write(folder)?;
            match std::fs::remove_file(token_file(folder, &name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(CliError::failed(format!("cannot remove the token of {name}: {error}")));
                }
                _ => {}
            }
            output.json(&json!({ "removed": name }));
            output.line(&format!("Removed {name}."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_out_of_the_folder() {
        for name in ["studio-b", "a.b_c", "1"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "../x", "a/b", ".hidden", "-x", "a b", "ä"] {
            assert!(!is_name(name), "{name}");
        }
    }

    /// `sudo -u agent masv status` keeps the home of whoever runs it, and said that it cannot read the contexts there.
    #[test]
    fn a_home_that_cannot_be_looked_into_has_no_current_context_and_none_by_a_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("home"), "no folder").unwrap();
        let inside = folder.path().join("home/masv");
        assert!(find(&inside, None).unwrap().is_none());
        assert_eq!(find(&inside, Some("a".into())).unwrap_err().exit, Exit::Failed);
    }

    #[test]
    fn a_context_that_is_named_comes_before_the_current_one() {
        let folder = tempfile::tempdir().unwrap();
        let server = |name: &str| format!("http://{name}:8080");
        let known = |name: &str| (name.to_owned(), Known { server: server(name) });
        let all = Contexts { current: Some("a".into()), contexts: [known("a"), known("b")].into() };
        assert!(find(folder.path(), None).unwrap().is_none(), "none at all");
        all.write(folder.path()).unwrap();
        assert_eq!(find(folder.path(), None).unwrap().unwrap().server, server("a"));
        assert_eq!(find(folder.path(), Some("b".into())).unwrap().unwrap().server, server("b"));
        let error = find(folder.path(), Some("c".into())).unwrap_err();
        assert!(error.exit == Exit::NotFound && error.hint.unwrap().contains("a, b"));
    }
}
