//! Random histories: whatever is done to files, each ends in exactly one package as it is at the end, and none is
//! packaged while it was changing (R1, R2, R3).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::simulation::Simulation;
use crate::watch::classifier::{Classifier, Kind};
use crate::watch::package::top_level;
use masv_platform::{FileIdentity, OwnPlaces};
use masv_rules::{Finalize, Per};

#[derive(Debug, Clone)]
enum Event {
    Write(usize, u64),
    Append(usize),
    Rename(usize, usize),
    Remove(usize),
    Hold(usize),
    Release(usize),
    Look,
    Run,
    Pause(bool),
    Restart,
}

const NAMES: [&str; 10] = [
    "a.mov",
    "b.mov",
    "card/one.mov",
    "card/deep/two.mov",
    "card/.temp",
    "late.mov.part",
    "a.mov.done",
    "b.mov.done",
    "card/.done",
    "SEND",
];

fn event() -> impl Strategy<Value = Event> {
    let name = 0..NAMES.len();
    prop_oneof![
        10 => (name.clone(), 0_u64..4).prop_map(|(name, size)| Event::Write(name, size)),
        10 => name.clone().prop_map(Event::Append),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Event::Rename(from, to)),
        2 => name.clone().prop_map(Event::Remove),
        2 => name.clone().prop_map(Event::Hold),
        2 => name.prop_map(Event::Release),
        6 => Just(Event::Look),
        1 => Just(Event::Run),
        1 => any::<bool>().prop_map(Event::Pause),
        1 => Just(Event::Restart),
    ]
}

/// What happens, each so many tenths of a second after the one before, and whether there is a hint of it.
fn history() -> impl Strategy<Value = Vec<(u64, Event, bool)>> {
    prop::collection::vec((0_u64..80, event(), any::<bool>()), 1..40)
}

const SETTLE: Duration = Duration::from_secs(2);

/// Every way to package, to be ready, to be let through and to be closed.
fn rules() -> impl Strategy<Value = String> {
    let package = prop::sample::select(vec![
        "package: file",
        "package: { per: folder, quiet: 3s }",
        "package: { per: batch, quiet: 3s, max_wait: 20s }",
        "package: { per: batch, quiet: 1s, max_wait: 20s, max_files: 2, min_files: 2 }",
        "package: { per: batch, quiet: 1s, max_wait: 20s, max_bytes: 4B }",
        "package: { per: batch, quiet: 2s, max_wait: 20s }\ngroup_by: \"{{ path[0] | default('') }}\"",
    ]);
    let schedule = prop::sample::select(vec![
        "schedule: always",
        "schedule: always",
        "schedule: '*/2 * * * *'",
        "schedule: ['15 * * * * *', '45 * * * * *']",
        "schedule: [{ between: '12:01-12:02' }, { between: '12:03-23:59' }]",
    ]);
    let finalize = prop::sample::select(vec![
        "finalize: auto",
        "finalize: auto",
        "finalize: { quiet: 20s }",
        "finalize: { files: 3, quiet: 1m }",
        "finalize: { bytes: 4B, at: '* * * * *' }",
        "finalize: { marker: SEND, at: '*/3 * * * *' }",
    ]);
    let ready = prop::sample::select(vec!["ready: settled", "ready: settled", "ready: { marker: .done }"]);
    let size = prop::sample::select(vec!["", "", "max_size: 4B", "min_size: 1B"]);
    let growing = prop::sample::select(vec!["", "growing: send\ngrowing_min: 1B\ngrowing_guard: 0B"]);
    (package, schedule, finalize, ready, size, growing).prop_map(
        |(package, schedule, finalize, ready, size, growing)| {
            let growing = if finalize.ends_with("auto") { growing } else { "" };
            format!("settle: 2s\n{package}\n{schedule}\n{finalize}\n{ready}\n{size}\n{growing}")
        },
    )
}

/// How many histories are played; set `HISTORIES=100000` for the long run.
fn histories() -> u32 {
    std::env::var("HISTORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: histories(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_file_ends_in_one_package_or_is_explained(keys in rules(), history in history()) {
        let mut simulation = Simulation::new(&keys);
        let mut changed: BTreeMap<PathBuf, Duration> = BTreeMap::new();
        let mut checked = 0;
        simulation.look();
        for (wait, event, hinted) in history {
            let at = simulation.now + Duration::from_millis(wait * 100);
            simulation.pass_until(at);
            check_made(&simulation, &mut checked, &changed)?;
            match event {
                Event::Write(name, size) => {
                    simulation.write(NAMES[name], size);
                    changed.insert(PathBuf::from(NAMES[name]), at);
                }
                Event::Append(name) => {
                    let size = simulation.files.get(Path::new(NAMES[name])).map_or(0, |file| file.identity.size);
                    simulation.write(NAMES[name], size + 1);
                    changed.insert(PathBuf::from(NAMES[name]), at);
                }
                Event::Rename(from, to) if from != to && simulation.files.contains_key(&PathBuf::from(NAMES[from])) => {
                    simulation.rename(NAMES[from], NAMES[to]);
                    changed.insert(PathBuf::from(NAMES[to]), at);
                }
                Event::Remove(name) => simulation.remove(NAMES[name]),
                Event::Hold(name) | Event::Release(name) => {
                    if let Some(file) = simulation.files.get_mut(&PathBuf::from(NAMES[name])) {
                        file.held = matches!(event, Event::Hold(_));
                    }
                }
                Event::Run => simulation.orders.flush = true,
                Event::Pause(paused) => simulation.orders.paused = paused,
                Event::Restart => simulation.restart(),
                Event::Rename(..) | Event::Look => {}
            }
            if hinted || matches!(event, Event::Look | Event::Run) {
                simulation.look();
                check_explained(&simulation)?;
            }
            check_made(&simulation, &mut checked, &changed)?;
        }
        simulation.files.values_mut().for_each(|file| file.held = false);
        simulation.orders.paused = false;
        // Row "long-running watcher goes deaf": the clock brings about looks, whatever the hints say.
        for _ in 0..5 {
            simulation.look();
            simulation.pass_until(simulation.now + Duration::from_secs(300));
        }
        check_made(&simulation, &mut checked, &changed)?;
        check_explained(&simulation)?;
        check_end(&simulation)?;
    }
}

/// At any moment, every file that was seen and is something to the rule has been sent or has a reason that it was not.
fn check_explained(simulation: &Simulation) -> Result<(), TestCaseError> {
    for (path, known) in simulation.desk.inventory().files() {
        if known.kind == Kind::Item {
            prop_assert!(simulation.reason(path).is_some(), "nothing to tell of {path:?}");
        }
    }
    Ok(())
}

/// In the end every file that has what its rule asks for was sent as it is, and nothing was sent twice.
fn check_end(simulation: &Simulation) -> Result<(), TestCaseError> {
    let mut sent: BTreeMap<&PathBuf, Vec<FileIdentity>> = BTreeMap::new();
    for (path, identity) in simulation.made.iter().flat_map(|package| &package.files) {
        sent.entry(path).or_default().push(*identity);
    }
    let sieve = Classifier::new(Arc::clone(simulation.desk.rule()), &[], &OwnPlaces::default());
    for (path, file) in &simulation.files {
        let entered = path.ancestors().skip(1).all(|folder| sieve.enters(folder));
        let item = entered && sieve.sort(path, file.identity.size) == Some(Kind::Item);
        let times = sent.get(path).map_or(&[][..], Vec::as_slice);
        let same = |one: &&FileIdentity| one.size == file.identity.size && one.mtime_ns == file.identity.mtime_ns;
        let arrived = times.last().is_some_and(|last| same(&last));
        let waits = simulation.desk.unready(path).is_some() || in_the_way(simulation, path);
        prop_assert!(!item || arrived || waits, "{:?} was sent as {:?}", path, times);
        prop_assert!(item || times.is_empty() || !arrived, "{:?} was sent", path);
        // A path may see the same content twice with another in between; twice in a row is sent twice.
        let repeated = times.windows(2).any(|two| two[0].size == two[1].size && two[0].mtime_ns == two[1].mtime_ns);
        prop_assert!(!repeated, "{:?} of {:?}", path, times);
    }
    let open = matches!(simulation.desk.rule().finalize, Finalize::Open(_));
    let made: usize = simulation.made.iter().map(|package| package.files.len()).sum();
    let closed: usize = simulation.closed.iter().map(|package| package.files.len()).sum();
    prop_assert!(!open || made == closed, "{} of {} files are in closed packages", closed, made);
    prop_assert_eq!(simulation.still_open(), 0);
    for path in simulation.growing.values().flat_map(BTreeMap::keys) {
        let waits = simulation.desk.unready(path).is_some() || in_the_way(simulation, path);
        prop_assert!(waits, "{path:?} was begun, is complete and was not sent");
    }
    Ok(())
}

/// A folder goes as a whole: a file waits for one beside it that waits for its marker.
fn in_the_way(simulation: &Simulation, path: &Path) -> bool {
    let folder = simulation.desk.rule().package.per == Per::Folder;
    let mut others = simulation.files.keys().filter(|other| top_level(other) == top_level(path));
    folder && others.any(|other| simulation.desk.unready(other).is_some())
}

/// Each package made since the last check: nothing in it had changed for the settle time, and all is what the rule sends.
fn check_made(
    simulation: &Simulation,
    checked: &mut usize,
    changed: &BTreeMap<PathBuf, Duration>,
) -> Result<(), TestCaseError> {
    for package in &simulation.made[*checked..] {
        for (path, identity) in &package.files {
            prop_assert!(simulation.desk.rule().matches(path, identity.size), "{path:?} of {} bytes", identity.size);
            let last = changed[path];
            prop_assert!(package.at >= last + SETTLE, "{path:?} changed at {last:?}, was packaged at {:?}", package.at);
        }
        let paths: std::collections::BTreeSet<_> = package.files.iter().map(|(path, _)| path).collect();
        prop_assert_eq!(paths.len(), package.files.len());
    }
    *checked = simulation.made.len();
    Ok(())
}
