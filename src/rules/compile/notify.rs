//! Receivers of notifications: webhooks and programs.

use super::super::fields::At;
use super::super::reader::{Reader, example};
use super::super::schema_table::{EVENTS, NOTIFY};
use super::super::settings::{Notify, NotifyEvent, NotifyTarget};
use super::super::value_type::Shape;
use super::super::yaml::Value;
use super::http_url;

pub(super) fn list(at: &At<'_>, reader: &Reader<'_>) -> Option<Vec<Notify>> {
    if !matches!(at.node.value, Value::List(_)) {
        reader.wrong(at, &Shape::ListOf(&Shape::Defined("notify")));
        return None;
    }
    let read: Vec<Option<Notify>> = at.items().iter().map(|item| one(item, reader)).collect();
    read.into_iter().collect()
}

fn one(at: &At<'_>, reader: &Reader<'_>) -> Option<Notify> {
    let fields = reader.fields(at, NOTIFY)?;
    let events = fields.or("events", NotifyEvent::ALL.to_vec(), |at| events(at, reader));
    let secret = fields.secret("secret", reader);
    if let (Some(_), Some(at)) = (fields.optional("exec"), fields.optional("secret")) {
        reader.warn(&at, "`secret` signs webhooks; it has no effect on programs", Some("remove it".to_owned()));
    }
    let target = match (fields.optional("webhook"), fields.optional("exec")) {
        (Some(at), None) => {
            let (url, secret) = (http_url(&at, reader), secret);
            url.zip(secret).map(|(url, secret)| NotifyTarget::Webhook { url, secret })
        }
        (None, Some(at)) => exec(&at, reader),
        (None, None) if fields.has_slips() => None,
        _ => {
            reader.error(at, "expected either `webhook` or `exec`", example(at));
            None
        }
    };
    Some(Notify { target: target?, events: events? })
}

fn exec(at: &At<'_>, reader: &Reader<'_>) -> Option<NotifyTarget> {
    let mut words = reader.texts(at)?.into_iter();
    let Some(program) = words.next() else {
        reader.error(at, "expected a program", example(at));
        return None;
    };
    Some(NotifyTarget::Exec { program, arguments: words.collect() })
}

fn events(at: &At<'_>, reader: &Reader<'_>) -> Option<Vec<NotifyEvent>> {
    let choices = NotifyEvent::ALL.map(|event| (event.name(), event));
    debug_assert!(choices.iter().map(|(name, _)| *name).eq(EVENTS.iter().copied()));
    let read: Vec<Option<NotifyEvent>> = at.items().iter().map(|item| reader.choice(item, &choices)).collect();
    let events: Option<Vec<NotifyEvent>> = read.into_iter().collect();
    if events.as_ref().is_some_and(Vec::is_empty) {
        reader.error(at, "expected at least one event", example(at));
        return None;
    }
    events
}
