//! CONTRIBUTING.md leads where something is: the files that it names are there, and it knows every switch of the tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};

use crate::sources::ROOT;

fn page() -> String {
    std::fs::read_to_string(format!("{ROOT}/CONTRIBUTING.md")).unwrap()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_files_that_it_names_are_there() {
    let page = page();
    let folders = ["src/", "tests/", "docs/", "migrations/", "fuzz/", "benches/", ".ci/", "packaging/"];
    let words = page.split(|letter: char| letter.is_whitespace() || "`()[],;:#".contains(letter));
    let named: Vec<&str> = words
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| folders.iter().any(|folder| word.starts_with(folder)))
        .collect();
    assert!(named.len() > 20, "{named:?}");
    let missing: Vec<_> = named.into_iter().filter(|name| !Path::new(ROOT).join(name).exists()).collect();
    assert!(missing.is_empty(), "CONTRIBUTING.md names what is not there: {missing:?}");
}

/// Names of variables in the sources of tests: what they look up, and constants that name one.
#[test]
fn every_switch_of_the_tests_is_on_it() {
    let mut files = Vec::new();
    ["tests", "benches"].iter().for_each(|folder| sources(&Path::new(ROOT).join(folder), &mut files));
    let mut switches = BTreeSet::new();
    let looked_up = regex::Regex::new(r#"env::var(?:_os)?\("([A-Z_0-9]+)"\)"#).unwrap();
    for file in files.iter().filter(|file| !file.starts_with(format!("{ROOT}/tests/architecture"))) {
        let text = std::fs::read_to_string(file).unwrap();
        switches.extend(looked_up.captures_iter(&text).map(|found| found[1].to_owned()));
        // Constants and arguments of helpers that look one up.
        if text.contains("env::var") {
            texts(text.parse().unwrap(), &mut switches);
        }
    }
    for outside in ["PATH", "MASV_DATA_DIR"] {
        switches.remove(outside);
    }
    let page = page();
    let missing: Vec<_> = switches.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "CONTRIBUTING.md does not tell of {missing:?}");
}

/// Texts that look like our switches.
fn texts(tokens: TokenStream, found: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => texts(group.stream(), found),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                let name = text.trim_matches('"');
                let is_switch = ["MASV_TEST", "MASV_NEED_", "BENCH_"].iter().any(|start| name.starts_with(start))
                    && name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
                if is_switch {
                    found.insert(name.to_owned());
                }
            }
            _ => {}
        }
    }
}
