//! What the system knows of this process: memory, processor time, descriptors, threads. Empty where it does not say.

/// The process in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Process {
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

impl Process {
    /// Looks. Blocks for a moment.
    pub(super) fn look() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let descriptors = std::fs::read_dir("/proc/self/fd").ok();
        Self {
            // Reading the folder is itself a descriptor.
            descriptors: descriptors.map(|all| (all.count() as u64).saturating_sub(1)),
            descriptors_limit: masv_platform::descriptors(),
            ..Self::of_stat(&stat, rustix::param::page_size() as u64, rustix::param::clock_ticks_per_second())
        }
    }

    /// Reads `/proc/PID/stat` (proc(5)). The name of the process, in brackets, may hold anything.
    fn of_stat(stat: &str, page: u64, ticks: u64) -> Self {
        let Some((_, rest)) = stat.rsplit_once(')') else { return Self::default() };
        // The first of these is field 3.
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Self {
            resident: field(24).map(|pages| pages * page),
            cpu: field(14).zip(field(15)).map(|(user, system)| (user + system) as f64 / ticks.max(1) as f64),
            threads: field(20),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_is_no_trouble() {
        let stat = "42 (ma (sv) x) S 1 42 42 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 7 0 12345 100000000 300 1844674407";
        let seen = Process::of_stat(stat, 4096, 100);
        assert_eq!((seen.cpu, seen.threads, seen.resident), (Some(3.0), Some(7), Some(300 * 4096)));
        assert_eq!(Process::of_stat("", 4096, 100), Process::default());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_one() {
        let seen = Process::look();
        assert!(seen.resident > Some(1 << 20) && seen.descriptors > Some(2) && seen.threads >= Some(1), "{seen:?}");
    }
}
