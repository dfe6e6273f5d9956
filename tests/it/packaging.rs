//! What packages and images are made of: the files that they name are there, and the settings that they give exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
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

/// What the sources take in at compile time, relative to the project; tests aside.
fn included() -> BTreeSet<String> {
    let mut paths = Vec::new();
    sources(&root().join("src"), &mut paths);
    let mut included = BTreeSet::new();
    for path in paths.iter().filter(|path| !path.components().any(|part| part.as_os_str() == "tests")) {
        let text = std::fs::read_to_string(path).unwrap();
        for macro_name in ["include_str!(\"", "include_bytes!(\""] {
            for rest in text.split(macro_name).skip(1) {
                let wanted = path.parent().unwrap().join(rest.split('"').next().unwrap()).canonicalize().unwrap();
                included.insert(wanted.strip_prefix(root()).unwrap().display().to_string());
            }
        }
    }
    included
}

#[test]
fn the_image_is_built_from_all_that_the_sources_take_in_and_from_the_lock_file() {
    let file = read("Dockerfile");
    let copied: BTreeSet<&str> = file
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|line| !line.starts_with("--from"))
        .flat_map(|line| line.split_whitespace().rev().skip(1))
        .collect();
    let ignored = read(".dockerignore");
    for name in &copied {
        assert!(root().join(name).exists(), "COPY {name}");
        assert!(ignored.lines().any(|line| line == format!("!{name}")), ".dockerignore leaves {name} out");
    }
    for path in included() {
        let top = path.split('/').next().unwrap();
        assert!(copied.contains(&path.as_str()) || copied.contains(top), "the sources take in {path}");
    }
    // One line for each bench that Cargo.toml names, or the manifest alone cannot be read.
    for line in
        ["cargo fetch --locked", "cargo build --profile dist --locked --offline", "USER masv", "STOPSIGNAL SIGTERM"]
    {
        assert!(file.contains(line), "{line}");
    }
    let wanted = read("Cargo.toml");
    let rust = wanted.lines().find_map(|line| line.strip_prefix("rust-version = \"")).unwrap().trim_end_matches('"');
    assert!(file.contains(&format!("FROM rust:{rust}-")), "the image builds with Rust {rust}");
}

/// Every variable that files for operators set is one that the program reads.
#[test]
fn variables_that_files_set_exist() {
    let folder = tempfile::tempdir().unwrap();
    let help = |arguments: &[&str]| {
        let said = command(folder.path(), arguments).output().unwrap();
        String::from_utf8(said.stdout).unwrap()
    };
    let known = [help(&["server", "start", "--help"]), help(&["hub", "start", "--help"])].concat();
    let known = variables(&known);
    for file in
        ["compose.yaml", "Dockerfile", "systemd/masv-hub.service", "systemd/masv-agent.service", "docs/service.md"]
    {
        let used = variables(&read(file));
        let unknown: Vec<_> =
            used.difference(&known).filter(|name| !["MASV_TOKEN", "MASV_SERVER"].contains(&name.as_str())).collect();
        assert!(unknown.is_empty(), "{file} sets {unknown:?}");
    }
}

/// Case: the page of settings left out the variables that hold secrets.
#[test]
fn the_page_of_settings_names_the_variables_that_hold_secrets() {
    let known = variables(&read("docs/settings.md"));
    for name in ["MASV_TOKEN", "MASV_HUB_KEY", "MASV_API_KEY"] {
        assert!(known.contains(name), "{name}");
    }
}

fn variables(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
    words.filter(|word| word.starts_with("MASV_") && word.len() > 5).map(str::to_owned).collect()
}

/// Case: the header of compose.yaml had `secrets/` made for everybody to read. Whatever it says to write there is for its owner only.
#[test]
fn what_the_compose_file_says_to_write_is_for_its_owner_only() {
    let compose = read("compose.yaml").replace("\\\n", " ");
    let writes: Vec<&str> = compose.lines().filter(|line| line.contains(">secrets/")).collect();
    assert!(writes.len() >= 4, "{writes:?}");
    for line in writes {
        assert!(line.contains("(umask 077; "), "{line}");
    }
}

/// The hub's plain HTTP was published on all addresses of the machine.
#[test]
fn the_compose_file_says_what_two_safe_containers_need() {
    let compose: Value = serde_yaml::from_str(&read("compose.yaml")).unwrap();
    for (service, data) in [("hub", "hub:/var/lib/masv-hub"), ("agent", "agent:/var/lib/masv-agent")] {
        let service = &compose["services"][service];
        assert_eq!(service["image"], "masv-agent");
        assert_eq!(service["cap_drop"][0], "ALL");
        assert_eq!(service["read_only"], true);
        assert!(service["volumes"].as_array().unwrap().contains(&data.into()), "{service}");
        // What a container publishes passes most firewalls of its machine.
        for port in service["ports"].as_array().unwrap() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{port}");
        }
        // What the unit runs is a command of the program.
        let words: Vec<&str> =
            service["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        assert!(words.starts_with(&["hub", "start"]) || words.starts_with(&["server", "start"]), "{words:?}");
    }
    for secret in compose["services"]["agent"]["secrets"].as_array().unwrap() {
        assert!(compose["secrets"][secret.as_str().unwrap()]["file"].is_string(), "{secret}");
    }
    let volumes: Vec<&String> = compose["volumes"].as_object().unwrap().keys().collect();
    assert_eq!(volumes, ["agent", "database", "hub", "s3"]);
    // Hubs that share a database are as closed as one alone, and none of this starts unasked.
    let hub = &compose["services"]["hub-1"];
    assert_eq!((&hub["cap_drop"][0], &hub["read_only"]), (&"ALL".into(), &true.into()));
    for service in ["database", "s3", "mail", "hub-1"] {
        assert_eq!(compose["services"][service]["profiles"][0], "scale", "{service}");
        for port in compose["services"][service]["ports"].as_array().into_iter().flatten() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{port}");
        }
    }
}
