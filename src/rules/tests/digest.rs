//! Equal digests mean equal rules.

use super::*;

const PLAIN: &str = "version: 1\nrules:\n  - { name: a, watch: /a, settle: 5s, upload: { kind: link } }\n";

fn digest(text: &str) -> RuleDigest {
    read(text).unwrap_or_else(|errors| panic!("{errors}")).rules[0].digest
}

#[test]
fn what_means_the_same_has_the_same_digest() {
    let elsewhere = "version: 1\n# comment\ndefaults: { settle: 5s }\nuploads: { x: { kind: link } }\nrules:\n  \
                     - upload: { \"kind\": link }\n    watch: \"/a\" # comment\n    name: a\n  \
                     - { name: b, watch: /b, upload: x }\n";
    assert_eq!(digest(PLAIN), digest(elsewhere));
    assert_eq!(read(PLAIN).unwrap().rules[0], read(elsewhere).unwrap().rules[0]);
}

#[test]
fn what_means_something_else_has_another_one() {
    let changes = [("settle: 5s", "settle: 6s"), ("kind: link", "kind: link, tag: x"), ("watch: /a", "watch: /b")];
    for (old, new) in changes {
        assert_ne!(digest(PLAIN), digest(&PLAIN.replace(old, new)), "{new}");
    }
    assert_ne!(digest(PLAIN), digest(&PLAIN.replace("version: 1", "version: 1\ntimezone: Europe/Berlin")));
    assert_ne!(digest(PLAIN), digest(&PLAIN.replace("version: 1", "version: 1\ntemplate_env: [PROJECT]")));
}

#[test]
fn a_secret_is_part_of_it() {
    let text = PLAIN.replace("kind: link", "kind: link, password: { file: /run/secrets/acme }");
    let mut other = environment();
    other.files.insert(PathBuf::from("/run/secrets/acme"), "another".to_owned());
    let changed = parse(&text, Path::new("/etc/masv/rules.yaml"), &other).unwrap().rules[0].digest;
    assert_ne!(digest(&text), changed);
    let text = PLAIN.replace("kind: link", "kind: link, password: \"${SECRET}\"");
    let mut other = environment();
    other.variables.insert("SECRET".to_owned(), "another".to_owned());
    let changed = parse(&text, Path::new("/etc/masv/rules.yaml"), &other).unwrap().rules[0].digest;
    assert_ne!(digest(&text), changed);
}
