//! The documentation is verified: its commands are run, its links lead somewhere, its lists are complete.
//!
//! Every `$` line of a page's console blocks is run in order, in a folder and a home of its own, against the agents that it
//! starts; the comment `<!-- run first: … -->` has the shell commands that prepare the folder. What is shown below a command
//! must be among what it prints, line by line in this order, whatever the width of columns; `…` stands for anything, and ids,
//! addresses, times and process numbers may differ. A console block without a command is what the agent itself prints.
//!
//! `sh` blocks and what root types (`#`) are fragments: they need another machine, an account, root. Of these, and of each
//! command in the text, it is shown that `masv` knows it with its flags.

mod blocks;
mod hints;
mod stage;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use regex::Regex;

use blocks::{Step, fragments, simple_commands, steps};
use stage::Stage;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn pages() -> Vec<(String, String)> {
    let mut pages = vec![("README.md".to_owned(), fs::read_to_string(format!("{ROOT}/README.md")).unwrap())];
    for entry in fs::read_dir(format!("{ROOT}/docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let name = format!("docs/{}", path.file_name().unwrap().to_str().unwrap());
            pages.push((name, fs::read_to_string(path).unwrap()));
        }
    }
    pages
}

#[test]
fn commands_print_what_the_pages_show() {
    let pages = pages();
    std::thread::scope(|scope| {
        for (page, text) in &pages {
            let steps = steps(text);
            if !steps.is_empty() {
                scope.spawn(move || run(page, text, steps));
            }
        }
    });
}

/// What the security page names that reads like a test and is none.
const NOT_TESTS: [&str; 2] = ["address_life", "visit_life"];

fn run(page: &str, text: &str, steps: Vec<Step<'_>>) {
    let Some(mut stage) = Stage::of(text) else {
        // Past the capture of the test harness, which keeps silent about tests that pass.
        let _ = writeln!(std::io::stderr(), "SKIPPED: the commands of {page}, which need an S3 server");
        return;
    };
    let first = text.split_once("<!-- run first:").map(|(_, rest)| rest.split_once("-->").unwrap().0);
    for line in first.unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty()) {
        let starts = line.contains("masv server start");
        stage.run(page, line, if starts { &["masv … is ready"] } else { &[] });
    }
    for step in steps {
        match step {
            Step::Run { command, shown } => stage.run(page, &command, &shown),
            Step::Told(shown) => stage.told(page, &shown),
        }
    }
}

/// A promise of the security page names the test that shows it; a test that was renamed or removed leaves no promise behind.
#[test]
fn the_tests_that_the_security_page_names_exist() {
    let text = fs::read_to_string(format!("{ROOT}/docs/security.md")).unwrap();
    let mut sources = String::new();
    for folder in ["src", "tests"] {
        for entry in walkdir::WalkDir::new(format!("{ROOT}/{folder}")).into_iter().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    let test =
        Regex::new(r"#\[(?:tokio::)?test[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:pub )?(?:async )?fn ([a-z0-9_]+)\(").unwrap();
    let mut known: BTreeSet<&str> = test.captures_iter(&sources).map(|found| found.get(1).unwrap().as_str()).collect();
    // The contract of a storage is run over each of them by a macro.
    let contract = fs::read_to_string(format!("{ROOT}/tests/it/hub/contract.rs")).unwrap();
    let promised = Regex::new(r"async fn ([a-z0-9_]+)\(").unwrap();
    known.extend(promised.captures_iter(&contract).map(|found| found.get(1).unwrap().as_str()));
    // Whatever reads like a name of a test, however short.
    let named = Regex::new("`([a-z0-9]+(?:_[a-z0-9]+)+)`").unwrap();
    let named: BTreeSet<&str> = named.captures_iter(&text).map(|found| found.get(1).unwrap().as_str()).collect();
    assert!(named.len() > 40 && named.contains("no_text_panics"), "{named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !known.contains(*name) && !NOT_TESTS.contains(name)).collect();
    assert!(missing.is_empty(), "docs/security.md names tests that there are not: {missing:?}");
}

/// `masv` takes `--help` for what it is only after all that stands before it made sense.
#[test]
fn every_command_that_is_not_run_is_one_that_masv_knows() {
    let mut known = BTreeSet::new();
    let mut wrong = Vec::new();
    let (code, escaped) = (Regex::new("`masv ([^`]+)`").unwrap(), Regex::new(r"\\\|").unwrap());
    for (page, text) in pages() {
        let shown = fragments(&text).into_iter().flat_map(|fragment| simple_commands(&fragment));
        let shown = shown.filter_map(|words| of_masv(&words));
        let prose: Vec<_> =
            code.captures_iter(&text).map(|found| escaped.replace_all(&found[1], "|").into_owned()).collect();
        let named = prose.iter().flat_map(|command| alternatives(command));
        for words in shown.chain(named).filter(|words| known.insert(words.clone())) {
            let folder = tempfile::tempdir().unwrap();
            let arguments: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
            let said = crate::process::command(folder.path(), &arguments).output().unwrap();
            if !said.status.success() {
                wrong.push(format!("{page}: masv {}\n{}", words.join(" "), String::from_utf8_lossy(&said.stderr)));
            }
        }
    }
    assert!(known.len() > 60, "{known:?}");
    assert!(wrong.is_empty(), "what masv does not take:\n{}", wrong.join("\n"));
}

/// The arguments, where these words call `masv`.
fn of_masv(words: &[String]) -> Option<Vec<String>> {
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words.first() == Some(&"sudo") {
        words.drain(..if words.get(1) == Some(&"-u") { 3 } else { 1 });
    }
    let assignments = words.iter().take_while(|word| {
        word.split_once('=').is_some_and(|(name, _)| name.bytes().all(|byte| byte == b'_' || byte.is_ascii_uppercase()))
    });
    words.drain(..assignments.count());
    let command = words.split_first()?;
    let arguments: Vec<&str> = match command {
        (&"masv" | &"target/release/masv", rest) => rest.to_vec(),
        // As docs/hub.md defines it.
        (&"mh", rest) => [&["hub"], rest].concat(),
        (&"cargo", [run, release, dashes, rest @ ..]) if [run, release, dashes] == [&"run", &"--release", &"--"] => {
            rest.to_vec()
        }
        _ => return None,
    };
    Some(arguments.into_iter().map(str::to_owned).collect())
}

/// The commands that a piece of prose means: `ls|status` is two. What follows is of the reader's own, but for flags without
/// a value.
fn alternatives(command: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    for word in command.split_whitespace() {
        let words: Vec<&str> = word.split('|').collect();
        if !words
            .iter()
            .all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') && !word.starts_with('-'))
        {
            break;
        }
        all = all
            .iter()
            .flat_map(|before: &Vec<String>| words.iter().map(|word| [&before[..], &[(*word).to_owned()]].concat()))
            .collect();
    }
    all
}

/// The check of a signature that docs/webhooks.md gives to receivers, against what openssl makes of the same message.
#[test]
fn the_signature_check_of_the_page_tells_true_from_false() {
    let page = fs::read_to_string(format!("{ROOT}/docs/webhooks.md")).unwrap();
    let block = page.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    let program = format!(
        "{block}\nheaders = {{'X-Masv-Timestamp': '1700000000', 'X-Masv-Signature': \
         'v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686'}}\n\
         time.time = lambda: 1700000100\nassert genuine(b'secret', headers, b'{{\"a\":1}}')\n\
         assert not genuine(b'other', headers, b'{{\"a\":1}}') and not genuine(b'secret', headers, b'{{\"a\":2}}')\n\
         time.time = lambda: 1700000400\nassert not genuine(b'secret', headers, b'{{\"a\":1}}')\n"
    );
    match std::process::Command::new("python3").args(["-c", &program]).output() {
        Ok(said) => assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr)),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}

#[test]
fn every_link_leads_to_a_page_and_a_heading() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut lost = Vec::new();
    for (page, text) in pages() {
        let folder = Path::new(ROOT).join(&page).parent().unwrap().to_owned();
        for target in link.captures_iter(&text).map(|found| found.extract::<1>().1[0]) {
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { Path::new(ROOT).join(&page) } else { folder.join(file) };
            let there = path.exists()
                && (heading.is_empty()
                    || headings(&fs::read_to_string(&path).unwrap()).iter().any(|one| one == heading));
            if !there {
                lost.push(format!("{page}: {target}"));
            }
        }
    }
    assert!(lost.is_empty(), "links that lead nowhere: {lost:#?}");
}

/// The anchors of a page's headings, as forges make them.
fn headings(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix('#'));
    let anchors = lines.map(|line| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
    });
    anchors.collect()
}

#[test]
fn every_page_is_in_the_index() {
    let index = fs::read_to_string(format!("{ROOT}/docs/README.md")).unwrap();
    for (page, _) in pages() {
        let name = page.trim_start_matches("docs/");
        let listed = name == "README.md" || index.contains(&format!("]({name})"));
        assert!(listed, "{page} is not in docs/README.md: add it under the kind of page it is");
    }
}

/// Case: the tutorial told people to end every `masv` of the machine by its name, a hub that others use too.
#[test]
fn no_page_ends_programs_by_their_name() {
    for (page, text) in pages() {
        assert!(!text.contains("pkill") && !text.contains("killall"), "{page}");
    }
}

#[test]
fn every_code_of_an_error_is_explained() {
    let page = fs::read_to_string(format!("{ROOT}/docs/errors.md")).unwrap();
    let code = Regex::new(r#"code: "([a-z_]+)"|\(\s*"([a-z]+(?:_[a-z]+)+)",\s*\n?\s*""#).unwrap();
    let mut missing = Vec::new();
    for room in ["engine", "upload", "download", "model", "store"] {
        for entry in walkdir::WalkDir::new(format!("{ROOT}/src/{room}")) {
            let path = entry.unwrap().into_path();
            if path.is_dir() || path.ends_with("tests.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for found in code.captures_iter(text.split("#[cfg(test)]").next().unwrap()) {
                let code = found.get(1).or(found.get(2)).unwrap().as_str();
                if !page.contains(&format!("| `{code}` |")) {
                    missing.push(format!("{code} of {}", path.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "codes that docs/errors.md does not explain: {missing:#?}");
}
