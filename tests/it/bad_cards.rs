//! Cards with one wrong checksum, in every kind of list and checksum that is met: each is held, and says why; the right ones beside them
//! are sent.

use std::time::{Duration, Instant};

use crate::process::Agent;

const LIMIT: Duration = Duration::from_secs(60);
const RULE: &str = "rules:\n  - { name: cards, watch: drop, create: true, settle: 300ms, package: { per: folder, quiet: 300ms }, \
                    ready: { manifest: ['*.mhl', '*.md5', '*.txt'] }, upload: { kind: link } }\n";
/// Of `harmless`.
const MD5: &str = "d8eced3b06972df4d1dd7d835fc3edd3";
const WRONG_SHA512: &str = "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";
const WRONG_C4: &str = "c459dsjfscH38cYeXXYogktxf4Cd9ibshE3BHUo6a58hBXmRQdZrAkZzsWcbWtDg5oQstpDuni4Hirj75GEmTc1sFT";

/// An MHL of version 1 with this element for the clip.
fn mhl(sum: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<hashlist version=\"1.1\"><hash><file>clip.mov</file><size>8</size>{sum}</hash></hashlist>\n"
    )
}

/// Cases: bad cards whose lists have C4, SHA-512, XXH64 in little endian, a checksum in Base64, an empty or a null one. Each was sent once,
/// because what was not understood was passed over.
#[test]
fn no_kind_of_checksum_lets_a_wrong_file_pass() {
    let agent = Agent::start(RULE, &[]);
    let cards = [
        ("right-md5", "card.md5", format!("{MD5}  clip.mov\n"), true),
        ("right-mhl", "card.mhl", mhl(&format!("<md5>{MD5}</md5>")), true),
        ("wrong-md5", "card.md5", format!("{}  clip.mov\n", MD5.replace('8', "9")), false),
        ("sha512", "card.mhl", mhl(&format!("<sha512>{WRONG_SHA512}</sha512>")), false),
        ("sha512-lines", "sums.txt", format!("{WRONG_SHA512}  clip.mov\n"), false),
        ("c4", "card.mhl", mhl(&format!("<c4>{WRONG_C4}</c4>")), false),
        ("little-endian", "card.mhl", mhl("<xxhash64>99e9d85137db46ef</xxhash64>"), false),
        ("big-endian", "card.mhl", mhl("<xxhash64be>ef46db3751d8e999</xxhash64be>"), false),
        ("base64", "card.mhl", mhl("<md5>1B2M2Y8AsgTpgAmY7PhCfg==</md5>"), false),
        ("empty", "card.mhl", mhl("<md5/>"), false),
        ("unknown", "card.mhl", mhl("<crc64>995dc9bbdf1939fa</crc64>"), false),
        ("two", "card.mhl", mhl(&format!("<md5>{MD5}</md5><xxhash64be>ef46db3751d8e999</xxhash64be>")), false),
    ];
    for (card, list, text, _) in &cards {
        let folder = agent.path("made").join(card);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("clip.mov"), "harmless").unwrap();
        std::fs::write(folder.join(list), text).unwrap();
        std::fs::rename(folder, agent.path("drop").join(card)).unwrap();
    }
    let right: Vec<&str> = cards.iter().filter(|card| card.3).map(|card| card.0).collect();
    agent.wait_for("the right cards are sent", LIMIT, |list| {
        right.iter().all(|card| list.iter().any(|upload| upload["name"] == **card && upload["state"] == "complete"))
    });
    for (card, ..) in cards.iter().filter(|card| !card.3) {
        let clip = format!("drop/{card}/clip.mov");
        let deadline = Instant::now() + LIMIT;
        loop {
            let explained = agent.json(&["rule", "explain", &clip]);
            let tests = explained["rules"][0]["tests"].as_array().unwrap();
            let held = tests.iter().any(|test| {
                test["test"] == "ready"
                    && test["passed"] == false
                    && test["detail"].as_str().unwrap().contains("clip.mov")
            });
            if held {
                break;
            }
            assert!(Instant::now() < deadline, "{card}: {explained}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let sent = agent.json(&["upload", "ls"])["transfers"].as_array().unwrap().len();
    assert_eq!(sent, right.len(), "nothing else was begun");
}
