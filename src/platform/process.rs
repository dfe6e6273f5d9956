//! Processes: what this one uses, whether another is ours to steer, and ending one with all that it has started.

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};

use crate::{descriptors, system};

/// What this process uses; nothing where the system does not say.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessUsage {
    /// Bytes in memory.
    pub resident: Option<u64>,
    /// Seconds of processor time, user and system.
    pub cpu: Option<f64>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// How many descriptors may be open.
    pub descriptors_limit: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

impl ProcessUsage {
    /// Looks. Blocks for a moment.
    #[must_use]
    pub fn look() -> Self {
        Self { descriptors_limit: descriptors(), ..system::process_usage() }
    }
}

/// Whether a process is there and this one may send it signals.
#[must_use]
pub fn may_signal(process: u32) -> bool {
    pid(process).is_some_and(|pid| test_kill_process(pid).is_ok())
}

/// Ends all processes of a group at once; the first of them, by whose id it is known, may have ended.
pub fn end_group(group: u32) {
    if let Some(group) = pid(group) {
        // That there is nothing left of it is as it should be.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// The name of this machine in its network.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn pid(process: u32) -> Option<Pid> {
    i32::try_from(process).ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_something() {
        let seen = ProcessUsage::look();
        assert!(seen.resident > Some(1 << 20) && seen.descriptors > Some(2) && seen.threads >= Some(1), "{seen:?}");
    }

    #[test]
    fn a_process_is_there_until_it_has_ended() {
        assert!(may_signal(std::process::id()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(!may_signal(child.id()));
        assert!(!may_signal(0) && !may_signal(u32::MAX), "neither is the id of a process");
    }
}
