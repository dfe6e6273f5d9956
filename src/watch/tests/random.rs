//! Random histories: whatever is done to files, each ends in exactly one package as it is at the end, and none is
//! packaged while it was changing (R1, R2, R3).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::simulation::Simulation;
use crate::base::FileIdentity;

#[derive(Debug, Clone)]
enum Event {
    Write(usize, u64),
    Rename(usize, usize),
    Remove(usize),
    Hold(usize),
    Release(usize),
    Look,
}

const NAMES: [&str; 6] = ["a.mov", "b.mov", "card/one.mov", "card/deep/two.mov", "card/.temp", "late.mov.part"];

fn event() -> impl Strategy<Value = Event> {
    let name = 0..NAMES.len();
    prop_oneof![
        4 => (name.clone(), 0_u64..4).prop_map(|(name, size)| Event::Write(name, size)),
        1 => (name.clone(), name.clone()).prop_map(|(from, to)| Event::Rename(from, to)),
        1 => name.clone().prop_map(Event::Remove),
        1 => name.clone().prop_map(Event::Hold),
        1 => name.prop_map(Event::Release),
        3 => Just(Event::Look),
    ]
}

/// What happens, each so many tenths of a second after the one before, and whether there is a hint of it.
fn history() -> impl Strategy<Value = Vec<(u64, Event, bool)>> {
    prop::collection::vec((0_u64..80, event(), any::<bool>()), 1..40)
}

const SETTLE: Duration = Duration::from_secs(2);

fn rules() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "settle: 2s\npackage: file",
        "settle: 2s\npackage: { per: folder, quiet: 3s }",
        "settle: 2s\npackage: { per: batch, quiet: 3s, max_wait: 20s }",
        "settle: 2s\npackage: { per: batch, quiet: 1s, max_wait: 20s, max_files: 2, min_files: 2 }",
        "settle: 2s\npackage: batch\nfinalize: { quiet: 1m }",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_file_ends_in_one_package_and_none_is_packaged_while_it_changes(keys in rules(), history in history()) {
        let mut simulation = Simulation::new(keys);
        let mut changed: BTreeMap<PathBuf, Duration> = BTreeMap::new();
        let mut checked = 0;
        for (wait, event, hinted) in history {
            let at = simulation.now + Duration::from_millis(wait * 100);
            simulation.pass_until(at);
            check_made(&simulation, &mut checked, &changed)?;
            match event {
                Event::Write(name, size) => {
                    simulation.write(NAMES[name], size);
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
                Event::Rename(..) | Event::Look => {}
            }
            if hinted || matches!(event, Event::Look) {
                simulation.look();
                check_made(&simulation, &mut checked, &changed)?;
            }
        }
        simulation.files.values_mut().for_each(|file| file.held = false);
        // The clock brings about looks, whatever the hints say.
        for _ in 0..5 {
            simulation.look();
            simulation.pass_until(simulation.now + Duration::from_secs(300));
        }
        check_made(&simulation, &mut checked, &changed)?;
        let mut sent: BTreeMap<&PathBuf, Vec<FileIdentity>> = BTreeMap::new();
        for (path, identity) in simulation.made.iter().flat_map(|package| &package.files) {
            sent.entry(path).or_default().push(*identity);
        }
        for (path, file) in &simulation.files {
            let sendable = !path.to_string_lossy().contains(".temp") && !path.to_string_lossy().ends_with(".part");
            let times = sent.get(path).map_or(&[][..], Vec::as_slice);
            let same = |one: &&FileIdentity| one.size == file.identity.size && one.mtime_ns == file.identity.mtime_ns;
            prop_assert_eq!(times.last().is_some_and(|last| same(&last)), sendable, "{:?} of {:?}", path, times);
            // A path may see the same content twice with another in between; twice in a row is sent twice.
            let repeated = times.windows(2).any(|two| two[0].size == two[1].size && two[0].mtime_ns == two[1].mtime_ns);
            prop_assert!(!repeated, "{:?} of {:?}", path, times);
        }
    }
}

/// Each package made since the last check: nothing in it had changed for the settle time.
fn check_made(
    simulation: &Simulation,
    checked: &mut usize,
    changed: &BTreeMap<PathBuf, Duration>,
) -> Result<(), TestCaseError> {
    for package in &simulation.made[*checked..] {
        for (path, _) in &package.files {
            let last = changed[path];
            prop_assert!(package.at >= last + SETTLE, "{path:?} changed at {last:?}, was packaged at {:?}", package.at);
        }
        let paths: std::collections::BTreeSet<_> = package.files.iter().map(|(path, _)| path).collect();
        prop_assert_eq!(paths.len(), package.files.len());
    }
    *checked = simulation.made.len();
    Ok(())
}
