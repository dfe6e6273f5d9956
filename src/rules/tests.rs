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

/// Each file in cases/ with what is said about it. A case more is a file more; `cargo insta review` or
/// `INSTA_UPDATE=always` accepts what is said.
#[test]
fn diagnostics_of_every_case() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rules/cases");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    for path in files {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let file = PathBuf::from(path.file_name().unwrap());
        let said = match parse(&std::fs::read_to_string(&path).unwrap(), &file, &environment()) {
            Ok(set) => Diagnostics(set.warnings).to_string(),
            Err(errors) => errors.to_string(),
        };
        insta::with_settings!({ snapshot_path => "cases", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, said);
        });
    }
}
