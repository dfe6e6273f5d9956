//! `masv setup`: creates a working rules file. It asks where to send packages and which folder to watch, checks the
//! answers against the real port, mail server and cloud, writes the file and says what to do next. With `--yes`
//! it asks nothing and uses the values of the flags.
//!
//! **In**: flags, and answers on a terminal. **Out**: a rules file and, where a password or a key was typed, a file with it that
//! no other user can read.
//!
//! **Guarantees.** Nothing is written before everything is checked, and no file is replaced without being told to.

mod answers;
mod checks;
mod written;

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use self::answers::{Given, Questions};
use super::error::CliError;
use super::output::Output;

/// The flags of `masv setup`.
#[derive(Debug, Args)]
pub(super) struct Setup {
    /// The rules file to write.
    #[arg(long, value_name = "FILE", default_value = "rules.yaml")]
    file: PathBuf,
    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
    /// Ask nothing: use the flags, and the defaults for everything else.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    given: Given,
}

pub(super) async fn run(setup: Setup, output: &Output) -> Result<ExitCode, CliError> {
    let asks = !setup.yes;
    if asks && !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(CliError::usage("there is no terminal to ask questions on")
            .hint("use --yes and the flags; see `masv setup --help`"));
    }
    let file = std::path::absolute(&setup.file).map_err(|error| CliError::usage(error.to_string()))?;
    if file.exists() && !setup.force {
        return Err(CliError::failed(format!("{} already exists", file.display()))
            .hint("choose another file with --file, or replace it with --force"));
    }
    let (mut input, mut screen) = (std::io::stdin().lock(), std::io::stderr());
    let answers = match asks {
        false => answers::from_flags(setup.given)?,
        true => loop {
            let mut questions = Questions::new(&mut input as &mut dyn BufRead, &mut screen as &mut dyn Write);
            let answers = questions.ask(&setup.given).await?;
            let problems = checks::run(&answers).await;
            if problems.is_empty() || !questions.again(&problems)? {
                break answers;
            }
        },
    };
    if !asks && let Some(problem) = checks::run(&answers).await.into_iter().next() {
        return Err(problem);
    }
    let written = written::write(&answers, &file, setup.force)?;
    output.json(
        &json!({ "rules": file, "secrets": written.secrets, "watch": written.watch, "sends_to": written.sends_to }),
    );
    tell(&file, &written, output);
    Ok(ExitCode::SUCCESS)
}

fn tell(file: &Path, written: &written::Written, output: &Output) {
    let name = file.display();
    output.line(&format!("Wrote {name}"));
    for secret in &written.secrets {
        output.line(&format!("Wrote {} (readable by you only)", secret.display()));
    }
    output.line("");
    output.line(&format!("Files dropped into {} are sent to {}.", written.watch.display(), written.sends_to));
    for note in &written.notes {
        output.line(&format!("note: {note}"));
    }
    output.line("");
    output.line("Start the agent:");
    output.line(&format!("  masv server start --rules {name}"));
    output.line("To start it at boot, see `masv service install --help`.");
}
