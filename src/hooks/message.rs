//! The message: one JSON object, the same for webhooks and programs. Pure.

use serde_json::{Value, json};

use crate::model::Upload;
use crate::store::Event;
use masv_rules::NotifyEvent;

/// The message about an event. For an upload that was removed meanwhile, it contains what the event says.
pub(super) fn of(event: &Event, kind: NotifyEvent, rule: &str, upload: Option<&Upload>) -> Value {
    let mut message = json!({
        "event": kind.name(),
        "id": event.id,
        "at": format!("{:.3}", event.at),
        "rule": rule,
    });
    if let Some(id) = event.upload {
        let link = upload.and_then(|upload| upload.links.first()).map(|link| link.url.clone());
        message["upload"] = json!({
            "id": id,
            "name": upload.map_or_else(|| event.body["name"].clone(), |upload| json!(upload.name)),
            "files": upload.map_or_else(|| event.body["files"].clone(), |upload| json!(upload.totals.files)),
            "bytes": upload.map_or_else(|| event.body["bytes"].clone(), |upload| json!(upload.totals.bytes)),
            "link": link.map_or_else(|| event.body["link"].clone(), Value::from),
            "package_id": upload.and_then(|upload| upload.package.as_ref()).map(|package| &package.id),
        });
    }
    let body = &event.body;
    if !body["download_id"].is_null() {
        message["download"] = json!({
            "id": body["download_id"],
            "name": body["name"],
            "portal": body["portal"],
            "files": body["files"],
            "bytes": body["bytes"],
            "destination": body["destination"],
        });
    }
    if let Some(error) = event.body.get("error").filter(|error| !error.is_null()) {
        message["error"] = error.clone();
    }
    message
}
