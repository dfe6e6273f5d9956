//! Keeping the machine from falling asleep while there is work.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::{end_group, system};

/// A program of the system that keeps the machine awake, until this is dropped or this process ends, however it ends.
#[derive(Debug)]
pub struct Awake {
    program: Child,
}

impl Awake {
    /// Keeps the machine from falling asleep by itself; `why` is shown to whoever asks what does.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn keep(why: &str) -> io::Result<Self> {
        Self::by(system::awake_command(why, std::process::id()))
    }

    fn by(mut command: Command) -> io::Result<Self> {
        // A group of its own: it is ended with all that it has started.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Ok(Self { program: command.spawn()? })
    }

    /// Whether the program is still at it: it ends at once where it is not allowed to.
    pub fn lasts(&mut self) -> bool {
        matches!(self.program.try_wait(), Ok(None))
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        // One that has ended by itself was waited for, and its id may be another's by now.
        if self.lasts() {
            end_group(self.program.id());
            let _ = self.program.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::may_signal;

    #[test]
    fn the_program_lasts_until_it_is_dropped() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let mut awake = Awake::by(command).unwrap();
        let id = awake.program.id();
        assert!(awake.lasts() && may_signal(id));
        drop(awake);
        assert!(!may_signal(id));
    }

    #[test]
    fn one_that_may_not_is_noticed() {
        let mut awake = Awake::by(Command::new("false")).unwrap();
        let begun = Instant::now();
        while awake.lasts() {
            assert!(begun.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        }
        assert!(Awake::by(Command::new("/no/such/program")).is_err());
    }

    #[test]
    fn it_ends_with_the_process_that_it_is_for() {
        let command = system::awake_command("files are sent", 4711);
        let shown = format!("{command:?}");
        assert!(shown.contains("4711"), "{shown}");
    }
}
