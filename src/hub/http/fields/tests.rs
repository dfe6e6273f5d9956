//! What becomes of each field that the service or the hub documents.

use serde_json::json;

use super::*;

/// The calls with a body of this kind, the names that are documented for it, and what becomes of one.
type Documented = (&'static str, Vec<&'static str>, fn(&str) -> Fate);

/// The service's names for the bodies of requests, as its documentation and its own public clients have them.
fn documented() -> Vec<Documented> {
    vec![
        ("POST /v1/auth", vec!["email", "password"], fate::<Credentials>),
        ("PUT /v1/auth", vec!["password", "new_password"], fate::<ChangePassword>),
        ("POST /v1/invitations", vec!["token", "new_password"], fate::<AcceptInvitation>),
        ("POST /v1/teams", vec!["id", "name", "subdomain"], fate::<NewTeam>),
        ("PUT /v1/teams/{team}/quota", vec!["quota"], fate::<SetQuota>),
        ("PUT /v1/teams/{team}/brand", vec!["primary_color", "logo_url", "background_url"], fate::<SetBrand>),
        ("POST /v1/teams/{team}/api_keys", vec!["name", "expiry", "state", "id", "created_at"], fate::<NewKey>),
        (
            "PUT /v1/api_keys/{key}, PUT /v1/teams/{team}/api_keys/{key}",
            vec!["name", "expiry", "state", "id", "created_at"],
            fate::<ChangeKey>,
        ),
        ("POST /v1/teams/{team}/members", vec!["email", "name", "role"], fate::<NewMember>),
        (
            "PUT /v1/teams/{team}/members/{member}",
            vec!["name", "role", "password", "email", "id", "user_id"],
            fate::<ChangeMember>,
        ),
        (
            "POST /v1/teams/{team}/packages",
            vec![
                "name",
                "description",
                "recipients",
                "password",
                "access_limit",
                "access_limit_enabled",
                "custom_expiry_days",
                "unlimited_storage",
                "tag",
                "teamspace_id",
                "sender",
                "custom_metadata",
                "cloud_connections",
                "form_data_id",
            ],
            fate::<NewPackage>,
        ),
        (
            "POST /v1/portals/{portal}/packages",
            vec![
                "name",
                "description",
                "sender",
                "access_code",
                "password",
                "custom_metadata",
                "form_data_id",
                "recipients",
                "teamspace_id",
            ],
            fate::<NewPortalPackage>,
        ),
        ("PUT /v1/packages/{package}", vec!["name", "description", "tag", "password"], fate::<ChangePackage>),
        ("PUT /v1/packages/{package}/expiry", vec!["unlimited_storage", "expiry"], fate::<PackageExpiry>),
        ("PUT /v1/packages/{package}/metadata", vec!["custom_metadata", "fields"], fate::<SetMetadata>),
        (
            "POST /v1/packages/{package}/files",
            vec!["kind", "name", "path", "last_modified", "size", "chunk_size"],
            fate::<NewFile>,
        ),
        ("POST /v1/packages/{package}/files/{file}", vec!["upload_id"], fate::<PartAddresses>),
        (
            "POST /v1/packages/{package}/files/{file}/finalize",
            vec!["size", "chunk_size", "file_extras", "chunk_extras"],
            fate::<FinalizeFile>,
        ),
        ("POST /v1/packages/{package}/batches/files", vec!["files"], fate::<NewFiles>),
        ("POST /v1/packages/{package}/batches/finalize", vec!["files"], fate::<FinalizeFiles>),
        ("POST /v1/packages/{package}/downloads", vec!["files"], fate::<ConfirmDownload>),
        (
            "POST /v1/packages/{package}/links, PUT /v1/links/{link}, PUT /v1/packages/{package}/links/{link}",
            vec![
                "email",
                "password",
                "access_limit",
                "access_limit_enabled",
                "expiry",
                "active",
                "id",
                "download_secret",
            ],
            fate::<LinkSettings>,
        ),
        (
            "POST /v1/teams/{team}/portals, PUT /v1/portals/{portal}",
            vec![
                "name",
                "subdomain",
                "message",
                "has_access_code",
                "access_code",
                "active",
                "recipients",
                "cc_recipients",
                "has_download_password",
                "download_password",
                "custom_expiry_days",
                "cloud_connections",
                "custom_webhooks",
                "tag",
                "access_level",
                "access_list",
                "disable_upload_receipt",
                "primary_color",
                "background_url",
                "logo_url",
                "teamspace_id",
                "expiry",
                "expiry_enabled",
                "file_type_restriction_enabled",
                "file_type_restriction_exclude",
                "file_types",
                "max_file_count",
                "max_file_size",
                "max_package_size",
                "package_size_restriction_enabled",
                "user_authentication_required",
                "download_user_authentication_required",
                "package_name_format_enabled",
                "package_name_format",
                "terms_of_service_enabled",
                "terms_of_service",
            ],
            fate::<PortalSettings>,
        ),
        (
            "POST /v1/portals/{portal}/form, PUT /v1/portals/{portal}/form",
            vec!["name", "delivery_formats", "form_template_id", "fields"],
            fate::<Form>,
        ),
        (
            "POST /v1/teams/{team}/custom_webhooks, PUT /v1/custom_webhooks/{hook}, \
             PUT /v1/teams/{team}/custom_webhooks/{hook}",
            vec!["active", "body_extras", "events", "headers", "method", "name", "url"],
            fate::<WebhookSettings>,
        ),
        ("POST /v1/teams/{team}/tags", vec!["name"], fate::<NewTag>),
    ]
}

/// Fields that the service documents got a 201 and were dropped: receipts, copies, webhooks and looks of portals.
#[test]
fn every_documented_field_is_held_refused_by_name_or_known_to_mean_nothing() {
    for (call, names, fate) in documented() {
        for name in names {
            assert_ne!(fate(name), Fate::Unknown, "{name} of {call}");
        }
    }
    for held in ["cc_recipients", "disable_upload_receipt", "primary_color", "logo_url", "custom_webhooks", "active"] {
        assert_eq!(fate::<PortalSettings>(held), Fate::Held, "{held}");
    }
    assert_eq!(fate::<PortalSettings>("cloud_connections"), Fate::Refused(NO_CONNECTIONS));
    assert_eq!(fate::<NewPackage>("teamspace_id"), Fate::Refused(NO_TEAMSPACES));
}

/// The names of keys, members and changed links were on no list: a body without an entry here is found, and so is a field
/// that the hub's own document has and its check does not.
#[test]
fn every_body_of_the_hubs_document_is_listed_and_all_its_fields_are_held() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hub-openapi.json");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let listed = documented();
    let mut told = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, call) in methods.as_object().unwrap() {
            let body = &call["requestBody"]["content"]["application/json"]["schema"];
            let Some(properties) = body["properties"].as_object() else { continue };
            let call = format!("{} {path}", method.to_uppercase());
            let (_, _, fate) = listed
                .iter()
                .find(|(calls, ..)| calls.split(", ").any(|listed| listed == call))
                .unwrap_or_else(|| panic!("the fields of {call} are not listed"));
            for name in properties.keys() {
                assert!(matches!(fate(name), Fate::Held | Fate::Refused(_)), "{name} of {call}: {:?}", fate(name));
            }
            told.insert(call);
        }
    }
    let known: BTreeSet<String> = listed.iter().flat_map(|(calls, ..)| calls.split(", ").map(str::to_owned)).collect();
    assert_eq!(told, known);
}

/// Case: `cloud_connections`, `teamspace_id` and misspelt fields of a portal got a 201 and were dropped.
#[test]
fn a_field_is_refused_by_its_name_unless_it_asks_for_nothing() {
    let said = |body: Value| {
        let given = body.as_object().cloned().unwrap();
        check::<PortalSettings>(&given).map_err(|refusal| refusal.message)
    };
    for (body, start) in [
        (json!({ "cloud_connections": [{ "id": "C" }] }), "cloud_connections: "),
        (json!({ "teamspace_id": "S" }), "teamspace_id: "),
        (json!({ "access_level": "private" }), "access_level: "),
        (json!({ "user_authentication_required": "true" }), "user_authentication_required: "),
        (json!({ "acess_code": "typo" }), "acess_code is not a field"),
    ] {
        assert!(said(body.clone()).unwrap_err().starts_with(start), "{body}");
    }
    for nothing in [json!(null), json!(false), json!("false"), json!(0), json!(""), json!([]), json!({ "a": null })] {
        said(json!({ "cloud_connections": nothing, "something_else": nothing })).unwrap();
    }
    said(json!({ "access_level": "regular", "terms_of_service": { "title": "T" } })).unwrap();
}

/// Case: a client that changes a portal sends back all that it was shown.
#[test]
fn what_an_answer_says_may_be_given_back() {
    let portal = json!({
        "id": "P", "team_id": "T", "name": "Rushes", "subdomain": "rushes", "url": "https://h/portals/rushes", "tag_id": "G",
        "created_at": "2026-11-28T10:00:00.000Z", "custom_webhooks": [{ "id": "W" }], "metadata_fields": [{ "name": "Reel" }],
    });
    check::<PortalSettings>(portal.as_object().unwrap()).unwrap();
    assert_eq!(
        (fate::<NewFile>("checksum"), fate::<PortalSettings>("checksum")),
        (Fate::WithoutMeaning, Fate::Unknown)
    );
}
