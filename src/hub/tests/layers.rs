//! The layers of the hub: no file names a layer above its own, and the files beside the layers name none but those
//! that are allowed here.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What each layer, and each file beside the layers, may name. A layer may always name itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("operator", &["http", "jobs", "records", "storage", "keys"]),
    ("http", &["jobs", "records", "storage", "keys"]),
    ("jobs", &["records", "storage", "keys"]),
    ("records", &["keys"]),
    ("storage", &[]),
    ("keys", &[]),
    ("context", &["records", "storage", "keys"]),
    ("config", &["storage"]),
    ("error", &["records", "storage", "keys"]),
    ("clock", &[]),
    ("format", &[]),
    ("network", &[]),
    ("stored", &[]),
];

/// What else each layer may name: files beside the layers.
const BESIDE: &[(&str, &[&str])] = &[
    ("operator", &["clock", "config", "context", "error", "stored"]),
    ("http", &["clock", "config", "context", "error", "format", "network", "stored"]),
    ("jobs", &["clock", "config", "context", "error", "format", "stored"]),
    ("records", &["clock", "format", "stored"]),
    ("storage", &["stored"]),
    ("keys", &[]),
    ("context", &["clock", "config", "error"]),
    ("config", &["network"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The modules of the crate that a text names as `crate::module`, alone or in a group; its tests are left out.
fn named(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = lines.join("\n");
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let group = match rest.strip_prefix('{') {
            Some(group) => top_level(group),
            None => vec![rest],
        };
        for path in group {
            found.insert(path.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found
}

/// The paths of a group, which begins after its brace.
fn top_level(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut paths) = (0_usize, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                paths.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                paths.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    paths
}

#[test]
fn no_layer_names_one_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let known: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    let mut allowed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, uses) in MAY_USE.iter().chain(BESIDE) {
        allowed.entry(name).or_default().extend(uses.iter().copied());
    }
    let mut wrong = Vec::new();
    for source in sources(root) {
        let relative = source.strip_prefix(root).unwrap();
        let first = relative.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        if matches!(first, "lib" | "tests") || relative.ends_with("tests.rs") {
            continue;
        }
        assert!(known.contains(first), "{} belongs to no layer that is known here", relative.display());
        for used in named(&std::fs::read_to_string(&source).unwrap()) {
            if known.contains(used.as_str()) && used != first && !allowed[first].contains(used.as_str()) {
                wrong.push(format!("{} uses {used}", relative.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the order of the layers:\n{}", wrong.join("\n"));
}

#[test]
fn there_is_no_circle() {
    let mut above: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, uses) in MAY_USE.iter().chain(BESIDE) {
        above.entry(name).or_default().extend(uses.iter().copied());
    }
    // Files that use none of the remaining ones are removed, until none is left.
    while !above.is_empty() {
        let uses_nothing = |uses: &BTreeSet<&str>| uses.iter().all(|used| !above.contains_key(used));
        let lowest: Vec<&str> = above.iter().filter(|(_, uses)| uses_nothing(uses)).map(|(name, _)| *name).collect();
        assert!(!lowest.is_empty(), "a circle among {:?}", above.keys());
        above.retain(|name, _| !lowest.contains(name));
    }
}

#[test]
fn records_name_no_library_of_http_and_no_connection() {
    let records = Path::new(env!("CARGO_MANIFEST_DIR")).join("records");
    for source in sources(&records) {
        let text = std::fs::read_to_string(&source).unwrap();
        for foreign in ["axum", "rusqlite", "hyper", "StatusCode"] {
            assert!(!text.contains(foreign), "{} names {foreign}", source.display());
        }
    }
}

#[test]
fn a_name_is_seen_alone_and_in_a_group() {
    let names = named("use crate::{Hub, http::{a, b}, records};\n// crate::keys\nlet x = crate::storage::open();\n");
    let expected = ["Hub", "http", "records", "storage"].map(str::to_owned);
    assert_eq!(names, BTreeSet::from(expected));
}
