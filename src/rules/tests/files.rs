//! Rules from several files, and recipients from a table beside them.

use super::*;

fn read_with(text: &str, files: &[(&str, &str)]) -> Result<RuleSet, Diagnostics> {
    let files = files.iter().map(|(path, text)| (Path::new("/etc/masv").join(path), (*text).to_owned()));
    parse(text, Path::new("/etc/masv/rules.yaml"), &FixedEnvironment { files: files.collect(), ..environment() })
}

fn names(set: &RuleSet) -> Vec<&str> {
    set.rules.iter().map(|rule| rule.name.as_str()).collect()
}

const A: &str = "rules: [{ name: a, watch: drop, upload: shared }]\n";
const B: &str =
    "version: 1\nuploads: { shared: { kind: link } }\nrules: [{ name: b, watch: /srv/b, upload: { kind: link } }]\n";

#[test]
fn included_files_come_after_the_rules_file_in_order_and_share_templates_and_defaults() {
    let text = "version: 1\ninclude: [rules.d, more/*.yaml, one.yml]\ndefaults: { settle: 9s, after: { complete: { move: sent } } }\n\
                rules: [{ name: main, watch: /srv/m, upload: { kind: link } }]\n";
    let one = A.replace("name: a", "name: one");
    let more = "rules: [{ name: more, watch: /srv/more, upload: shared }]";
    let files = [
        ("rules.d/b.yaml", B),
        ("rules.d/a.yaml", A),
        ("rules.d/.swap.yaml", "{"),
        ("rules.d/notes.txt", "x"),
        ("one.yml", &one),
    ];
    let set = read_with(text, &[&files[..], &[("more/x.yaml", more), ("more/y.txt", "x")]].concat()).unwrap();
    assert_eq!(names(&set), ["main", "a", "b", "more", "one"]);
    let a = set.rule("a").unwrap();
    assert_eq!((a.watch.as_path(), a.settle.as_secs(), a.line), (Path::new("/etc/masv/rules.d/drop"), 9, 1));
    assert_eq!(a.file, Path::new("/etc/masv/rules.d/a.yaml"));
    assert_eq!(set.rule("main").unwrap().file, Path::new("/etc/masv/rules.yaml"));
    let After { complete: AfterComplete::Move(target), .. } = &a.after else { panic!("{:?}", a.after) };
    assert_eq!(target.fixed_part().unwrap(), Path::new("/etc/masv/sent"), "relative to the file that it is written in");
    assert!(set.own_files().contains(&PathBuf::from("/etc/masv/more")), "a new file in it is not sent either");
    assert!(!set.own_files().contains(&PathBuf::from("/etc/masv/rules.d")), "rule `a` watches a folder in it");
    let shown = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ");
    let files = "/etc/masv/rules.d/a.yaml /etc/masv/rules.d/b.yaml /etc/masv/more/x.yaml /etc/masv/one.yml";
    assert_eq!(
        (shown(&set.files), shown(&set.folders)),
        (files.to_owned(), "/etc/masv/rules.d /etc/masv/more".to_owned())
    );
}

#[test]
fn what_is_wrong_in_any_file_is_told_with_its_file_and_line() {
    let text = "version: 1\ninclude: [a.yaml, b.yaml, c.yaml, gone.yaml]\nrules: [{ name: x, watch: /srv, upload: { kind: link } }]\n";
    let a = "# a\nrules:\n  - { name: x, watch: /srv/x, uplaod: { kind: link } }\n";
    let errors =
        read_with(text, &[("a.yaml", a), ("b.yaml", "cloud: { url: x }\n"), ("c.yaml", "rules: [\n")]).unwrap_err();
    let told: Vec<(String, u32, &str)> = errors
        .0
        .iter()
        .map(|error| {
            (error.file.file_name().unwrap().to_string_lossy().into_owned(), error.line, error.message.as_str())
        })
        .collect();
    let has = |file: &str, line: u32, message: &str| {
        assert!(
            told.iter().any(|told| told.0 == file && told.1 == line && told.2.contains(message)),
            "{file} {message}: {told:#?}"
        );
    };
    has("rules.yaml", 2, "cannot read /etc/masv/gone.yaml");
    has("a.yaml", 3, "there are two rules named `x`");
    has("a.yaml", 3, "unknown key `uplaod`");
    has("b.yaml", 1, "unknown key `cloud`");
    has("c.yaml", 1, "not YAML");
    assert!(errors.to_string().contains("/etc/masv/a.yaml:3:"), "{errors}");
}

#[test]
fn a_file_that_includes_itself_or_is_included_twice_is_read_once() {
    let text = "version: 1\ninclude: [rules.yaml, a.yaml, ./a.yaml]\nuploads: { shared: { kind: link } }\n";
    let set = read_with(text, &[("a.yaml", A), ("rules.yaml", text)]).unwrap();
    assert_eq!(names(&set), ["a"]);
}

const CLIENTS: &str = "version: 1\nrecipients: clients.csv\nrules:\n  - { name: x, watch: /srv, package: folder, \
                       upload: { kind: email, emails: '{{ recipients[item] }}' } }\n";

fn sent_to(set: &RuleSet, path: &str) -> Result<String, String> {
    let UploadKind::Email { emails } = &set.rules[0].upload.kind else { panic!("no mail") };
    let now = "2026-11-24T23:30:00[UTC]".parse().unwrap();
    let context = TemplateContext::for_files(&set.rules[0], now, [(Path::new(path), 1)]);
    let addresses = addresses(emails, &context).map_err(|error| error.to_string())?;
    Ok(addresses.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(" "))
}

#[test]
fn a_table_of_recipients_is_read_as_spreadsheets_and_people_write_it() {
    let both = Ok("a@n.com b@n.com".to_owned());
    for table in [
        "north,a@n.com,b@n.com\n",
        "Client;E-mail\r\nnorth;a@n.com;\r\nnorth;b@n.com\r\n",
        "\u{feff}client\tmail\n# old\n\nnorth\ta@n.com\tb@n.com",
        "\"north\",\"a@n.com\", \"b@n.com\"\n\"x, \"\"y\"\"\",c@n.com\n",
    ] {
        let set = read_with(CLIENTS, &[("clients.csv", table)]).unwrap_or_else(|errors| panic!("{table}{errors}"));
        assert_eq!(sent_to(&set, "north/a.mov"), both, "{table}");
        assert!(sent_to(&set, "nort/a.mov").unwrap_err().contains("no entry `nort`"));
        assert_eq!(set.files, [Path::new("/etc/masv/clients.csv")]);
    }
    let yaml = CLIENTS.replace("clients.csv", "clients.yaml");
    let set = read_with(&yaml, &[("clients.yaml", "north: [a@n.com, b@n.com]\nsouth: c@n.com\n")]).unwrap();
    assert_eq!((sent_to(&set, "north/a.mov"), sent_to(&set, "south/a.mov").as_deref()), (both, Ok("c@n.com")));
}

#[test]
fn every_address_of_a_table_is_checked_where_it_stands() {
    for (file, table, line, why) in [
        ("clients.csv", "north,a@n.com\nsouth,nobody\n", 2, "`nobody` is not an e-mail address"),
        ("clients.csv", "north,nobody\n", 1, "`nobody` is not an e-mail address"),
        ("clients.csv", "north\n", 1, "expected a name and its addresses"),
        ("clients.csv", "north,a@n.com\n,b@n.com\n", 2, "expected a name and its addresses"),
        ("clients.csv", "north,\"a@n.com\n", 1, "a quote is not closed"),
        ("clients.csv", "north,a@n.com b@n.com\n", 1, "is not an e-mail address"),
        ("clients.yaml", "north: a@n.com\nsouth:\n  - nobody\n", 3, "`nobody` is not an e-mail address"),
        ("clients.yaml", "north: a@n.com\nnorth: b@n.com\n", 2, "`north` occurs twice"),
        ("clients.yaml", "north: []\n", 1, "`north` has no address"),
        ("clients.yaml", "- north\n", 1, "expected a mapping"),
    ] {
        let errors = read_with(&CLIENTS.replace("clients.csv", file), &[(file, table)]).unwrap_err();
        let told = errors.0.iter().any(|error| {
            error.file == Path::new("/etc/masv").join(file) && error.line == line && error.message.contains(why)
        });
        assert!(told, "{table}{errors}");
    }
    let errors = read_with(CLIENTS, &[]).unwrap_err().to_string();
    assert!(errors.contains("cannot read /etc/masv/clients.csv: there is no such file"), "{errors}");
}

/// A changed table restarts the rules that look into it, and no others.
#[test]
fn a_rule_is_another_one_when_its_table_is() {
    let text = CLIENTS.replace("rules:\n", "rules:\n  - { name: y, watch: /srv/y, upload: { kind: link } }\n");
    let read = |table| read_with(&text, &[("clients.csv", table)]).unwrap();
    let (one, other) = (read("north,a@n.com\n"), read("north,b@n.com\n"));
    assert!(one.rule("x") != other.rule("x") && one.rule("y") == other.rule("y"));
}
