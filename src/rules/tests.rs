//! The room from outside: whole files in, rule sets or diagnostics out.

use std::path::{Path, PathBuf};

use super::*;

fn environment() -> FixedEnvironment {
    let variables = [("PROJECT", "Dune"), ("SECRET", "hush")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let files = [(PathBuf::from("/run/secrets/acme"), "from a file".to_owned())];
    FixedEnvironment { variables: variables.into(), files: files.into(), home: Some(PathBuf::from("/home/me")) }
}

fn read(text: &str) -> Result<RuleSet, Diagnostics> {
    parse(text, Path::new("/etc/masv/rules.yaml"), &environment())
}

#[test]
fn the_example_is_valid_and_warns_of_nothing() {
    let set = read(EXAMPLE).unwrap_or_else(|errors| panic!("{errors}"));
    let names: Vec<&str> = set.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["quick-link", "client-review", "ingest"]);
    assert_eq!(set.warnings, []);
    assert_eq!(set.rules[0].watch, Path::new("/etc/masv/drop/link"));
}
