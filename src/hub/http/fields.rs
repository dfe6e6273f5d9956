//! The fields of request bodies that the hub supports: no meaningful field is dropped silently.
//!
//! The hub cannot do what a field asks for, and then the request is refused by its name; or the field is one of the body's type, and
//! then it is held; or it stands in a list of what means nothing here, such as what an answer says and a client gives back. Any other field is
//! refused by its name, too, unless its value asks for nothing: `null`, `false`, 0, or empty. What a sender says of its own files and
//! parts is the exception: there, more is allowed.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use masv_protocol::{
    AcceptInvitation, ChangeKey, ChangeMember, ChangePackage, ChangePassword, ConfirmDownload, Credentials,
    FinalizeFile, FinalizeFiles, Form, Key, Link, LinkSettings, Member, NewFile, NewFiles, NewKey, NewMember,
    NewPackage, NewPortalPackage, NewTag, NewTeam, Package, PackageExpiry, PackageMetadata, PackageWithToken,
    PartAddresses, Portal, PortalSettings, SetBrand, SetMetadata, SetQuota, Tag, Team, TeamBrand, TeamUsage, Webhook,
    WebhookSettings,
};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::refusal::Refusal;

/// Why nothing can belong to a teamspace.
pub(crate) const NO_TEAMSPACES: &str = "this hub has no teamspaces";
/// Why nothing goes to other clouds.
pub(crate) const NO_CONNECTIONS: &str = "this hub connects to no other clouds";

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It belongs to the type of the body.
    Held,
    /// The hub cannot do it, and why; a request for it is refused.
    Refused(&'static str),
    /// It means nothing here.
    WithoutMeaning,
    /// It is unknown, and refused as well.
    Unknown,
}

/// Something that the hub cannot do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused {
    name: &'static str,
    why: &'static str,
    /// Values that request nothing.
    unless: &'static [&'static str],
}

const fn cannot(name: &'static str, why: &'static str) -> Refused {
    Refused { name, why, unless: &[] }
}

/// The body of a request.
pub(crate) trait Fields: DeserializeOwned + JsonSchema + 'static {
    /// Other accepted names of its fields.
    const ALIASES: &'static [&'static str] = &[];
    /// What the hub cannot do.
    const REFUSED: &'static [Refused] = &[];
    /// Fields without a meaning here.
    const WITHOUT_MEANING: &'static [&'static str] = &[];
    /// Whether anything else means nothing, too.
    const OPEN: bool = false;

    /// The fields of the answer, which clients give back when they change something.
    fn answered() -> BTreeSet<String> {
        BTreeSet::new()
    }
}

/// The names of the fields of a type, as it is read.
fn names_of<T: JsonSchema>() -> BTreeSet<String> {
    let schema = SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>();
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

/// The names that a body has, and those that its answer has.
#[derive(Debug)]
struct Known {
    held: BTreeSet<String>,
    answered: BTreeSet<String>,
}

/// The names of every body that has been read so far.
static KNOWN: LazyLock<Mutex<BTreeMap<TypeId, Arc<Known>>>> = LazyLock::new(Mutex::default);

fn known<T: Fields>() -> Arc<Known> {
    let mut all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let learn = || Arc::new(Known { held: names_of::<T>(), answered: T::answered() });
    Arc::clone(all.entry(TypeId::of::<T>()).or_insert_with(learn))
}

/// What becomes of a field of a body.
pub(crate) fn fate<T: Fields>(name: &str) -> Fate {
    // First: a type may have a field that other servers of the protocol can do.
    if let Some(refused) = T::REFUSED.iter().find(|refused| refused.name == name) {
        return Fate::Refused(refused.why);
    }
    let known = known::<T>();
    if known.held.contains(name) || T::ALIASES.contains(&name) {
        return Fate::Held;
    }
    if T::OPEN || T::WITHOUT_MEANING.contains(&name) || known.answered.contains(name) {
        return Fate::WithoutMeaning;
    }
    Fate::Unknown
}

/// Refuses a body that requests something the hub would not do.
pub(crate) fn check<T: Fields>(given: &Map<String, Value>) -> Result<(), Refusal> {
    for (name, value) in given.iter().filter(|(_, value)| asks_for_something(value)) {
        match fate::<T>(name) {
            Fate::Held | Fate::WithoutMeaning => {}
            Fate::Refused(why) => {
                let harmless = |refused: &Refused| value.as_str().is_some_and(|value| refused.unless.contains(&value));
                if !T::REFUSED.iter().any(|refused| refused.name == name && harmless(refused)) {
                    return Err(Refusal::invalid(format!("{name}: {why}")));
                }
            }
            Fate::Unknown => return Err(Refusal::invalid(format!("{name} is not a field that this hub knows here"))),
        }
    }
    Ok(())
}

fn asks_for_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !matches!(text.trim(), "" | "false"),
        Value::Array(values) => !values.is_empty(),
        Value::Object(fields) => fields.values().any(asks_for_something),
    }
}

const TEAMSPACE: Refused = cannot("teamspace_id", NO_TEAMSPACES);
const CONNECTIONS: Refused = cannot("cloud_connections", NO_CONNECTIONS);
const FORM_DATA: Refused = cannot("form_data_id", "what was filled in is given as custom_metadata");

impl Fields for Credentials {}

impl Fields for NewTeam {
    fn answered() -> BTreeSet<String> {
        names_of::<Team>()
    }
}

impl Fields for SetQuota {
    fn answered() -> BTreeSet<String> {
        names_of::<TeamUsage>()
    }
}

impl Fields for SetBrand {
    fn answered() -> BTreeSet<String> {
        names_of::<TeamBrand>()
    }
}

impl Fields for NewKey {
    fn answered() -> BTreeSet<String> {
        names_of::<Key>()
    }
}

impl Fields for ChangeKey {
    fn answered() -> BTreeSet<String> {
        names_of::<Key>()
    }
}

impl Fields for ChangePassword {}

impl Fields for AcceptInvitation {}

impl Fields for NewMember {
    fn answered() -> BTreeSet<String> {
        names_of::<Member>()
    }
}

impl Fields for ChangeMember {
    const REFUSED: &'static [Refused] = &[cannot("email", "the address of an account cannot be changed")];

    fn answered() -> BTreeSet<String> {
        names_of::<Member>()
    }
}

impl Fields for NewTag {
    fn answered() -> BTreeSet<String> {
        names_of::<Tag>()
    }
}

impl Fields for NewPackage {
    const REFUSED: &'static [Refused] = &[
        TEAMSPACE,
        CONNECTIONS,
        FORM_DATA,
        cannot("expiry", "days are given as custom_expiry_days, a time with PUT /v1/packages/{package}/expiry"),
        cannot("links", "links are made with POST /v1/packages/{package}/links"),
        cannot("portal_id", "a package for a portal is made with POST /v1/portals/{portal}/packages"),
    ];

    fn answered() -> BTreeSet<String> {
        names_of::<PackageWithToken>()
    }
}

impl Fields for NewPortalPackage {
    const REFUSED: &'static [Refused] = &[TEAMSPACE, CONNECTIONS, FORM_DATA];
    // Who receives what is sent to a portal, how long it is kept and behind which password is the portal's to say.
    const WITHOUT_MEANING: &'static [&'static str] =
        &["access_limit_enabled", "custom_expiry_days", "download_password", "has_access_code", "links"];

    fn answered() -> BTreeSet<String> {
        names_of::<PackageWithToken>()
    }
}

impl Fields for ChangePackage {
    const REFUSED: &'static [Refused] =
        &[cannot("custom_expiry_days", "until when a package is kept is given as expiry")];
    const WITHOUT_MEANING: &'static [&'static str] = &["links"];

    fn answered() -> BTreeSet<String> {
        names_of::<PackageWithToken>()
    }
}

impl Fields for PackageExpiry {
    fn answered() -> BTreeSet<String> {
        names_of::<Package>()
    }
}

impl Fields for SetMetadata {
    fn answered() -> BTreeSet<String> {
        names_of::<PackageMetadata>()
    }
}

impl Fields for ConfirmDownload {}

impl Fields for NewFile {
    const OPEN: bool = true;
}

// Its files are as a file by itself: more may be said of them.
impl Fields for NewFiles {}

impl Fields for FinalizeFiles {}

impl Fields for PartAddresses {
    const OPEN: bool = true;
}

impl Fields for FinalizeFile {
    const OPEN: bool = true;
}

impl Fields for LinkSettings {
    fn answered() -> BTreeSet<String> {
        names_of::<Link>()
    }
}

impl Fields for PortalSettings {
    const ALIASES: &'static [&'static str] = &["custom_metadata_fields"];
    const REFUSED: &'static [Refused] = &[
        TEAMSPACE,
        CONNECTIONS,
        cannot("user_authentication_required", "senders cannot be asked to sign in; an access code can be set"),
        cannot("download_user_authentication_required", "recipients cannot be asked to sign in"),
        cannot("package_name_format_enabled", "names of packages cannot be checked"),
        cannot("terms_of_service_enabled", "senders cannot be asked to agree to terms"),
        Refused { name: "access_level", why: "this hub has no private portals", unless: &["regular", "public"] },
        cannot("access_list", "this hub has no private portals"),
    ];
    // Without the fields above that switch them on.
    const WITHOUT_MEANING: &'static [&'static str] = &["package_name_format", "terms_of_service"];

    fn answered() -> BTreeSet<String> {
        names_of::<Portal>()
    }
}

impl Fields for WebhookSettings {
    fn answered() -> BTreeSet<String> {
        names_of::<Webhook>()
    }
}

impl Fields for Form {
    const REFUSED: &'static [Refused] = &[cannot("form_template_id", "this hub has no templates of forms")];
}

#[cfg(test)]
mod tests {
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
        for held in
            ["cc_recipients", "disable_upload_receipt", "primary_color", "logo_url", "custom_webhooks", "active"]
        {
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
        let known: BTreeSet<String> =
            listed.iter().flat_map(|(calls, ..)| calls.split(", ").map(str::to_owned)).collect();
        assert_eq!(told, known);
    }

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
        for nothing in [json!(null), json!(false), json!("false"), json!(0), json!(""), json!([]), json!({ "a": null })]
        {
            said(json!({ "cloud_connections": nothing, "something_else": nothing })).unwrap();
        }
        said(json!({ "access_level": "regular", "terms_of_service": { "title": "T" } })).unwrap();
    }

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
}
