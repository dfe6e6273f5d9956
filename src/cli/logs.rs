//! `masv logs`: the end of the agent's log, and what is added to it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::client::Client;
use super::error::{CliError, Exit};
use super::interrupt::Interrupt;
use super::output::Output;
use crate::api::about::SettingsInForce;
use masv_platform::{FileIdentity, ServiceManager};

/// How often is looked for more.
const EVERY: Duration = Duration::from_millis(250);
/// How much is read at once, in bytes.
const BLOCK: u64 = 64 << 10;

#[derive(Debug, Args)]
pub(super) struct Logs {
    /// Show what is added, too, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
    /// How many of the last lines to show.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    lines: usize,
    /// The log file, if no agent is running that names it.
    #[arg(long, value_name = "FILE", env = "MASV_LOG_FILE")]
    file: Option<PathBuf>,
}

pub(super) async fn run(options: Logs, client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    let path = match options.file {
        Some(file) => file,
        None => named_by(client).await?,
    };
    let mut interrupt = Interrupt::listen();
    let mut tail = Tail::open(&path, options.lines)
        .map_err(|error| CliError::failed(format!("cannot read {}: {error}", path.display())))?;
    loop {
        while let Some(text) = tail.more().map_err(|error| CliError::failed(format!("{}: {error}", path.display())))? {
            output.raw(&text);
        }
        if !options.follow {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = interrupt.pressed() => return Ok(ExitCode::from(Exit::Interrupted as u8)),
        }
    }
}

/// The log file of the running agent.
async fn named_by(client: &Client) -> Result<PathBuf, CliError> {
    let settings: SettingsInForce = client.get("/server/settings").await.map_err(|error| match error.exit {
        Exit::NoAgent => CliError { hint: Some(elsewhere()), ..error },
        _ => error,
    })?;
    let file = settings.settings.into_iter().find(|setting| setting.name == "log-file" && setting.source != "default");
    file.map(|setting| PathBuf::from(setting.value)).ok_or_else(|| {
        CliError::new(Exit::NotFound, "the agent writes its log to standard error, not to a file").hint(elsewhere())
    })
}

/// Where the log is, if not in a file that is known.
fn elsewhere() -> String {
    let file = "`masv server start --log-file FILE` writes one, `masv logs --file FILE` reads it";
    match ServiceManager::OF_THIS_SYSTEM {
        ServiceManager::Systemd => format!("for a service: `journalctl -u masv-agent -f`; otherwise {file}"),
        ServiceManager::Launchd => {
            format!("for a service: `masv logs --file /usr/local/var/log/masv-agent/agent.log`; otherwise {file}")
        }
    }
}

/// The end of a file that is written to, over its being renamed and begun anew.
struct Tail {
    path: PathBuf,
    file: File,
    identity: FileIdentity,
}

impl Tail {
    /// Opens the file at the beginning of its last lines.
    fn open(path: &Path, lines: usize) -> std::io::Result<Self> {
        let mut file = File::open(path)?;
        let identity = FileIdentity::of(&file.metadata()?);
        let (mut at, mut found) = (file.seek(SeekFrom::End(0))?, 0);
        // The line feed at the end of the last line does not begin another.
        let (mut start, end) = (at, at);
        'blocks: while at > 0 {
            let from = at.saturating_sub(BLOCK);
            let mut block = vec![0; usize::try_from(at - from).unwrap_or_default()];
            file.seek(SeekFrom::Start(from))?;
            file.read_exact(&mut block)?;
            for (index, byte) in block.iter().enumerate().rev() {
                let place = from + index as u64 + 1;
                if *byte == b'\n' && place < end {
                    found += 1;
                    if found == lines {
                        start = place;
                        break 'blocks;
                    }
                }
            }
            (at, start) = (from, from);
        }
        let start = if lines == 0 { file.metadata()?.len() } else { start };
        file.seek(SeekFrom::Start(start))?;
        Ok(Self { path: path.to_owned(), file, identity })
    }

    /// What was added since the last call.
    fn more(&mut self) -> std::io::Result<Option<String>> {
        let mut text = Vec::new();
        (&mut self.file).take(BLOCK).read_to_end(&mut text)?;
        if text.is_empty() {
            let new = match File::open(&self.path) {
                Ok(new) => new,
                // Between being renamed and begun anew.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let identity = FileIdentity::of(&new.metadata()?);
            if (identity.device, identity.inode) == (self.identity.device, self.identity.inode) {
                return Ok(None);
            }
            // What was written to the old one since it was read.
            self.file.read_to_end(&mut text)?;
            (self.file, self.identity) = (new, identity);
        }
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, lines: usize) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, text).unwrap();
        let mut tail = Tail::open(&path, lines).unwrap();
        let mut shown = String::new();
        while let Some(more) = tail.more().unwrap() {
            shown += &more;
        }
        shown
    }

    #[test]
    fn the_last_lines_are_shown() {
        assert_eq!(shown("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(shown("a\nb\nc", 2), "b\nc");
        assert_eq!(
            (shown("a\nb\n", 9), shown("", 9), shown("a\nb\n", 0)),
            ("a\nb\n".into(), String::new(), String::new())
        );
        let long: String = (0..40_000).map(|number| format!("line {number}\n")).collect();
        assert_eq!(shown(&long, 1), "line 39999\n");
        assert_eq!(shown(&long, 30_000).lines().next(), Some("line 10000"));
    }

    #[test]
    fn nothing_is_missed_when_the_file_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "a\n").unwrap();
        let mut tail = Tail::open(&path, 9).unwrap();
        assert_eq!(tail.more().unwrap().unwrap(), "a\n");
        assert!(tail.more().unwrap().is_none());
        std::fs::rename(&path, folder.path().join("log.1")).unwrap();
        assert!(tail.more().unwrap().is_none());
        std::fs::write(&path, "b\n").unwrap();
        assert_eq!(tail.more().unwrap().unwrap() + &tail.more().unwrap().unwrap_or_default(), "b\n");
    }
}
