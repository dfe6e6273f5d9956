//! The JSON Schema of a rules file, generated from the same tables as the reader, for completion and checks in editors.

use serde_json::{Map, Value, json};

use super::schema_table::{
    AFTER, AFTER_DOWNLOAD, CLOUD, CRON, DOWNLOAD, EMAIL, FILE, FINALIZE, HUB, JUNK, Key, MOVE, NOT_FOR_PORTALS, NOTIFY,
    ONLY_FOR_PORTALS, PACKAGE, READY, RULE, SCHEDULE, SMTP, TLS, UPLOAD,
};
use super::value_type::Shape;

/// The JSON Schema (draft 2020-12) of a rules file.
///
/// It accepts every valid file; what it cannot check (whether a glob is well-formed, say), `masv rule check` does.
#[must_use]
pub fn schema() -> Value {
    let mut root = section(FILE, &["version"]);
    let defaults: Vec<Key> = RULE.iter().filter(|key| !matches!(key.name, "name" | "watch")).copied().collect();
    let windows = section(SCHEDULE, &["between"]);
    let definitions = json!({
        "cloud": section(CLOUD, &["url"]),
        "hub": section(HUB, &[]),
        "tls": section(TLS, &["certificate", "key"]),
        "smtp": section(SMTP, &["url"]),
        "defaults": section(&defaults, &[]),
        "recipients": { "type": "object", "additionalProperties": Shape::Either(&[EMAIL, Shape::ListOf(&EMAIL)]).schema() },
        "uploads": { "type": "object", "additionalProperties": { "$ref": "#/$defs/upload" } },
        "rules": { "type": "array", "items": {
            "if": { "anyOf": [{ "required": ["portal"] }, { "required": ["portals"] }, { "required": ["into"] }] },
            "then": { "$ref": "#/$defs/download" },
            "else": { "$ref": "#/$defs/rule" },
        } },
        "rule": with(section(RULE, &["name", "watch"]), not_both(("confined", json!(true)), ("symlinks", json!("within")))),
        "download": with(section(DOWNLOAD, &["name", "into"]), exactly_one(&["portal", "portals"])),
        "ready": with(section(READY, &[]), exactly_one(&["marker", "manifest"])),
        "junk": section(JUNK, &[]),
        "package": section(PACKAGE, &[]),
        "schedule": { "anyOf": [{ "const": "always" }, CRON.schema(), { "type": "array", "items": CRON.schema(), "minItems": 1 }, windows, { "type": "array", "items": windows }] },
        "finalize": with(section(FINALIZE, &[]), json!({ "minProperties": 1 })),
        "after": section(AFTER, &[]),
        "after_download": section(AFTER_DOWNLOAD, &[]),
        "move": section(MOVE, &["move"]),
        "notify": with(section(NOTIFY, &[]), exactly_one(&["webhook", "exec"])),
        "upload": with(section(UPLOAD, &["kind"]), upload_kinds()),
    });
    if let Some(root) = root.as_object_mut() {
        root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        root.insert("title".to_owned(), json!("Rules of masv-agent"));
        root.insert("$defs".to_owned(), definitions);
        root.insert("patternProperties".to_owned(), json!({ "^x-": {} }));
        root.insert(
            "if".to_owned(),
            json!({ "properties": { "defaults": { "required": ["upload"] } }, "required": ["defaults"] }),
        );
        root.insert("else".to_owned(), every_rule_has_an_upload());
    }
    root
}

fn section(keys: &[Key], required: &[&str]) -> Value {
    let property = |key: &Key| {
        let about = json!({ "description": format!("{}\n\nExample: {}: {}", key.about, key.name, key.example) });
        (key.name.to_owned(), with(key.shape.schema(), about))
    };
    let properties: Map<String, Value> = keys.iter().map(property).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// Rules without a default need their own upload; download rules have none.
fn every_rule_has_an_upload() -> Value {
    let downloads =
        json!({ "anyOf": [{ "required": ["portal"] }, { "required": ["portals"] }, { "required": ["into"] }] });
    json!({ "properties": { "rules": { "items": { "anyOf": [downloads, { "required": ["upload"] }] } } } })
}

fn exactly_one(names: &[&str]) -> Value {
    json!({ "oneOf": names.iter().map(|name| json!({ "required": [name] })).collect::<Vec<_>>() })
}

/// Two keys that contradict each other with these values.
fn not_both(one: (&str, Value), other: (&str, Value)) -> Value {
    json!({ "not": {
        "properties": { one.0: { "const": one.1 }, other.0: { "const": other.1 } },
        "required": [one.0, other.0],
    } })
}

/// What each kind of upload requires and forbids.
fn upload_kinds() -> Value {
    let kind = |name: &str| json!({ "properties": { "kind": { "const": name } }, "required": ["kind"] });
    let none_of = |names: &[&str]| -> Value {
        let none: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), json!(false))).collect();
        json!({ "properties": none })
    };
    let only_email: Vec<&str> = ONLY_FOR_PORTALS.iter().copied().chain(["emails"]).collect();
    json!({ "allOf": [
        { "if": kind("email"), "then": with(none_of(ONLY_FOR_PORTALS), json!({ "required": ["emails"] })) },
        { "if": kind("link"), "then": none_of(&only_email) },
        { "if": kind("portal"), "then": with(none_of(NOT_FOR_PORTALS), json!({ "required": ["subdomain", "sender"] })) },
    ] })
}

fn with(mut schema: Value, more: Value) -> Value {
    if let (Some(schema), Value::Object(more)) = (schema.as_object_mut(), more) {
        schema.extend(more);
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EXAMPLE;

    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rules.schema.json");

    #[test]
    fn the_committed_schema_is_this_one() {
        let text = format!("{:#}\n", schema());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(COMMITTED, &text).unwrap();
        }
        let committed: Value = serde_json::from_str(&std::fs::read_to_string(COMMITTED).unwrap()).unwrap();
        assert_eq!(committed, schema(), "renew docs/rules.schema.json: masv rule schema > docs/rules.schema.json");
    }

    fn complaints(yaml: &str) -> Vec<String> {
        let document: Value = serde_yaml::from_str(yaml).unwrap();
        let validator = jsonschema::validator_for(&schema()).unwrap();
        validator.iter_errors(&document).map(|error| error.to_string()).collect()
    }

    #[test]
    fn the_example_fits_the_schema() {
        assert_eq!(complaints(EXAMPLE), Vec::<String>::new());
    }

    /// Case: the editor's schema marks unknown keys, wrong kinds, times that are no cron, and missing keys.
    #[test]
    fn the_schema_refuses_what_an_editor_should_mark() {
        let rule = |more: &str| format!("version: 1\nrules:\n  - {{name: a, watch: b, {more}}}\n");
        assert_eq!(complaints(&rule("upload: {kind: link}")), Vec::<String>::new());
        for wrong in [
            "uplod: {kind: link}",
            "upload: {kind: link, emails: [a@b.c]}",
            "upload: {kind: email}",
            "upload: {kind: portal, subdomain: a, sender: a@b.c, tag: x}",
            "settle: 5",
            "package: bunch",
            "recursive: maybe",
            "ready: {marker: a, manifest: b}",
            "finalize: {}",
            "notify: [{}]",
            "after: {complete: {mov: x}}",
            "priority: high",
        ] {
            assert!(!complaints(&rule(wrong)).is_empty(), "{wrong}");
        }
        assert!(!complaints("version: 2\n").is_empty());
        for wrong in ["22:00", "0 8 * *", "0 8, 12 * * *", ""] {
            assert!(!complaints(&rule(&format!("upload: {{kind: link}}, schedule: '{wrong}'"))).is_empty(), "{wrong}");
        }
        assert!(!complaints("version: 1\nrules: [{name: a, portal: b}]\n").is_empty());
    }

    /// An editor that used the schema accepted what the check refuses.
    /// Cases: `name: Camera Cards`, a missing upload, `between: 10pm-6am`, `schedule: 22:00`, two addresses in one text; anchors
    /// have a place under `x-`.
    #[test]
    fn the_schema_refuses_what_the_check_refuses_and_takes_what_it_takes() {
        let file = |rule: &str| format!("version: 1\nrules:\n  - {{ {rule} }}\n");
        let check = |text: &str| {
            crate::parse(text, std::path::Path::new("/rules.yaml"), &crate::FixedEnvironment::default()).is_ok()
        };
        let link = "upload: { kind: link }";
        for (rule, good) in [
            ("name: Camera Cards, watch: /a, upload: { kind: link }".to_owned(), false),
            ("name: all, watch: /a, upload: { kind: link }".to_owned(), false),
            ("name: a, watch: /a".to_owned(), false),
            (format!("name: a, watch: /a, {link}, schedule: {{ between: 10pm-6am }}"), false),
            (format!("name: a, watch: /a, {link}, schedule: '22:00'"), false),
            ("name: a, watch: /a, upload: { kind: email, emails: 'a@b.com, c@d.com' }".to_owned(), false),
            (format!("name: a, watch: /a, {link}, finalize: {{ at: noon }}"), false),
            (format!("name: a-1, watch: /a, {link}, schedule: ['0 8 * * mon-fri', '@daily']"), true),
            (format!("name: a, watch: /a, {link}, schedule: always"), true),
            (format!("name: a, watch: /a, {link}, schedule: {{ between: '22:00-6:00' }}"), true),
            (format!("name: a, watch: /a, {link}, finalize: {{ at: ['0 18 * * *', '30 0 12 * * sun'] }}"), true),
            ("name: a, watch: /a, upload: { kind: email, emails: [a@b.com, c@d.com] }".to_owned(), true),
            ("name: a, portal: acme, into: /a".to_owned(), true),
            (format!("name: a, watch: /a, {link}, confined: true, symlinks: within"), false),
            (format!("name: a, watch: /a, {link}, confined: true, symlinks: skip"), true),
            (format!("name: a, watch: /a, {link}, confined: false, symlinks: within"), true),
            (format!("name: a, watch: /a, {link}, junk: {{ add: cache }}"), true),
        ] {
            let text = file(&rule);
            assert_eq!((check(&text), complaints(&text).is_empty()), (good, good), "{rule}: {:?}", complaints(&text));
        }
        let defaults =
            "version: 1\nx-ours: &ours { kind: link }\ndefaults: { upload: *ours }\nrules: [{ name: a, watch: /a }]\n";
        assert!(check(defaults));
        assert_eq!(complaints(defaults), Vec::<String>::new());
        assert!(!check("version: 1\ndefaults: { x-ours: 1 }\n"));
    }
}
