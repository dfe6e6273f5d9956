//! systemd's inhibitors (systemd-inhibit(1)).

use std::process::Command;

/// It lasts as long as the program that it starts, which ends with the process.
pub(crate) fn awake_command(why: &str, process: u32) -> Command {
    let mut command = Command::new("systemd-inhibit");
    command.args(["--what=idle:sleep", "--mode=block", "--who=masv-agent"]).arg(format!("--why={why}"));
    command.args(["tail", "-f", "/dev/null"]).arg(format!("--pid={process}"));
    command
}
