//! Cases as files: a rule, what happens in its folder and when, the packages that are to come of it. A regression is
//! one more file under `tests/cases/watch`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::simulation::{Made, Simulation};

/// Plays the case and returns the packages in the form in which the case lists them.
///
/// A case has three parts, divided by lines of dashes: the rule's keys; the history, one line an event
/// (`SECONDS VERB ARGUMENTS`); and what came of it, one line each: a package, or files added to an open one
/// (`SECONDS FILE FILE ...`), and an open package closed (`SECONDS closed FILE FILE ...`). After each event there is
/// a look, unless its verb ends in `!`, as when the event was lost. A history may begin with `0 clock TIME[ZONE]`.
fn play(case: &str) -> String {
    let mut parts = case.split("\n---\n");
    let (rule, history) = (parts.next().unwrap(), parts.next().unwrap());
    let clock = history.lines().find_map(|line| line.strip_prefix("0 clock "));
    let mut simulation = clock.map_or_else(|| Simulation::new(rule), |clock| Simulation::at(rule, clock));
    let mut end = Duration::ZERO;
    for line in history.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = Duration::from_secs_f64(words[0].parse().unwrap());
        simulation.pass_until(at);
        let (verb, seen) = words[1].strip_suffix('!').map_or((words[1], true), |verb| (verb, false));
        match (verb, &words[2..]) {
            ("write", [path, size]) => simulation.write(path, size.parse().unwrap()),
            ("rewrite", [path]) => simulation.rewrite(path),
            ("rename", [from, to]) => simulation.rename(from, to),
            ("remove", [path]) => simulation.remove(path),
            ("hold", [path]) => simulation.files.get_mut(Path::new(path)).unwrap().held = true,
            ("release", [path]) => simulation.files.get_mut(Path::new(path)).unwrap().held = false,
            ("blind", [path]) => simulation.files.get_mut(Path::new(path)).unwrap().unseen = true,
            ("close", [path]) => simulation.files.get_mut(Path::new(path)).unwrap().readable = false,
            ("run", []) => simulation.orders.flush = true,
            ("pause", []) => simulation.orders.paused = true,
            ("resume", []) => simulation.orders.paused = false,
            ("restart", []) => simulation.restart(),
            ("look" | "end", []) | ("clock", [_]) => {}
            other => panic!("no such event: {other:?}"),
        }
        if seen {
            simulation.look();
        }
        end = at;
    }
    simulation.pass_until(end);
    let made = simulation.made.iter().map(|package| (package, false));
    let mut all: Vec<(&Made, bool)> = made.chain(simulation.closed.iter().map(|package| (package, true))).collect();
    all.sort_by_key(|(package, closed)| (package.at, *closed));
    let mut result = String::new();
    for (package, closed) in all {
        let _ = write!(result, "{}", package.at.as_secs_f64());
        result.push_str(if closed { " closed" } else { "" });
        for (path, _) in &package.files {
            let _ = write!(result, " {}", path.display());
        }
        result.push('\n');
    }
    result
}

#[test]
fn every_case_gives_the_packages_it_lists() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/watch");
    let (mut played, mut wrong) = (0, String::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let case = std::fs::read_to_string(&path).unwrap();
        let expected = case.rsplit("\n---\n").next().unwrap();
        let (given, expected) = (play(&case), expected.trim());
        if given.trim() != expected {
            let _ = writeln!(wrong, "{}:\n{}\ninstead of\n{expected}\n", path.display(), given.trim());
        }
        played += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(played > 40);
}
