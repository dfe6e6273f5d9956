//! caffeinate(8).

use std::process::Command;

/// It lasts as long as the process.
pub(crate) fn awake_command(_why: &str, process: u32) -> Command {
    let mut command = Command::new("caffeinate");
    command.args(["-i", "-w"]).arg(process.to_string());
    command
}
