//! Only src/platform speaks to the operating system: what differs from one to the other is then in one place, where the type
//! checks for other systems and a reader look for it.

use std::collections::BTreeSet;

use crate::names::Names;
use crate::sources::{ROOT, modules};

/// What a source requests from the operating system directly.
fn asked(names: &Names) -> BTreeSet<String> {
    let mut asked = BTreeSet::new();
    for path in &names.others {
        let first = path.split("::").next().unwrap();
        if matches!(first, "rustix" | "libc" | "nix") || path.starts_with("std::os") || path.ends_with("raw_os_error") {
            asked.insert(path.clone());
        }
    }
    asked.extend(names.texts.iter().filter(|text| text.starts_with("/proc") || text.starts_with("/dev/shm")).cloned());
    asked.extend(names.conditions.iter().map(|system| format!("cfg({system})")));
    asked
}

#[test]
fn only_the_platform_crate_speaks_to_the_operating_system() {
    let mut problems = Vec::new();
    for module in modules().iter().filter(|module| module.package != "platform") {
        let asked = asked(&module.names);
        if !asked.is_empty() {
            problems.push(format!("{}: belongs into src/platform: {asked:?}", module.file));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// `unsafe_code` is forbidden everywhere but in the platform crate, where this one system call needs it.
#[test]
fn only_the_lease_of_a_file_is_unsafe() {
    let word = ["uns", "afe {"].concat();
    let text = |file: &str| std::fs::read_to_string(std::path::Path::new(ROOT).join(file)).unwrap();
    let found: Vec<_> = modules().iter().map(|module| &module.file).filter(|file| text(file).contains(&word)).collect();
    assert_eq!(found, ["src/platform/lease.rs"]);
}

#[test]
fn it_is_seen_however_it_is_written() {
    let asked = |code: &str| {
        let names = crate::names::names(&syn::parse_file(code).unwrap(), "agent", &["watch".to_owned()]);
        asked(&names).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(asked("use std::{fs, os::unix::fs::MetadataExt};"), ["std::os::unix::fs::MetadataExt"]);
    assert_eq!(asked("fn f() { assert!(rustix::fs::stat(x).is_ok()) }"), ["rustix::fs::stat"]);
    assert_eq!(asked("fn f(e: Error) -> bool { e.raw_os_error() == Some(28) }"), ["raw_os_error"]);
    assert_eq!(asked("fn f() { read(format!(\"/proc/{}/stat\", id())) }"), ["/proc/{}/stat"]);
    assert_eq!(asked("fn f() { if cfg!(target_os = \"macos\") {} }"), ["cfg(target_os)"]);
    assert_eq!(asked("#[cfg(not(unix))] fn f() {}"), ["cfg(unix)"]);
    assert_eq!(asked("/// reads /proc\nfn f() { io::Error::other(\"see /proc\") }"), [""; 0]);
}
