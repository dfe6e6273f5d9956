//! The table of docs/architecture.md: which rooms there are, and which each may use.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::ROOT;

/// The one that all others may use.
pub const FOR_ALL: &str = "platform";

/// A room of the root package (`watch`), a crate (`hub`), or a room of a crate (`hub::records`), and what it may use.
pub struct Table(BTreeMap<String, BTreeSet<String>>);

impl Table {
    pub fn read() -> Self {
        let page = std::fs::read_to_string(format!("{ROOT}/docs/architecture.md")).unwrap();
        let tables = ["<!-- edges -->", "<!-- hub layers -->"];
        Self::of(&tables.map(|mark| page.split(mark).nth(1).expect("docs/architecture.md marks its tables")).concat())
    }

    pub fn of(text: &str) -> Self {
        let rows = text.lines().filter(|line| line.starts_with("| `")).map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let names = cells[3].split(',').map(|name| name.trim().trim_matches('`').to_owned());
            (cells[1].trim_matches('`').to_owned(), names.filter(|name| name != "nothing").collect())
        });
        Self(rows.collect())
    }

    pub fn rooms(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub fn uses(&self, room: &str) -> &BTreeSet<String> {
        &self.0[room]
    }

    /// Whether a room may use another: where its row says so. The rooms of a crate may also use what their crate may, and
    /// what stands at its root, which in its turn puts them together.
    pub fn allows(&self, room: &str, used: &str) -> bool {
        let of_its_crate = match room.split_once("::") {
            Some((whole, _)) => used == whole || self.0[whole].contains(used),
            None => used.split_once("::").is_some_and(|(whole, _)| whole == room),
        };
        used == FOR_ALL || of_its_crate || self.0[room].contains(used)
    }

    /// The room that a path leads into: the longest row that it begins with. The root package itself is not a room.
    pub fn room_of(&self, package: &str, path: &[String]) -> Option<&str> {
        let whole: Vec<&str> =
            [package].into_iter().filter(|name| *name != "agent").chain(path.iter().map(String::as_str)).collect();
        (1..=whole.len())
            .rev()
            .find_map(|length| self.0.get_key_value(&whole[..length].join("::")))
            .map(|(room, _)| &**room)
    }
}
