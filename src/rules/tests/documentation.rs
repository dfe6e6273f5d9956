//! docs/rules.md says what the reader does.

use super::*;
use jiff::tz::TimeZone;

const PAGE: &str = include_str!("../../../docs/rules.md");

/// Surroundings in which every variable and every secret exists.
struct Everything;

impl Environment for Everything {
    fn variable(&self, name: &str) -> Option<String> {
        let value = match name {
            "CLIENT_EMAIL" => "client@example.com",
            "CHAT_HOOK" => "https://chat.example.com/hook",
            _ => "value",
        };
        Some(value.to_owned())
    }

    fn secret_file(&self, _: &Path) -> Result<SecretFile, String> {
        Ok(SecretFile { secret: "secret".into(), readable_by_all: false })
    }

    fn secret_file_without_links(&self, path: &Path) -> Result<SecretFile, String> {
        self.secret_file(path)
    }

    fn text_file(&self, path: &Path) -> Result<String, String> {
        let is_table = path.extension().is_some_and(|extension| extension == "csv");
        Ok(if is_table { "north,post@north.example.com\n" } else { "rules: []\n" }.to_owned())
    }

    fn home(&self) -> Option<PathBuf> {
        Some(PathBuf::from("/home/me"))
    }

    fn time_zone(&self) -> TimeZone {
        TimeZone::UTC
    }
}

fn blocks() -> Vec<&'static str> {
    blocks_of(PAGE)
}

fn blocks_of(page: &str) -> Vec<&str> {
    page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// Every page of the documentation.
fn pages() -> Vec<String> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.chain([root.join("README.md")]).filter(|path| path.extension().is_some_and(|ext| ext == "md"));
    pages.map(|page| std::fs::read_to_string(page).unwrap()).collect()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// A whole file around a block that shows a part of one.
fn completed(block: &str) -> String {
    let has = |key: &str| block.lines().any(|line| line.starts_with(&format!("{key}:")));
    if has("version") {
        return block.to_owned();
    }
    if block.starts_with("- ") {
        return format!("version: 1\nrules:\n{block}");
    }
    if has("kind") {
        return format!("version: 1\nuploads:\n  shown:\n{}", indented(block));
    }
    let needed = [("name", "name: shown\n"), ("watch", "watch: /srv/shown\n"), ("upload", "upload: { kind: link }\n")];
    let missing = needed.iter().filter(|(key, _)| !has(key) && (*key == "name" || !has("into")));
    let lines: String = missing.map(|(_, line)| *line).collect();
    format!("version: 1\nrules:\n  -\n{}", indented(&format!("{lines}{block}")))
}

#[test]
fn every_block_is_valid_and_fits_the_schema() {
    let schema = jsonschema::validator_for(&schema()).unwrap();
    assert!(blocks().len() > 40);
    let pages = pages();
    for block in pages.iter().flat_map(|page| blocks_of(page)) {
        let text = completed(block);
        let set = parse(&text, Path::new("/etc/masv/rules.yaml"), &Everything);
        let set = set.unwrap_or_else(|errors| panic!("{block}\n{errors}"));
        let known = [
            "there are no rules",
            "no package of this rule is ever open",
            "overlaps with",
            "files are downloaded into the watched folder",
        ];
        let meant = |warning: &&Diagnostic| !known.iter().any(|known| warning.message.contains(known));
        assert_eq!(set.warnings.iter().find(meant), None, "{block}");
        let document: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let complaints: Vec<String> = schema.iter_errors(&document).map(|error| error.to_string()).collect();
        assert_eq!(complaints, Vec::<String>::new(), "{block}");
    }
}

#[test]
fn every_key_is_explained_and_shown() {
    let sections = [
        schema_table::FILE,
        schema_table::CLOUD,
        schema_table::RULE,
        schema_table::DOWNLOAD,
        schema_table::JUNK,
        schema_table::PACKAGE,
        schema_table::READY,
        schema_table::SCHEDULE,
        schema_table::FINALIZE,
        schema_table::AFTER,
        schema_table::AFTER_DOWNLOAD,
        schema_table::MOVE,
        schema_table::NOTIFY,
        schema_table::UPLOAD,
    ];
    let shown = blocks().concat();
    for key in sections.iter().copied().flatten() {
        let heading = |line: &str| line.starts_with('#') && line.contains(key.name);
        assert!(PAGE.contains(&format!("`{}", key.name)) || PAGE.lines().any(heading), "{} is not explained", key.name);
        assert!(shown.contains(&format!("{}:", key.name)), "{} is not shown", key.name);
    }
}

#[test]
fn every_example_of_a_key_is_a_right_value() {
    for key in schema_table::RULE.iter().filter(|key| !matches!(key.name, "name" | "watch" | "upload")) {
        let block = format!("{}: {}\n", key.name, key.example);
        let read = parse(&completed(&block), Path::new("/etc/masv/rules.yaml"), &Everything);
        assert!(read.is_ok(), "{block}{}", read.unwrap_err());
    }
    for key in schema_table::UPLOAD.iter().filter(|key| key.name != "kind") {
        let kind = match key.name {
            "emails" => "kind: email\n",
            "subdomain" => "kind: portal\nsender: a@example.com\n",
            "sender" => "kind: portal\nsubdomain: acme\n",
            "metadata" => "kind: portal\nsubdomain: acme\nsender: a@example.com\n",
            _ => "kind: link\n",
        };
        let block = format!("{kind}{}: {}\n", key.name, key.example);
        let read = parse(&completed(&block), Path::new("/etc/masv/rules.yaml"), &Everything);
        assert!(read.is_ok(), "{block}{}", read.unwrap_err());
    }
}

#[test]
fn every_variable_is_explained() {
    for variable in template::VARIABLES {
        assert!(PAGE.contains(&format!("`{variable}")), "{variable}");
    }
}

/// The lists of names that are not sent are a policy: the page shows them whole.
#[test]
fn every_name_that_is_not_sent_is_listed() {
    for name in junk::SYSTEM.iter().chain(&junk::UNFINISHED) {
        assert!(PAGE.contains(&format!("`{}`", name.escape_debug())), "{name}");
    }
}

/// Cases: the page did not say what the fields of cron take beside numbers, nor that empty folders are not sent.
#[test]
fn what_cron_takes_beside_numbers_and_what_becomes_of_empty_folders_is_explained() {
    for words in ["| `L` |", "| `LW` |", "| `15W` |", "| `friL` |", "| `fri#3` |", "| `?` |", "which is 0 or 7"] {
        assert!(PAGE.contains(words), "{words}");
    }
    assert!(PAGE.contains("Empty folders are not part of a package"));
}
