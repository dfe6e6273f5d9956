//! The room from outside: whole files in, rule sets or diagnostics out.

mod digest;
mod documentation;
mod files;
mod hostile;
mod schedule;

use std::path::{Path, PathBuf};

use super::*;

fn environment() -> FixedEnvironment {
    let variables = [("PROJECT", "Dune"), ("SECRET", "hush")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let files = [(PathBuf::from("/run/secrets/acme"), "from a file".to_owned())];
    let hiding_writers = [(PathBuf::from("/mnt/nas/drop"), "NFS")].into();
    let home = Some(PathBuf::from("/home/me"));
    FixedEnvironment { variables: variables.into(), files: files.into(), home, hiding_writers }
}

/// The one rule of a file that says this about it.
pub(super) fn rule(keys: &str) -> std::sync::Arc<Rule> {
    let upload = if keys.contains("upload:") { "" } else { "upload: { kind: link }\n" };
    let lines: String = format!("name: test\nwatch: /srv/drop\n{upload}{keys}")
        .lines()
        .fold(String::from("version: 1\ntimezone: Europe/Berlin\nrules:\n  -\n"), |text, line| {
            text + "    " + line + "\n"
        });
    let set = read(&lines).unwrap_or_else(|errors| panic!("{errors}"));
    set.rules[0].clone()
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

/// The sample was started with a key of a cloud to try it, and a folder dropped into it was mailed to an address that is nobody's; the
/// portal may be somebody's.
#[test]
fn the_example_sends_nothing_to_anybody_before_it_is_edited() {
    for rule in &read(EXAMPLE).unwrap_or_else(|errors| panic!("{errors}")).rules {
        assert_eq!(rule.enabled, matches!(rule.upload.kind, UploadKind::Link), "{}", rule.name);
    }
}

/// Case: a mail has its own line with the count and the size of what was sent; the example said both a second time.
#[test]
fn the_example_leaves_counts_and_sizes_to_the_mail() {
    for variable in ["{{ count", "{{ bytes", "filesize"] {
        assert!(!EXAMPLE.contains(variable), "{variable}");
    }
}

/// Each file in cases/ with what is said about it. A case more is a file more; `cargo insta review` or
/// `INSTA_UPDATE=always` accepts what is said.
/// Cases, by their files: watch folders that are URLs, Windows paths or shell variables (places); patterns that are one text
/// instead of several, regular expressions, typographic quotes, or leave nothing to send (hardly_meant, hardly_meant_either,
/// nothing_to_do, warnings); blank passwords, keys and secrets (blank_secrets); a file that ends after `rules:` (cut_off); tags
/// (tags); cron with a space in a list, a step that never comes, an empty entry, or days as Quartz counts them (cron_slips,
/// quartz); quoted numbers, all unknown variables of a template at once, `recipients` for `emails` (wording); errors in block
/// texts at their own line (templates_in_blocks); tabs at their own line (tabs).
#[test]
fn diagnostics_of_every_case() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
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

#[test]
fn secrets_are_in_no_debug_output_and_no_message() {
    let text = "version: 1\ncloud: { url: \"https://x.com\", api_key: \"${SECRET}\" }\nrules:\n  - name: a\n    watch: /a\n    \
                upload: { kind: link, password: { file: /run/secrets/acme } }\n    \
                notify: [{ webhook: \"https://hooks.example.com/hush?x=hush\", secret: \"${SECRET}\" }]\n";
    let set = read(text).unwrap();
    assert_eq!(set.secret_files, [Path::new("/run/secrets/acme")]);
    let shown = format!("{set:?}");
    assert!(!shown.contains("hush") && !shown.contains("from a file"), "{shown}");
}

#[test]
fn defaults_are_inherited_and_overridden() {
    let text = "version: 1\ndefaults: { settle: 9s, exclude: [\"*.txt\"], upload: { kind: link }, priority: 3 }\nrules:\n  \
                - { name: a, watch: ./a/../b/./c }\n  - { name: b, watch: ~/b, settle: 1s, exclude: [] }\n  \
                - { name: c, portal: acme, into: in }\n";
    let set = read(text).unwrap();
    let (a, b) = (&set.rules[0], &set.rules[1]);
    assert_eq!((a.settle.as_secs(), b.settle.as_secs()), (9, 1));
    // What is written counts, seen or not; what is not written is longer where nobody can see who writes.
    assert_eq!((a.settle_unseen.as_secs(), b.settle_unseen.as_secs()), (9, 1));
    let bare = read("version: 1\nrules:\n  - { name: a, watch: a, upload: { kind: link } }\n").unwrap();
    assert_eq!((bare.rules[0].settle.as_secs(), bare.rules[0].settle_unseen.as_secs()), (5, 30));
    assert!(!a.matches(Path::new("x.txt"), 1) && b.matches(Path::new("x.txt"), 1));
    assert_eq!(a.watch, Path::new("/etc/masv/a/../b/c"));
    assert_eq!(b.watch, Path::new("/home/me/b"));
    assert_eq!((set.downloads[0].priority, set.downloads[0].package_folder), (3, true));
    assert_eq!(set.downloads[0].into, Path::new("/etc/masv/in"));
    assert_eq!(set.downloads[0].portals, Portals::Subdomains(vec!["acme".to_owned()]));
}

/// Case: a rules file that is no UTF-8 or larger than 1 MiB is refused, with a reason.
#[test]
fn loading_tells_what_is_wrong_with_the_file_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yaml");
    let said = |path: &Path| load(path, &environment()).unwrap_err().to_string();
    assert!(said(&path).contains("cannot read the rules file"));
    assert!(said(folder.path()).contains("cannot read the rules file"));
    std::fs::write(&path, b"version: 1\nx: \xff\n").unwrap();
    assert!(said(&path).contains("line 2 is not UTF-8"));
    std::fs::write(&path, vec![b'#'; 2 * 1024 * 1024]).unwrap();
    assert!(said(&path).contains("larger than"));
    std::fs::write(&path, format!("\u{feff}{EXAMPLE}").replace('\n', "\r\n")).unwrap();
    let set = load(&path, &environment()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(set.path, path);
    assert_eq!(set.rules[0].watch, folder.path().join("drop/link"));
}

#[test]
fn the_system_reads_secret_files_and_warns_of_open_ones() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "hush\n").unwrap();
    let text = "version: 1\nrules:\n  - { name: a, watch: /a, upload: { kind: link, password: { file: ./secret } } }\n";
    let path = folder.path().join("rules.yaml");
    let warnings = |mode| {
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).unwrap();
        let set = parse(text, &path, &SystemEnvironment).unwrap_or_else(|errors| panic!("{errors}"));
        let password = set.rules[0].upload.password.clone().unwrap();
        assert_eq!(secrecy::ExposeSecret::expose_secret(&password), "hush");
        set.warnings.iter().filter(|warning| warning.message.contains("secret")).count()
    };
    assert_eq!((warnings(0o600), warnings(0o644)), (0, 1));
}

#[test]
fn diagnostics_serialise_for_programs() {
    let errors = read("version: 1\nrulez: []\n").unwrap_err();
    let json = serde_json::to_value(&errors).unwrap();
    assert_eq!(json[0]["line"], 2);
    assert_eq!(json[0]["column"], 1);
    assert_eq!(json[0]["key"], "rulez");
    assert_eq!(json[0]["severity"], "error");
    assert_eq!(json[0]["help"], "did you mean `rules`?");
}
