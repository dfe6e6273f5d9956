//! The set-ups of the cookbook in docs/rules.md, each over a folder with typical files: they make the packages that they
//! promise.

use std::path::Path;

use masv_agent::watch::{DryRun, WatchSettings, dry_run};
use masv_rules::{FixedEnvironment, RuleSet};

const PAGE: &str = include_str!("../../../docs/rules.md");

const MHL: &str = "<hashlist version='1.1'><hash><file>CLIPS/one.mov</file><size>1</size>\
                   <md5>9dd4e461268c8034f5c8564e155c67a6</md5></hash></hashlist>";

struct SetUp {
    heading: &'static str,
    /// What lies in the folder of its last rule.
    files: &'static [(&'static str, &'static str)],
    /// The packages of all its rules: how each name begins, and how many files are in it.
    packages: &'static [(&'static str, usize)],
}

const SET_UPS: [SetUp; 13] = [
    SetUp {
        heading: "Camera cards with a checksum list",
        files: &[("A001/CLIPS/one.mov", "x"), ("A001/A001.mhl", MHL), ("A002/CLIPS/one.mov", "x")],
        packages: &[("A001", 2)],
    },
    SetUp {
        heading: "Render output",
        files: &[("shot.MOV", "x"), ("other.mp4", "x"), ("third_rendering.mov", "x"), ("notes.txt", "x")],
        packages: &[("other ", 1), ("shot ", 1)],
    },
    SetUp {
        heading: "One package a day, closed at wrap",
        files: &[("A001/one.mov", "x"), ("A002/two.mov", "x"), ("WRAP", "")],
        packages: &[("Dailies 2", 2)],
    },
    SetUp {
        heading: "Client review by e-mail",
        files: &[("cut 3/reel 1.mov", "x"), ("cut 3/reel 2.mov", "x"), ("trailer.mov", "x")],
        packages: &[("cut 3", 2), ("trailer.mov", 1)],
    },
    SetUp {
        heading: "Delivery into a portal, with its form filled in",
        files: &[
            ("dune/e01/one.mxf", "x"),
            ("dune/e02/two.mxf", "x"),
            ("arrakis/e01/one.mxf", "x"),
            ("loose.mxf", "x"),
        ],
        packages: &[("arrakis 2", 1), ("dune 2", 2)],
    },
    SetUp {
        heading: "A folder for each client, one rule for all",
        files: &[("north/one.mov", "x"), ("north/two.mov", "x"), ("south/one.mov", "x"), ("loose.mov", "x")],
        packages: &[("north 2", 2), ("south 2", 1)],
    },
    SetUp {
        heading: "A sub-folder for each client",
        files: &[("north/one.mov", "x"), ("south/one.mov", "x"), ("west/one.mov", "x"), ("east/one.mov", "x")],
        packages: &[("client-north 2", 1), ("client-south 2", 1), ("other-clients 2", 1), ("other-clients 2", 1)],
    },
    SetUp { heading: "Only at night", files: &[("one.mov", "x"), ("two.mov", "x")], packages: &[("archive 2", 2)] },
    SetUp {
        heading: "A growing recording",
        // What was there before the rule is left alone.
        files: &[("old.mxf", "x")],
        packages: &[],
    },
    SetUp {
        heading: "A recording that is sent while it runs",
        files: &[("take.mxf", "x"), ("notes.txt", "x")],
        packages: &[("take", 1)],
    },
    SetUp {
        heading: "A long render or a slow copy",
        files: &[("reel/master.mov", "x"), ("reel/notes.txt", "x")],
        packages: &[("reel", 2)],
    },
    SetUp {
        heading: "An SMB or NFS share",
        files: &[("job/one.mov", "x"), ("job/one.mov.lock", "x"), ("job/._one.mov", "x")],
        packages: &[("job", 1)],
    },
    SetUp {
        heading: "A program that says when it is done",
        files: &[("clip.mov", "x"), ("clip.mov.ready", ""), ("other.mov", "x")],
        packages: &[("clip.mov", 1)],
    },
];

/// The rules of a section, with folders that begin at `/` moved below `root`.
fn rules_of(heading: &str, root: &Path) -> RuleSet {
    let section = PAGE.split(&format!("### {heading}\n")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    let block = section.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let text = if block.starts_with("version") { block.to_owned() } else { format!("version: 1\nrules:\n{block}") };
    let text = text.replace("watch: /", "watch: ./machine/");
    let variables = [
        ("CLIENT_EMAIL", "client@example.com"),
        ("REVIEW_PASSWORD", "secret"),
        ("CHAT_HOOK", "https://chat.example.com/hook"),
    ];
    let environment = FixedEnvironment {
        variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        files: [("/run/credentials/masv-agent/broadcaster".into(), "secret".to_owned())].into(),
        home: Some(root.join("home")),
        ..FixedEnvironment::default()
    };
    masv_rules::parse(&text, &root.join("rules.yaml"), &environment).unwrap_or_else(|errors| panic!("{errors}"))
}

#[tokio::test]
async fn each_makes_the_packages_that_it_promises() {
    assert_eq!(PAGE.split("## Cookbook").nth(1).unwrap().matches("\n### ").count(), SET_UPS.len());
    for set_up in SET_UPS {
        let root = tempfile::tempdir().unwrap();
        let rules = rules_of(set_up.heading, root.path());
        rules.rules.iter().for_each(|rule| std::fs::create_dir_all(&rule.watch).unwrap());
        for (path, content) in set_up.files {
            let path = rules.rules.last().unwrap().watch.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let runs: Vec<DryRun> = dry_run(&rules, None, &WatchSettings::default()).await.unwrap();
        let mut made: Vec<(String, usize)> = runs
            .iter()
            .flat_map(|run| &run.packages)
            .map(|package| (package.name.clone().unwrap_or_else(|| panic!("{package:?}")), package.files.len()))
            .collect();
        made.sort();
        let fits = made.len() == set_up.packages.len()
            && made
                .iter()
                .zip(set_up.packages)
                .all(|(made, wanted)| made.0.starts_with(wanted.0) && made.1 == wanted.1);
        assert!(fits, "{}: {made:?} instead of {:?}\n{runs:#?}", set_up.heading, set_up.packages);
    }
}
