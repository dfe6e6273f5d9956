//! The fuzz targets of fuzz/ over their corpus and some random changes of it: short, and the same at every run. For longer,
//! `MASV_FUZZ_RUNS=100000 cargo test --test it -- fuzz`, or cargo-fuzz, which is guided by coverage.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[path = "../../fuzz/targets.rs"]
mod targets;

/// Changed inputs a target: those that go over sockets are slower.
const RUNS: usize = 400;
const NETWORK_RUNS: usize = 30;
/// No input is longer, bytes.
const LONGEST: usize = 64 << 10;
/// Words that formats give a meaning.
const WORDS: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "&a",
    "*a",
    "<<:",
    "|",
    ">-",
    "- ",
    ": ",
    "\u{feff}",
    "!!binary",
    "${env:X}",
    "../",
    "\\",
    "%00",
    "%2e",
    "\r\n",
    "\r\n\r\n",
    "]]>",
    "<![CDATA[",
    "&#0;",
    "\\u0000",
    "null",
    "-1",
    "1e999",
    "18446744073709551616",
    "9999999999999999999999",
    "PT1S",
    "99999d",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "\u{202e}",
];

/// Panics on the threads that work for a target: a request that panics ends its connection only.
static PANICS: AtomicUsize = AtomicUsize::new(0);
/// One target at a time: the panics are counted for all.
static ONE: Mutex<()> = Mutex::new(());

fn count_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name().is_some_and(|name| name == targets::THREADS) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            usual(panic);
        }));
    });
}

fn changed(seeds: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut input = seeds[random.usize(..seeds.len())].clone();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..=input.len());
        let end = (at + random.usize(..32)).min(input.len());
        match random.u8(..8) {
            0 if at < input.len() => input[at] ^= 1 << random.u8(..8),
            1 => drop(input.drain(at..end)),
            2 => {
                let copy: Vec<u8> = input[at..end].to_vec();
                let times = random.usize(1..40);
                input.splice(at..at, copy.repeat(times));
            }
            3 => drop(input.splice(at..at, (0..random.usize(1..8)).map(|_| random.u8(..)).collect::<Vec<_>>())),
            4 => input.truncate(at),
            5 => {
                let other = &seeds[random.usize(..seeds.len())];
                let from = random.usize(..=other.len());
                let to = (from + random.usize(..64)).min(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            _ => drop(input.splice(at..end, WORDS[random.usize(..WORDS.len())].bytes())),
        }
        input.truncate(LONGEST);
    }
    input
}

fn run(name: &str, usual: usize) {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    count_panics();
    let (_, target) = targets::ALL.into_iter().find(|(known, _)| *known == name).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("fuzz/corpus").join(name)];
    if name == "rules" {
        folders.push(root.join("src/rules/cases"));
    }
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut paths: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let runs = std::env::var("MASV_FUZZ_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(usual);
    let mut random = fastrand::Rng::with_seed(0x006d_6173_7600 + name.len() as u64);
    let changed = std::iter::repeat_with(|| changed(&seeds, &mut random)).take(runs);
    for input in seeds.iter().cloned().chain(changed) {
        let before = PANICS.load(Ordering::SeqCst);
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
        let fine = outcome.is_ok() && PANICS.load(Ordering::SeqCst) == before;
        assert!(fine, "{name}: put this into fuzz/corpus/{name}/ and mend it:\n{:?}", String::from_utf8_lossy(&input));
    }
}

#[test]
fn rules_files() {
    run("rules", RUNS);
}

#[test]
fn templates() {
    run("template", RUNS);
}

#[test]
fn links_and_paths() {
    run("link", RUNS);
    run("package_path", RUNS);
}

#[test]
fn answers_of_a_cloud() {
    run("cloud_json", NETWORK_RUNS);
    run("cloud_xml", NETWORK_RUNS);
}

/// Case: any request to the API and to the hub: nothing panics, nothing hangs.
#[test]
fn requests_to_the_api_and_the_hub() {
    run("http_api", 4 * NETWORK_RUNS);
    run("http_hub", 4 * NETWORK_RUNS);
}
