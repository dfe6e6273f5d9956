//! Whole cards as cameras write them, a file of tests/cases/cards for each layout: all of a card is sent, under its path, and of what
//! computers have left on it, nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::support::Bench;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/cards");
const PAGE: &str = include_str!("../../../docs/rules.md");

/// What Macs, Windows and a NAS leave on any card that was put into them.
const LEFT: [&str; 11] = [
    ".DS_Store",
    "._.Trashes",
    ".Spotlight-V100/Store-V2/store.db",
    ".Trashes/501/deleted.mov",
    ".fseventsd/no_log",
    ".TemporaryItems/folders.501/x",
    "System Volume Information/IndexerVolumeGuid",
    "$RECYCLE.BIN/S-1-5-21/desktop.ini",
    "Thumbs.db",
    "desktop.ini",
    "@eaDir/thumb.jpg",
];

/// The layouts: how each is called in the documentation, by the name of its file, and its paths.
fn layouts() -> BTreeMap<String, (String, Vec<String>)> {
    let files = std::fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path());
    let read = files.map(|file| {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut lines = text.lines().map(str::to_owned);
        let called = lines.next().unwrap();
        (file.file_stem().unwrap().to_str().unwrap().to_owned(), (called, lines.collect()))
    });
    read.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_cards_of_every_layout_are_sent_whole() {
    let mut bench = Bench::new();
    let layouts = layouts();
    let mut expected = BTreeSet::new();
    for (card, (_, paths)) in &layouts {
        let mut package = Vec::new();
        for path in paths {
            bench.write(format!("{card}/{path}"), path);
            // What a Mac adds to each file of a card whose file system knows no attributes.
            let path = Path::new(path);
            let name = path.file_name().unwrap().to_str().unwrap();
            bench.write(Path::new(card).join(path.with_file_name(format!("._{name}"))), "attributes");
            package.push(format!("{card}/{}", path.display()));
        }
        LEFT.iter().for_each(|left| bench.write(format!("{card}/{left}"), "left"));
        package.sort();
        expected.insert(package);
    }
    bench.start("settle: 100ms\npackage: { per: folder, quiet: 300ms }").await;
    let mut sent = BTreeSet::new();
    for mut package in bench.packages_when(layouts.len()).await {
        package.sort();
        sent.insert(package);
    }
    assert_eq!(sent, expected);
    bench.looked_again().await;
    assert_eq!(bench.uploads().await.len(), layouts.len(), "nothing that was left on a card is a package");
}

/// The table of the page has every layout, with every kind of file in it.
#[test]
fn every_layout_of_a_card_is_documented_with_its_kinds_of_files() {
    for (called, paths) in layouts().into_values() {
        let row = PAGE.lines().find(|line| line.starts_with(&format!("| {called} |")));
        let row = row.unwrap_or_else(|| panic!("docs/rules.md has no row for {called}"));
        for path in paths {
            let kind = Path::new(&path).extension().unwrap().to_str().unwrap().to_owned();
            assert!(row.contains(&format!(".{kind}`")), "{called}: .{kind} of {path}");
        }
    }
}
