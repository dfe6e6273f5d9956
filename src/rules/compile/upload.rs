//! The `upload` of a rule: e-mail, link or portal.

use std::collections::BTreeMap;

use masv_protocol::EmailAddress;

use super::super::fields::{At, Fields};
use super::super::reader::Reader;
use super::super::recipients::{Recipient, RecipientTemplate};
use super::super::schema_table::{NOT_FOR_PORTALS, ONLY_FOR_PORTALS, UPLOAD};
use super::super::settings::{Per, SentList, UploadKind, UploadTemplate};
use super::super::template::Template;
use super::super::value_type::Shape;
use super::Shared;

/// Reads the named templates that may be unused, so that errors in them are reported, too.
pub(super) fn check_all(shared: &Shared<'_, '_>) {
    for at in shared.uploads.values() {
        read(at, Per::Batch, shared);
    }
}

/// The mapping that `upload` refers to: the inline one, or the named one.
pub(super) fn mapping<'a>(at: &At<'a>, shared: &Shared<'_, 'a>) -> Option<At<'a>> {
    if at.text().is_some() { shared.upload_named(at) } else { Some(at.clone()) }
}

#[derive(Clone, Copy, PartialEq)]
enum KindWord {
    Email,
    Link,
    Portal,
}

pub(super) fn read<'a>(at: &At<'a>, per: Per, shared: &Shared<'_, 'a>) -> Option<UploadTemplate> {
    let reader = shared.reader;
    let words = [("email", KindWord::Email), ("link", KindWord::Link), ("portal", KindWord::Portal)];
    let written = at.pairs().iter().find(|(key, _)| key.text() == Some("kind")).and_then(|(_, kind)| kind.text());
    let written = words.iter().find(|(word, _)| Some(*word) == written).map(|(_, word)| *word);
    let fields =
        reader.fields_offering(at, UPLOAD, |name| written.is_none_or(|word| belongs_to(name, word).is_none()))?;
    let word = fields.required("kind").and_then(|at| reader.choice(&at, &words));
    if let Some(word) = word {
        refuse_foreign(&fields, word, reader);
    }
    let kind = word.and_then(|word| kind(word, &fields, shared));
    let name = match fields.optional("name") {
        Some(at) => shared.template(&at),
        None => Template::new(default_name(per), &shared.template_env).ok(),
    };
    let description = fields.maybe("description", |at| shared.template(at));
    let password = fields.secret("password", reader);
    let delete_after = fields.maybe("delete_after", |at| reader.whole(at));
    let download_limit = fields.maybe("download_limit", |at| reader.whole(at));
    let tag = fields.maybe("tag", |at| reader.text(at));
    let tag_id = fields.maybe("tag_id", |at| reader.text(at));
    let team_id = fields.maybe("team_id", |at| reader.text(at));
    let teamspace_id = fields.maybe("teamspace_id", |at| reader.text(at));
    let unlimited_storage = fields.or("unlimited_storage", false, |at| reader.boolean(at));
    let lists = [("asc-mhl", SentList::AscMhl), ("md5", SentList::Md5)];
    let manifest = fields.maybe("manifest", |at| reader.choice(at, &lists));
    let chunk_size = fields.maybe("chunk_size", |at| chunk_size(at, reader));
    Some(UploadTemplate {
        kind: kind?,
        name: name?,
        description: description?,
        password: password?,
        delete_after: delete_after?,
        download_limit: download_limit?,
        tag: tag?,
        tag_id: tag_id?,
        team_id: team_id?,
        teamspace_id: teamspace_id?,
        unlimited_storage: unlimited_storage?,
        manifest: manifest?,
        chunk_size: chunk_size?,
    })
}

/// The default name of a package.
fn default_name(per: Per) -> &'static str {
    match per {
        Per::File => "{{ first.name }}",
        Per::Folder => "{{ item }}",
        Per::Batch => "{{ rule }}{% if group %} {{ group }}{% endif %} {{ now | date('%Y-%m-%d %H:%M') }}",
    }
}

/// The other kinds that a key belongs to, if it does not belong to this one.
fn belongs_to(name: &str, word: KindWord) -> Option<&'static str> {
    let (foreign, kinds) = match word {
        KindWord::Portal => (NOT_FOR_PORTALS.contains(&name), "email or link"),
        KindWord::Email => (ONLY_FOR_PORTALS.contains(&name), "portal"),
        KindWord::Link if name == "emails" => (true, "email"),
        KindWord::Link => (ONLY_FOR_PORTALS.contains(&name), "portal"),
    };
    foreign.then_some(kinds)
}

fn refuse_foreign(fields: &Fields<'_, '_>, word: KindWord, reader: &Reader<'_>) {
    for (name, at) in fields.present() {
        if let Some(kinds) = belongs_to(name, word) {
            let help = format!("remove it, or set `kind: {kinds}`");
            reader.error(at, format!("`{name}` applies only to uploads of kind {kinds}"), Some(help));
        }
    }
}

fn kind<'a>(word: KindWord, fields: &Fields<'_, 'a>, shared: &Shared<'_, 'a>) -> Option<UploadKind> {
    let reader = shared.reader;
    match word {
        KindWord::Link => Some(UploadKind::Link),
        KindWord::Email => {
            let at = fields.required("emails")?;
            let emails: Vec<Option<Recipient>> = at.items().iter().map(|item| recipient(item, shared)).collect();
            let emails: Option<Vec<Recipient>> = emails.into_iter().collect();
            if emails.as_ref().is_some_and(Vec::is_empty) {
                reader.error(
                    &at,
                    "expected at least one recipient",
                    Some("for example `emails: [client@example.com]`".to_owned()),
                );
                return None;
            }
            Some(UploadKind::Email { emails: emails? })
        }
        KindWord::Portal => {
            let subdomain = fields.required("subdomain").and_then(|at| subdomain(&at, reader));
            let sender = fields.required("sender").and_then(|at| email(&at, reader));
            let metadata = fields.or("metadata", BTreeMap::new(), |at| metadata(at, shared));
            Some(UploadKind::Portal { subdomain: subdomain?, sender: sender?, metadata: metadata? })
        }
    }
}

fn metadata<'a>(at: &At<'a>, shared: &Shared<'_, 'a>) -> Option<BTreeMap<String, Template>> {
    if !at.is_map() {
        shared.reader.wrong(at, &Shape::Templates);
        return None;
    }
    let mut good = true;
    let mut metadata = BTreeMap::new();
    for (key, value) in at.pairs() {
        let name = key.text().unwrap_or_default();
        let template = shared.template(&at.child(name, value, None));
        good &= template.is_some();
        let again = template.and_then(|template| metadata.insert(name.to_owned(), template)).is_some();
        if name.is_empty() || again {
            let message =
                if again { format!("`{name}` occurs twice") } else { "expected the name of a field".to_owned() };
            shared.reader.error_at(key.start, key.end, &at.path, message, None);
            good = false;
        }
    }
    good.then_some(metadata)
}

/// An e-mail address, or a template that gives some.
fn recipient<'a>(at: &At<'a>, shared: &Shared<'_, 'a>) -> Option<Recipient> {
    let Some(text) = at.text().filter(|text| RecipientTemplate::is(text)) else {
        return email(at, shared.reader).map(Recipient::Address);
    };
    match RecipientTemplate::new(text, &shared.template_env, &shared.recipients) {
        Ok(template) => Some(Recipient::Template(template)),
        Err(error) => {
            let message = format!("bad template: {error}");
            shared.reader.error_in_template(at, error.place.as_ref(), message, error.hint);
            None
        }
    }
}

/// An e-mail address.
pub(super) fn email(at: &At<'_>, reader: &Reader<'_>) -> Option<EmailAddress> {
    let text = reader.text(at)?;
    let Ok(address) = text.parse::<EmailAddress>() else {
        let help = if text.contains([',', ';']) {
            "write a list: `[one@example.com, two@example.com]`"
        } else {
            "write only the address, like `client@example.com`"
        };
        reader.error(at, format!("`{text}` is not an e-mail address"), Some(help.to_owned()));
        return None;
    };
    if lacks_a_dot(&address) {
        reader.warn(at, format!("the domain of `{text}` has no dot"), None);
    }
    Some(address)
}

/// Whether the domain can hardly be one.
pub(super) fn lacks_a_dot(address: &EmailAddress) -> bool {
    let domain = address.domain();
    !domain.contains('.') && domain != "localhost"
}

/// A portal's subdomain.
pub(super) fn subdomain(at: &At<'_>, reader: &Reader<'_>) -> Option<String> {
    let text = reader.text(at)?;
    let hyphens = text.starts_with('-') || text.ends_with('-');
    if hyphens || !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        let host = text.split("//").last().unwrap_or_default();
        let first = host.split(['.', '/']).next().unwrap_or_default().to_lowercase();
        let help = format!("give only the first part of the portal's address, in lower case: `{first}`");
        reader.error(at, format!("`{text}` is not the subdomain of a portal"), Some(help));
        return None;
    }
    Some(text)
}

fn chunk_size(at: &At<'_>, reader: &Reader<'_>) -> Option<u64> {
    const LEAST: u64 = 5 * 1024 * 1024;
    const MOST: u64 = 5 * 1024 * 1024 * 1024;
    let size = reader.size(at)?;
    if !(LEAST..=MOST).contains(&size) {
        reader.error(at, "expected a chunk size from 5MiB to 5GiB", Some("for example `chunk_size: 64MiB`".to_owned()));
        return None;
    }
    Some(size)
}
