//! What a hub answers is read, and written back exactly.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::*;

fn same<T: Serialize + DeserializeOwned>(wire: Value) -> T {
    let read: T = serde_json::from_str(&wire.to_string()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), wire);
    read
}

fn package() -> Value {
    json!({
        "id": "01M85VJ3Y0Q8ZK2T4W6X7B9CDE", "team_id": "01M85VJ3Y0Q8ZK2T4W6X7B9CDF", "portal_id": null, "state": "finalized",
        "status": "finalized", "name": "Dailies", "description": "", "sender": "dit@example.com",
        "recipients": ["client@example.com"], "size": 3, "total_files": 1, "access_limit": 0, "password_protected": false,
        "unlimited_storage": false, "tag_id": null, "teamspace_id": null, "custom_metadata": null,
        "form_data_id": "", "created_at": "2026-11-28T10:00:00.000Z", "updated_at": "2026-11-28T10:00:01.234Z",
        "finalized_at": "2026-11-28T10:00:01.234Z", "expiry": "0001-01-01T00:00:00.000Z",
    })
}

fn with(mut message: Value, more: Value) -> Value {
    if let (Value::Object(message), Value::Object(more)) = (&mut message, more) {
        message.extend(more);
    }
    message
}

#[test]
fn packages() {
    let read: Package = same(package());
    assert!(read.is_in(PackageState::Finalized) && read.expiry.is_unset());
    assert_eq!(read.arrived_at(), "2026-11-28T10:00:01.234Z".parse().ok());
    let created: PackageWithToken = same(with(package(), json!({ "access_token": "t0ken" })));
    assert_eq!((created.package, created.access_token.expose()), (read, "t0ken"));
    let named: Package = same(with(
        package(),
        json!({
            "portal_id": "P", "tag_id": "T", "custom_metadata": { "reel": "A1" }, "tag": { "id": "T", "name": "dailies" },
            "portal": { "id": "P", "name": "Acme", "subdomain": "acme" },
        }),
    ));
    assert_eq!((named.came_through().map(PortalId::as_str), named.subdomain()), (Some("P"), Some("acme")));
    let page: Page<Package> = same(json!({ "metadata": { "total": 7 }, "records": [package()] }));
    assert!(page.has_more(1, 1));
}

#[test]
fn files() {
    let blueprint =
        json!({ "method": "POST", "url": "https://h/storage/P/F?uploads=&signature=00", "headers": {}, "body": null });
    let announced: AnnouncedFile = same(json!({
        "file": { "id": "F", "kind": "file", "name": "b.mov", "path": "a", "size": 3, "package_id": "P" },
        "create_blueprint": blueprint, "max_chunks_count": 10_000, "max_chunk_size": 5_368_709_120_u64,
        "min_chunk_size": 5_242_880,
    }));
    assert_eq!(announced.file.id, "F");
    assert!(!format!("{announced:?}").contains("signature"));
    same::<Vec<Blueprint>>(json!([{ "method": "PUT", "url": "https://h/?x", "headers": {}, "body": null }]));
    let file: File = same(json!({
        "id": "F", "kind": "directory", "name": "empty", "path": "a", "size": 0, "last_modified": "2026-01-02T03:04:05.678Z",
        "state": "finalized", "virus_detected": false,
    }));
    assert!(file.is_directory());
    same::<FileAddress>(json!({ "url": "https://h/storage/P/F?signature=00" }));
    same::<Limits>(
        json!({ "max_chunk_count": 10_000, "max_chunk_size": 5_368_709_120_u64, "min_chunk_size": 5_242_880 }),
    );
    same::<Empty>(json!({}));
    same::<Health>(json!({ "status": "ok" }));
}

#[test]
fn links() {
    let link: Link = same(json!({
        "id": "L", "package_id": "P", "email": "", "download_secret": "s3cret", "url": "https://h/L?secret=s3cret",
        "expiry": "0001-01-01T00:00:00.000Z", "access_limit": 5, "access_count": 1, "active": true, "has_password": false,
        "password_protected": false, "created_at": "2026-11-28T10:00:00.000Z", "opened_at": "0001-01-01T00:00:00.000Z",
        "downloads": 0, "downloaded_at": "0001-01-01T00:00:00.000Z",
    }));
    assert_eq!(link.address("https://get.massive.io").expose(), "https://h/L?secret=s3cret");
    assert!(!format!("{link:?}").contains("s3cret"));
    let opened: OpenedLink = same(json!({
        "id": "L", "name": "Dailies", "description": "", "package_id": "P", "package_name": "Dailies", "package_token": "v1s1t",
        "package_size": 3, "total_files": 1, "sender_email": "dit@example.com", "email": "", "expiry": "0001-01-01T00:00:00.000Z",
        "access_limit": 0, "access_count": 0, "active": true, "created_at": "2026-11-28T10:00:00.000Z",
        "finalized_at": "2026-11-28T10:00:01.234Z",
    }));
    assert!(!format!("{opened:?}").contains("v1s1t"));
}

#[test]
fn portals() {
    let public = json!({
        "id": "P", "subdomain": "rushes", "name": "Rushes", "message": "", "active": true, "expiry_enabled": false,
        "expiry": "0001-01-01T00:00:00.000Z", "has_access_code": true, "has_download_password": false,
        "metadata_fields": [
            { "name": "Reel", "label": "", "visibility": "required", "type": "short_text" },
            { "name": "Camera", "label": "", "visibility": "optional", "type": "dropdown", "options": ["A", "B"] },
        ],
        "file_type_restriction_enabled": true, "file_type_restriction_exclude": false, "file_types": ["mov", "mxf"],
        "package_size_restriction_enabled": true, "max_file_count": 0, "max_file_size": 1_000_000_000, "max_package_size": 0,
        "primary_color": "#1d5fc4", "logo_url": "https://h/logo.png", "background_url": "",
    });
    let seen: PublicPortal = same(public.clone());
    assert_eq!((seen.restrictions.max_file_size, seen.metadata_fields[0].label()), (1_000_000_000, "Reel"));
    let more = json!({
        "team_id": "T", "recipients": ["a@example.com"], "cc_recipients": ["b@example.com"], "disable_upload_receipt": true,
        "custom_webhooks": [{ "id": "W" }], "custom_expiry_days": -1, "tag_id": null,
        "created_at": "2026-11-28T10:00:00.000Z", "updated_at": "2026-11-28T10:00:00.000Z", "url": "https://h/portals/rushes",
    });
    let portal: Portal = same(with(public, more));
    assert_eq!((portal.public, portal.custom_expiry_days), (seen, -1));
}

#[test]
fn teams_people_and_keys() {
    let signed_in: SignedIn = same(json!({
        "token": "s3ssion", "user": { "id": "U", "email": "ed@example.com", "name": "Ed" },
        "teams": [{ "id": "T", "name": "Team", "role": "owner" }],
    }));
    assert!(!format!("{signed_in:?}").contains("s3ssion"));
    same::<Team>(json!({ "id": "T", "name": "Team" }));
    same::<Team>(json!({
        "id": "T", "name": "Team", "role": "sender", "subdomain": "team", "custom_expiry_default": 30, "custom_expiry_enabled": true,
        "download_limit_default": 0, "download_limit_enabled": true, "max_email_recipients": 200,
    }));
    same::<Vec<Team>>(json!([{ "id": "T", "name": "Team", "role": "operator" }]));
    for quota in [json!(null), json!(5)] {
        same::<TeamUsage>(json!({ "id": "T", "name": "Team", "used": 3, "quota": quota, "packages": 1, "stored": 2 }));
    }
    let key: CreatedKey = same(json!({
        "id": "K", "name": "cart", "role": "sender", "key": "k3y", "api_key": "k3y", "expiry": "0001-01-01T00:00:00.000Z",
        "state": "active",
    }));
    assert!(!format!("{key:?}").contains("k3y"));
    same::<Key>(json!({
        "id": "K", "name": "cart", "role": "admin", "created_at": "2026-11-28T10:00:00.000Z",
        "expiry": "2026-12-28T10:00:00.000Z", "state": "inactive", "last_used_at": "2026-11-28T10:05:00.000Z",
    }));
    same::<Member>(json!({ "id": "U", "email": "ed@example.com", "name": "", "role": "sender" }));
    same::<Member>(json!({
        "id": "U", "email": "ed@example.com", "name": "", "role": "sender", "created_at": "2026-11-28T10:00:00.000Z",
    }));
    same::<Tag>(json!({ "id": "T", "name": "dailies" }));
    same::<Tag>(json!({
        "id": "T", "name": "dailies", "team_id": "E", "active": true, "created_at": "2026-11-28T10:00:00.000Z",
        "updated_at": "2026-11-28T10:00:00.000Z",
    }));
}

fn download() -> Value {
    json!({
        "id": "12", "package_id": "P", "link_id": "L", "actor": "client@example.com", "address": "127.0.0.1",
        "user_agent": "masv-agent", "state": "complete", "started_at": "2026-11-28T10:00:00.000Z",
        "finished_at": "2026-11-28T10:00:01.234Z", "total_files": 2, "files": 2, "bytes": 3, "file_names": [],
    })
}

#[test]
fn webhooks() {
    same::<Webhook>(json!({
        "id": "W", "team_id": "T", "name": "mam", "url": "https://mam.example.com/", "method": "POST",
        "events": ["package.created", "package.finalized"], "header_names": ["authorization"], "body_extras": { "a": 1 },
        "active": true, "created_at": "2026-11-28T10:00:00.000Z",
    }));
    same::<WebhookCall>(json!({ "event_type": "package.finalized", "object": package(), "a": 1 }));
    same::<WebhookCall>(json!({ "event_type": "package.downloaded", "object": package(), "download": download() }));
    let opened =
        json!({ "link_id": "L", "email": "", "address": "127.0.0.1", "opened_at": "2026-11-28T10:00:00.000Z" });
    same::<WebhookCall>(json!({ "event_type": "package.opened", "object": package(), "opened": opened }));
    let extras = json!({ "a": 1, "event_type": "x", "object": "y", "download": "z" }).as_object().cloned().unwrap();
    let object: Package = serde_json::from_value(package()).unwrap();
    let call = WebhookCall::new(WebhookEvent::PackageCreated, object, extras);
    let wire = serde_json::to_string(&call).unwrap();
    assert_eq!(
        (wire.matches("event_type").count(), wire.matches("\"object\"").count(), call.extras().len()),
        (1, 1, 1)
    );
}

#[test]
fn logs() {
    same::<Activity>(json!({
        "id": "12", "created_at": "2026-11-28T10:00:00.000Z", "updated_at": "2026-11-28T10:00:01.234Z",
        "event_type": "package.download_started", "activity_type": "package_download_from_masv", "state": "started",
        "package_id": "P", "package_name": "Dailies", "portal_id": null, "link_id": "L", "actor": "",
    }));
    same::<ActivityStep>(json!({
        "id": "13", "activity_id": "12", "created_at": "2026-11-28T10:00:01.234Z", "event_type": "package.downloaded",
        "state": "complete", "actor": "client@example.com", "address": "127.0.0.1",
    }));
    same::<Download>(download());
    for address in [json!(null), json!("127.0.0.1")] {
        same::<AuditEntry>(json!({
            "id": "3", "created_at": "2026-11-28T10:00:00.000Z", "actor": "key agent", "address": address,
            "action": "webhook.added", "subject": "mam (mam.example.com)",
        }));
    }
}
