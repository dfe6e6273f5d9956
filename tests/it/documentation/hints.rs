//! What programs and files that are installed tell people to run or to read is there: messages, help texts, units, the
//! dashboard, samples and alerts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

use super::blocks::simple_commands;
use super::{ROOT, headings, of_masv};

/// What people see that is no page of the documentation, as (file, text). Of the sources it is what stands in literals and in the comments
/// that become help texts and descriptions, without their tests.
fn shown() -> Vec<(String, String)> {
    let folders =
        ["src", "systemd", "packaging", "docs/monitoring", "docs/ansible", "rules.example.yaml", "compose.yaml"];
    // A literal goes on behind the backslash at the end of a line.
    let (goes_on, mut all) = (Regex::new(r"\\\n\s*").unwrap(), Vec::new());
    for entry in folders.iter().flat_map(|folder| walkdir::WalkDir::new(format!("{ROOT}/{folder}"))).flatten() {
        let path = entry.path();
        let Ok(text) = fs::read_to_string(path) else { continue };
        let is_code = path.extension().is_some_and(|extension| extension == "rs");
        let name = path.strip_prefix(ROOT).unwrap().display().to_string();
        if path.is_dir() || name.contains("/tests") || name.contains("_tests/") {
            continue;
        }
        let text = if is_code { text.split("#[cfg(test)]\nmod ").next().unwrap().to_owned() } else { text };
        let text = goes_on.replace_all(&text, "").replace("\\n", "\n").replace("\\\"", "\"");
        all.push((name, text));
    }
    all
}

/// The arguments of a command of `masv` as it is told: placeholders are words, what is done with its output is left out.
fn arguments(told: &str) -> Option<Vec<String>> {
    let told = Regex::new(r"\{\{?[^}]*\}\}?").unwrap().replace_all(told, "x");
    let words = simple_commands(&format!("masv {told}\n")).into_iter().next().and_then(|words| of_masv(&words))?;
    // Of any noun, or none.
    words.first().is_some_and(|word| word != "x").then_some(words)
}

#[test]
fn every_command_that_a_message_names_is_one_that_masv_knows() {
    let (quoted, example) = (Regex::new("`masv ([^`]+)`").unwrap(), Regex::new(r"(?m)^  masv (.+?)[`,]?$").unwrap());
    let (mut known, mut wrong) = (BTreeSet::new(), Vec::new());
    for (file, text) in shown() {
        let examples = file.starts_with("src/cli").then(|| example.captures_iter(&text)).into_iter().flatten();
        for told in quoted.captures_iter(&text).chain(examples) {
            let told = told[1].split("\")]").next().unwrap().trim_end_matches(['"', ',', ')', '\\', ' ']).to_owned();
            let Some(mut words) = arguments(&told).filter(|words| known.insert(words.clone())) else { continue };
            words.push("--help".to_owned());
            let folder = tempfile::tempdir().unwrap();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let said = crate::process::command(folder.path(), &words).output().unwrap();
            if !said.status.success() {
                wrong.push(format!("{file}: masv {told}\n{}", String::from_utf8_lossy(&said.stderr)));
            }
        }
    }
    assert!(known.len() > 150, "{known:?}");
    assert!(wrong.is_empty(), "what masv does not take:\n{}", wrong.join("\n"));
}

/// A hint named `docs/service.md`, which is nowhere on a machine where the program is installed: there the pages are below
/// /usr/share/doc, and the dashboard has them.
#[test]
fn every_page_that_a_message_names_is_there_and_named_as_on_an_installed_machine() {
    let page = Regex::new(r"(docs/)?((?:decisions/)?\b[a-zA-Z0-9][a-zA-Z0-9-]*\.md)(#[a-z-]+)?\b").unwrap();
    let section = Regex::new(r#""([^"\n]+)" in ([a-z-]+\.md)"#).unwrap();
    let (mut found, mut wrong) = (0, Vec::new());
    let headings_of = |name: &str| fs::read_to_string(format!("{ROOT}/docs/{name}")).map(|text| headings(&text));
    for (file, text) in shown() {
        for named in page.captures_iter(&text) {
            found += 1;
            let whole = named.get(0).unwrap();
            let there = ["docs/", ""].iter().any(|folder| Path::new(&format!("{ROOT}/{folder}{}", &named[2])).exists());
            let heading = named.get(3).is_none_or(|heading| {
                headings_of(&named[2]).is_ok_and(|all| all.iter().any(|one| one == &heading.as_str()[1..]))
            });
            let line = text[..whole.start()].rsplit('\n').next().unwrap();
            // Sources that are read, and comments for who reads the code.
            let is_shown = file.ends_with(".rs")
                && line.contains('"')
                && !["include_str!", "concat!", ".replace(", "assert!", "//"]
                    .iter()
                    .any(|before| line.contains(before));
            if !there || !heading || is_shown && named.get(1).is_some() {
                wrong.push(format!("{file}: {}", whole.as_str()));
            }
        }
        for named in section.captures_iter(&text) {
            let anchor = named[1].to_lowercase().replace(' ', "-");
            if !headings_of(&named[2]).is_ok_and(|all| all.contains(&anchor)) {
                wrong.push(format!("{file}: {}", &named[0]));
            }
        }
    }
    assert!(found > 60, "only {found} pages are named");
    assert!(
        wrong.is_empty(),
        "pages that are not there, or are not called so where the program is installed: {wrong:#?}"
    );
}
