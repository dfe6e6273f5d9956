//! What other implementations answer: fields that are missing, more, or written in another way.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::*;

fn read<T: DeserializeOwned>(wire: Value) -> T {
    serde_json::from_str(&wire.to_string()).unwrap()
}

#[test]
fn an_answer_may_say_no_more_than_what_a_client_cannot_do_without() {
    let created: PackageWithToken = read(json!({ "id": 7, "access_token": "t" }));
    assert_eq!(created.package.id, "7");
    let announced: AnnouncedFile =
        read(json!({ "file": { "id": "F" }, "create_blueprint": { "method": "POST", "url": "https://h/?x" } }));
    assert_eq!((announced.create_blueprint.headers.len(), announced.create_blueprint.body), (0, None));
    read::<SignedIn>(json!({ "token": "t", "user": { "id": 1 } }));
    read::<OpenedLink>(json!({ "package_id": 1, "package_token": "t" }));
    read::<Link>(json!({ "id": "L", "download_secret": "s" }));
    read::<Portal>(json!({ "id": 5 }));
    read::<Member>(json!({ "id": 5 }));
    read::<Limits>(json!({}));
    for incomplete in [json!({ "id": "P" }), json!({ "access_token": "t" }), json!({ "id": null, "access_token": "t" })]
    {
        assert!(serde_json::from_value::<PackageWithToken>(incomplete.clone()).is_err(), "{incomplete}");
    }
}

#[test]
fn what_is_not_understood_counts_as_absent() {
    let package: Package = read(json!({
        "id": "P", "name": null, "state": null, "status": "quarantined", "size": "many", "recipients": [{ "email": "a@b" }],
        "access_limit": null, "created_at": 0, "expiry": "soon", "portal": 7, "tag": "t", "more": [1],
    }));
    assert_eq!((package.name.as_str(), package.size, package.recipients.len()), ("", 0, 0));
    assert_eq!(package.state().unwrap().to_string(), "quarantined");
    assert!(!package.is_in(PackageState::Finalized) && package.expiry.is_unset() && package.arrived_at().is_none());
    assert_eq!(
        (package.came_through().map(PortalId::as_str), package.subdomain(), package.tag.clone()),
        (Some("7"), None, None)
    );
    let portal: PublicPortal = read(
        json!({ "id": "P", "name": "A", "has_access_code": true, "metadata_fields": [{ "name": "a", "type": "star" }] }),
    );
    assert!(portal.has_access_code && portal.metadata_fields.is_empty());
}

#[test]
fn a_delivery_is_read_however_it_is_spelled() {
    let full: Package = read(json!({
        "id": "P", "state": "finalized", "portal": { "id": "7", "subdomain": "acme" },
        "finalized_at": "2026-11-02T00:00:00.000Z", "created_at": "2026-11-01T00:00:00.000Z",
    }));
    assert_eq!((full.came_through().map(PortalId::as_str), full.subdomain()), (Some("7"), Some("acme")));
    assert_eq!(full.arrived_at(), "2026-11-02T00:00:00Z".parse().ok());
    let bare: Package = read(json!({
        "id": 1, "portal_id": 7, "status": "archived", "finalized_at": "0001-01-01T00:00:00Z", "portal_subdomain": "acme",
        "created_at": "2026-11-01T00:00:00Z",
    }));
    assert_eq!((bare.came_through().map(PortalId::as_str), bare.subdomain()), (Some("7"), Some("acme")));
    assert!(bare.is_in(PackageState::Archived) && bare.arrived_at() == "2026-11-01T00:00:00Z".parse().ok());
}

#[test]
fn a_file_is_read_however_it_is_spelled_but_never_with_a_wrong_size() {
    let full: File = read(json!({
        "id": 7, "kind": "folder", "name": "a", "path": null, "size": "3", "last_modified": 1_700_000_000_000_i64,
    }));
    assert!(full.is_directory() && full.path.is_empty() && full.size == 3);
    assert_eq!(full.last_modified.to_string(), "2023-11-14T22:13:20.000Z");
    let bare: File = read(json!({ "id": "x", "name": "a", "last_modified": "0001-01-01T00:00:00Z" }));
    assert_eq!((bare.size, bare.last_modified.plausible(), bare.is_directory()), (0, None, false));
    for size in [json!(-1), json!(1.5), json!("large"), json!([3])] {
        assert!(serde_json::from_value::<File>(json!({ "id": "x", "name": "a", "size": size })).is_err(), "{size}");
    }
}

#[test]
fn headers_of_a_blueprint_are_texts_whatever_their_type() {
    let blueprint: Blueprint = read(
        json!({ "method": "PUT", "url": "https://h/?x", "headers": { "A": "b", "Content-Length": 3 }, "body": "" }),
    );
    assert_eq!(
        blueprint.header_texts().collect::<Vec<_>>(),
        [("A", "b".to_owned()), ("Content-Length", "3".to_owned())]
    );
    assert_eq!(read::<Blueprint>(json!({ "method": "PUT", "url": "u", "headers": null })).headers.len(), 0);
}
