//! What a rule means as one number, whatever the order of its keys, its comments and its spacing.

use super::super::model::RuleDigest;
use super::super::recipients::TABLE;
use super::super::yaml::{Node, Value};
use super::Shared;

/// The digest of what a rule means.
pub(super) fn digest<'a>(
    entries: impl Iterator<Item = (&'static str, &'a Node)>,
    upload: Option<&Node>,
    rule: &Node,
    shared: &Shared<'_, 'a>,
) -> RuleDigest {
    let mut hasher = blake3::Hasher::new();
    let mut entries: Vec<(&str, &Node)> = entries.collect();
    entries.sort_by_key(|(name, _)| *name);
    for (name, node) in entries {
        absorb_text(name, &mut hasher);
        absorb(node, &mut hasher);
    }
    if let Some(upload) = upload {
        absorb(upload, &mut hasher);
    }
    absorb_text(shared.zone.iana_name().unwrap_or_default(), &mut hasher);
    absorb_text(&shared.reader.base_of(rule).to_string_lossy(), &mut hasher);
    for (name, value) in shared.template_env.iter() {
        absorb_text(name, &mut hasher);
        absorb_text(value, &mut hasher);
    }
    if upload.is_some_and(looks_up_recipients) {
        hasher.update(shared.recipients.digest().as_bytes());
    }
    hasher.update(shared.reader.take_secrets().as_bytes());
    RuleDigest(*hasher.finalize().as_bytes())
}

/// Whether the recipients of an upload depend on the table.
fn looks_up_recipients(upload: &Node) -> bool {
    let reads = |node: &Node| node.text().is_some_and(|text| text.contains(TABLE));
    let Value::Map(pairs) = &upload.value else { return false };
    pairs.iter().filter(|(key, _)| key.text() == Some("emails")).any(|(_, value)| match &value.value {
        Value::List(items) => items.iter().any(reads),
        _ => reads(value),
    })
}

fn absorb(node: &Node, hasher: &mut blake3::Hasher) {
    match &node.value {
        Value::Scalar(scalar) => {
            hasher.update(b"s");
            absorb_text(&scalar.text, hasher);
        }
        Value::List(items) => {
            hasher.update(b"l").update(&(items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| absorb(item, hasher));
        }
        Value::Map(pairs) => {
            hasher.update(b"m").update(&(pairs.len() as u64).to_le_bytes());
            let mut pairs: Vec<&(Node, Node)> = pairs.iter().collect();
            pairs.sort_by_key(|(key, _)| key.text());
            for (key, value) in pairs {
                absorb(key, hasher);
                absorb(value, hasher);
            }
        }
    }
}

fn absorb_text(text: &str, hasher: &mut blake3::Hasher) {
    hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
}
