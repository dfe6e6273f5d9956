//! What a process uses, from `/proc` (proc(5)).

use crate::ProcessUsage;

pub(crate) fn process_usage() -> ProcessUsage {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let descriptors = std::fs::read_dir("/proc/self/fd").ok();
    ProcessUsage {
        // Reading the folder is itself a descriptor.
        descriptors: descriptors.map(|all| (all.count() as u64).saturating_sub(1)),
        ..of_stat(&stat, rustix::param::page_size() as u64, rustix::param::clock_ticks_per_second())
    }
}

/// Reads `/proc/PID/stat`. The name of the process, in brackets, may hold anything.
fn of_stat(stat: &str, page: u64, ticks: u64) -> ProcessUsage {
    let Some((_, rest)) = stat.rsplit_once(')') else { return ProcessUsage::default() };
    // The first of these is field 3.
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    ProcessUsage {
        resident: field(24).map(|pages| pages * page),
        cpu: field(14).zip(field(15)).map(|(user, system)| (user + system) as f64 / ticks.max(1) as f64),
        threads: field(20),
        ..ProcessUsage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_is_no_trouble() {
        let stat = "42 (ma (sv) x) S 1 42 42 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 7 0 12345 100000000 300 1844674407";
        let seen = of_stat(stat, 4096, 100);
        assert_eq!((seen.cpu, seen.threads, seen.resident), (Some(3.0), Some(7), Some(300 * 4096)));
        assert_eq!(of_stat("", 4096, 100), ProcessUsage::default());
    }
}
