//! docs/reliability.md, docs/hub.md and docs/security.md name the tests that show their promises and cases: each is there.

use std::path::Path;

use crate::sources::ROOT;

/// The texts of all sources of tests below a folder.
fn sources(folder: &Path, found: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

/// Everything that the last column of these rows of a page names is there: a test, or a file.
fn are_shown(page: &str, rows: &[&str]) {
    let root = Path::new(ROOT);
    let mut code = String::new();
    sources(&root.join("src"), &mut code);
    sources(&root.join("tests"), &mut code);
    for row in rows {
        let shown_by = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap();
        let named: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "nothing shows {row}");
        for name in named {
            let is_there =
                if name.contains('/') { root.join(name).exists() } else { code.contains(&format!("fn {name}(")) };
            assert!(is_there, "`{name}` is named by {page} and is not there: {row}");
        }
    }
}

const RELIABILITY: &str = "docs/reliability.md";

fn text_of(page: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(page)).unwrap()
}

#[test]
fn the_tests_that_show_a_promise_are_there() {
    let text = text_of(RELIABILITY);
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| R")).collect();
    assert_eq!(rows.len(), 13, "R1 to R13");
    are_shown(RELIABILITY, &rows);
}

/// The same for each case of the tables that go case by case, and each case that is data says which it is.
#[test]
fn the_tests_of_each_case_are_there() {
    for page in [RELIABILITY, "docs/hub.md", "docs/security.md"] {
        let text = text_of(page);
        let cases = text.split("## Case by case").nth(1).unwrap().split("\n## ").next().unwrap();
        let is_case = |line: &&str| line.starts_with("| ") && !line.starts_with("| case ");
        let rows: Vec<&str> = cases.lines().filter(is_case).collect();
        assert!(rows.len() > 30, "{page}: {} cases", rows.len());
        are_shown(page, &rows);
    }
    for case in std::fs::read_dir(Path::new(ROOT).join("tests/cases/watch")).unwrap() {
        let path = case.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# "), "{} does not say what it shows", path.display());
    }
}

/// What stands in backticks in docs/security.md and reads as the name of a test is one.
#[test]
fn the_tests_that_show_what_is_secure_are_there() {
    let root = Path::new(ROOT);
    let page = std::fs::read_to_string(root.join("docs/security.md")).unwrap();
    let mut code = String::new();
    sources(&root.join("src"), &mut code);
    sources(&root.join("tests"), &mut code);
    let is_name = |text: &&str| {
        text.matches('_').count() >= 3
            && text.chars().all(|one| one == '_' || one.is_ascii_lowercase() || one.is_ascii_digit())
    };
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(named.len() > 100, "{}", named.len());
    let missing: Vec<&str> = named.into_iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "named by docs/security.md and not there: {missing:#?}");
    // Each row of what an attacker cannot do, and of what ends, names its tests.
    for row in page.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 3) {
        let (what, shown) = row.trim_end_matches(['|', ' ']).rsplit_once('|').unwrap();
        let is_head = shown.contains("shown by the test") || shown.trim().starts_with("---");
        assert!(is_head || shown.contains('`'), "nothing shows: {what}");
    }
}
