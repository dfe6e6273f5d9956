//! The rooms of the workspace may use each other only as docs/architecture.md allows: this test reads every `crate::…` and
//! `masv_…::` path in `src/` and fails on an edge that the table there does not have.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const SRC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// The table of docs/architecture.md: which rooms each room may use. `platform` may be used by all.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/architecture.md")).unwrap();
    let table = page.split("<!-- edges -->").nth(1).expect("docs/architecture.md marks its table of edges");
    let mut rooms = BTreeMap::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let room = cells[1].trim_matches('`').to_owned();
        let mut uses: BTreeSet<String> = cells[3]
            .split(',')
            .map(|name| name.trim().trim_matches('`').to_owned())
            .filter(|name| name != "nothing")
            .collect();
        uses.insert("platform".to_owned());
        rooms.insert(room, uses);
    }
    rooms
}

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

fn room_of(source: &Path) -> String {
    let relative = source.strip_prefix(SRC).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that a source names by `crate::room`, its tests left out.
fn used_rooms(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut used = BTreeSet::new();
    for line in lines {
        for path in line.split("crate::").skip(1).chain(line.split("masv_").skip(1)) {
            let name: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !name.is_empty() {
                used.insert(name);
            }
        }
    }
    used
}

#[test]
fn rooms_use_each_other_only_as_the_table_allows() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    for source in sources(Path::new(SRC)) {
        let room = room_of(&source);
        if matches!(room.as_str(), "lib" | "main") || source.ends_with("tests.rs") {
            continue;
        }
        let may_use =
            allowed.get(&room).unwrap_or_else(|| panic!("docs/architecture.md does not know the room {room}"));
        for used in used_rooms(&std::fs::read_to_string(&source).unwrap()) {
            if used != room && allowed.contains_key(&used) && !may_use.contains(&used) {
                wrong.push(format!("{} uses {used}", source.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "edges that docs/architecture.md does not allow:\n{}", wrong.join("\n"));
}

#[test]
fn every_source_opens_with_what_it_is_for() {
    let silent: Vec<_> = sources(Path::new(SRC))
        .into_iter()
        .filter(|source| !source.ends_with("tests.rs") && !std::fs::read_to_string(source).unwrap().starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "without a //! header: {silent:?}");
}

#[test]
fn an_edge_is_seen_where_there_is_one() {
    let used = used_rooms("use crate::store::Store;\n// crate::hub\nlet x = crate::db::open();\n");
    assert_eq!(used, BTreeSet::from(["store".to_owned(), "db".to_owned()]));
}
