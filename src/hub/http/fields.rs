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
mod tests;
