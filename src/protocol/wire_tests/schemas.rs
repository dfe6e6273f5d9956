//! The schemas of an API document.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use crate::*;

fn answer<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}

fn request<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>()
}

fn required(schema: &Schema) -> Vec<&str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn an_answer_requires_what_a_server_always_writes_and_a_request_nothing() {
    let package = answer::<PackageWithToken>();
    let required_fields = required(&package);
    for name in ["id", "access_token", "state", "portal_id", "expiry", "custom_metadata"] {
        assert!(required_fields.contains(&name), "{name}: {required_fields:?}");
    }
    assert!(!required_fields.contains(&"portal"));
    assert_eq!(required(&request::<NewPackage>()), Vec::<&str>::new());
    assert_eq!(required(&request::<PortalSettings>()), Vec::<&str>::new());
}

#[test]
fn every_message_has_a_schema() {
    macro_rules! check {
        ($($message:ty)+) => { $(
            for schema in [answer::<$message>(), request::<$message>()] {
                assert_eq!(schema.get("type"), Some(&"object".into()), "{}", schema.as_value());
            }
        )+ };
    }
    check! {
        Activity ActivityStep ConfirmDownload ConfirmedDownload Download AnnouncedFile AuditEntry BatchLimits BegunFile Blueprint ChangeMember CreatedKey Credentials Empty ErrorBody File FileAddress
        FinalizeFile FinalizeFiles FinalizeOneFile FinalizedFile Health Key Limits Link LinkQuery LinkSettings Member NewFile NewFiles NewKey NewMember NewPackage NewPortalPackage
        NewTag NewTeam OpenedLink Package PackageExpiry PackageWithToken Page<Package> PartAddresses PartWindow Portal
        PortalSettings Outcomes<BegunFile> PublicPortal SetBrand SetQuota SignedIn SmallFile SmallFiles Tag Team TeamBrand TeamUsage Webhook WebhookCall WebhookSettings
    }
}
