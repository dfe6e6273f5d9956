//! The rooms of the workspace use each other only as docs/architecture.md allows, and only the platform crate speaks to the
//! operating system: the sources are parsed, and every path in them is compared with the table there.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail by panicking")]

mod contributing;
mod names;
mod promises;
mod sources;
mod system;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use sources::{Module, Package, modules, packages};
use table::{FOR_ALL, Table};

/// The rooms that a module uses besides its own, or what is wrong with how it does.
fn used<'a>(table: &'a Table, module: &Module) -> Result<BTreeSet<&'a str>, String> {
    let own = table.room_of(&module.package, &module.path);
    let mut used = BTreeSet::new();
    for (package, path) in &module.names.ours {
        match table.room_of(package, path) {
            Some(room) => drop(used.insert(room)),
            None => return Err(format!("{} names `{}`, which is no room", module.file, path.join("::"))),
        }
    }
    used.retain(|room| Some(*room) != own && *room != FOR_ALL);
    Ok(used)
}

/// What the table says against how these modules use each other.
fn problems(table: &Table, modules: &[Module]) -> Vec<String> {
    let mut found = Vec::new();
    for module in modules.iter().filter(|module| module.package != "agent" || !module.path.is_empty()) {
        let Some(room) = table.room_of(&module.package, &module.path) else {
            found.push(format!("{} is in no room of the table", module.file));
            continue;
        };
        match used(table, module) {
            Ok(used) => found.extend(
                used.iter().filter(|used| !table.allows(room, used)).map(|used| format!("{} uses {used}", module.file)),
            ),
            Err(problem) => found.push(problem),
        }
    }
    found
}

#[test]
fn rooms_use_each_other_only_as_the_table_allows() {
    let found = problems(&Table::read(), modules());
    assert!(found.is_empty(), "against the tables in docs/architecture.md:\n{}", found.join("\n"));
}

#[test]
fn the_table_allows_rooms_nothing_that_they_do_not_need() {
    let table = Table::read();
    let mut needed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for module in modules() {
        if let (Some(room), Ok(used)) = (table.room_of(&module.package, &module.path), used(&table, module)) {
            needed.entry(room).or_default().extend(used);
        }
    }
    let crates: BTreeSet<String> = packages().into_iter().map(|package| package.name).collect();
    let rooms = table.rooms().filter(|room| *room == "agent" || !(crates.contains(*room) || room.contains("::")));
    let spare: Vec<String> = rooms
        .flat_map(|room| table.uses(room).iter().map(move |used| (room, used)))
        .filter(|(room, used)| !needed.get(room).is_some_and(|needed| needed.contains(used.as_str())))
        .map(|(room, used)| format!("{room} does not use {used}"))
        .collect();
    assert!(spare.is_empty(), "strike from the table in docs/architecture.md:\n{}", spare.join("\n"));
}

#[test]
fn crates_depend_on_each_other_only_as_the_table_allows() {
    let table = Table::read();
    let packages = packages();
    let crates: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    for Package { name, uses, .. } in &packages {
        let is_in_it = |room: &&str| match room.split_once("::") {
            Some((first, _)) => first == name,
            None if name == "agent" => *room == "agent" || !crates.contains(room),
            None => room == name,
        };
        let allowed: BTreeSet<&str> = table
            .rooms()
            .filter(is_in_it)
            .flat_map(|room| table.uses(room))
            .map(|used| used.split_once("::").map_or(used.as_str(), |(first, _)| first))
            .chain([FOR_ALL])
            .collect();
        let more: Vec<_> = uses.iter().filter(|used| !allowed.contains(used.as_str())).collect();
        assert!(more.is_empty(), "Cargo.toml of {name} depends on {more:?}, against the table in docs/architecture.md");
    }
}

#[test]
fn every_source_opens_with_what_it_is_for() {
    let all = modules();
    let silent = all.iter().map(|module| &module.file).filter(|file| {
        let text = std::fs::read_to_string(format!("{}/{file}", sources::ROOT)).unwrap();
        !text.starts_with("//!")
    });
    let silent: Vec<_> = silent.collect();
    assert!(silent.is_empty(), "without a //! header: {silent:?}");
}

/// The kinds of edges that a line-by-line search for `crate::` misses, and what is not an edge.
#[test]
fn an_edge_is_seen_however_it_is_written() {
    let seen = |code: &str| {
        let file = syn::parse_file(code).unwrap();
        let names = names::names(&file, "agent", &["watch".to_owned(), "runner".to_owned()]);
        let mut rooms: Vec<String> = names
            .ours
            .into_iter()
            .map(|(package, path)| if package == "agent" { path.first().cloned().unwrap_or_default() } else { package })
            .filter(|room| room != "watch")
            .collect();
        rooms.dedup();
        rooms
    };
    assert_eq!(seen("use crate::{hub::Hub, store::{Store, self}};"), ["hub", "store"]);
    assert_eq!(seen("pub use crate::{\n    api,\n    cli::{\n        Client as C,\n    },\n};"), ["api", "cli"]);
    assert_eq!(seen("use masv_hub as server; extern crate masv_client;"), ["hub", "client"]);
    assert_eq!(
        seen("use super::super::store; mod a { mod b { use super::super::super::super::api::*; } }"),
        ["store", "api"]
    );
    assert_eq!(seen("fn f() { info!(x = crate::api::y(), z: masv_rules::Z, w); }"), ["api", "rules"]);
    assert_eq!(seen("struct S { #[serde(with = \"crate::store::rows\")] x: Vec<crate::hub::X> }"), ["store", "hub"]);
    assert_eq!(seen("use crate as root;"), [""]);
    assert_eq!(seen("use super::desk; use self::x::Y; pub(in crate::watch) struct S; pub(crate) struct T;"), [""; 0]);
    assert_eq!(seen("//! [`crate::hub`]\n/// crate::hub\n#[cfg(test)]\nmod tests { use crate::hub; }"), [""; 0]);
    assert_eq!(
        seen("impl X { #[cfg(test)] fn f() { crate::hub::x() } } #[cfg(all(test, unix))] use crate::api;"),
        [""; 0]
    );
}
