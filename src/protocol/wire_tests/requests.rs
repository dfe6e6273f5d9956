//! What clients send: as the agent and `masv hub` write it, and in every spelling that a hub reads.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::*;

fn written(message: impl Serialize) -> Value {
    serde_json::to_value(message).unwrap()
}

fn read<T: DeserializeOwned>(wire: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(wire)
}

#[test]
fn every_request_may_be_empty_and_have_more_fields() {
    macro_rules! check {
        ($($message:ty)+) => { $(
            read::<$message>("{}").unwrap();
            read::<$message>(r#"{"something_else":[1]}"#).unwrap();
            assert!(read::<$message>(r#"{"name": "#).is_err());
        )+ };
    }
    check! {
        Credentials NewTeam SetBrand SetQuota NewKey NewMember ChangeMember NewTag NewPackage NewPortalPackage PackageExpiry NewFile
        PartAddresses PartWindow FinalizeFile LinkSettings LinkQuery PortalSettings WebhookSettings ChangePackage SetMetadata Form
    }
}

#[test]
fn what_is_not_given_is_not_written() {
    assert_eq!(written(NewPackage::default()), json!({ "recipients": [] }));
    assert_eq!(written(NewFile { name: "a".into(), ..NewFile::default() }), json!({ "name": "a" }));
    assert_eq!(written(FinalizeFile::default()), json!({ "chunk_extras": [] }));
    for empty in [
        written(NewTeam::default()),
        written(SetQuota::default()),
        written(SetBrand::default()),
        written(NewKey::default()),
        written(NewMember::default()),
        written(ChangeMember::default()),
        written(NewTag::default()),
        written(NewPortalPackage::default()),
        written(PackageExpiry::default()),
        written(PartAddresses::default()),
        written(PartWindow::default()),
        written(LinkSettings::default()),
        written(PortalSettings::default()),
        written(WebhookSettings::default()),
    ] {
        assert_eq!(empty, json!({}));
    }
    assert!(LinkSettings::default().is_empty() && PortalSettings::default().is_empty());
}

#[test]
fn the_messages_of_the_agent() {
    let package = NewPackage {
        name: Some("N".into()),
        description: Some(String::new()),
        recipients: vec!["a@example.com".parse().unwrap()],
        password: Some("secret".into()),
        access_limit: Some(5),
        custom_expiry_days: Some(3),
        unlimited_storage: Some(true),
        tag: Some(TagChoice::Id("T".into())),
        teamspace_id: Some("S".into()),
        ..NewPackage::default()
    };
    assert!(!format!("{package:?}").contains("secret"));
    assert_eq!(
        written(package),
        json!({
            "name": "N", "description": "", "recipients": ["a@example.com"], "password": "secret", "access_limit": 5,
            "custom_expiry_days": 3, "unlimited_storage": true, "tag": { "id": "T" }, "teamspace_id": "S",
        })
    );
    let portal_package = NewPortalPackage {
        name: Some("N".into()),
        sender: "a@example.com".parse().ok(),
        description: Some(String::new()),
        access_code: Some("sesame".into()),
        custom_metadata: json!({ "Reel": "1" }),
        ..NewPortalPackage::default()
    };
    assert_eq!(
        written(portal_package),
        json!({
            "name": "N", "sender": "a@example.com", "description": "", "access_code": "sesame", "custom_metadata": { "Reel": "1" },
        })
    );
    let file = NewFile {
        kind: Some(FileKind::File),
        name: "b.mov".into(),
        path: Some("a".into()),
        last_modified: Some(Time::from_millisecond(1_700_000_000_120)),
        size: Some(3),
        chunk_size: Some(104_857_600),
    };
    assert_eq!(
        written(file),
        json!({
            "kind": "file", "name": "b.mov", "path": "a", "last_modified": "2023-11-14T22:13:20.120Z", "size": 3,
            "chunk_size": 104_857_600,
        })
    );
    assert_eq!(written(PartAddresses { upload_id: Some("M".into()) }), json!({ "upload_id": "M" }));
    let finalize = FinalizeFile {
        size: Some(3),
        chunk_size: Some(104_857_600),
        file_extras: Some(FileExtras { upload_id: Some("M".into()) }),
        chunk_extras: vec![ListedPart { number: 1, etag: "\"tag\"".into() }],
        ..FinalizeFile::default()
    };
    assert_eq!(
        written(&finalize),
        json!({
            "size": 3, "chunk_size": 104_857_600, "file_extras": { "upload_id": "M" },
            "chunk_extras": [{ "partNumber": "1", "etag": "\"tag\"" }],
        })
    );
    assert_eq!(finalize.multipart_id().map(MultipartId::as_str), Some("M"));
    let credentials = Credentials { email: "ed@example.com".into(), password: "correct horse".into() };
    assert!(!format!("{credentials:?}").contains("horse"));
    assert_eq!(written(credentials), json!({ "email": "ed@example.com", "password": "correct horse" }));
}

#[test]
fn a_package_in_every_spelling() {
    let given: NewPackage = read(
        r#"{"name":null,"recipients":"a@b, c@d","access_limit":"3","custom_expiry_days":"-1","unlimited_storage":1,
            "tag":{},"password":1234,"teamspace_id":"","custom_metadata":{"a":1}}"#,
    )
    .unwrap();
    assert_eq!(
        (given.name, given.recipients.len(), given.access_limit, given.custom_expiry_days),
        (None, 2, Some(3), Some(-1))
    );
    assert_eq!((given.unlimited_storage, given.tag, given.teamspace_id), (Some(true), None, None));
    assert_eq!(given.password.unwrap().expose(), "1234");
    assert!(read::<NewPackage>(r#"{"recipients":["x@y..z"]}"#).is_err());
    assert!(read::<NewPortalPackage>(r#"{"sender":"x@y..z"}"#).is_err());
    let code: NewPortalPackage = read(r#"{"sender":"","password":"sesame","access_code":""}"#).unwrap();
    assert_eq!((code.sender.is_none(), code.code().map(Secret::expose)), (true, Some("sesame")));
    assert!(read::<PackageExpiry>(r#"{"expiry":"soon"}"#).is_err());
    assert_eq!(read::<PackageExpiry>(r#"{"expiry":null}"#).unwrap().expiry, None);
}

#[test]
fn part_lists_come_in_many_spellings() {
    for list in [
        r#"[{"partNumber":1,"etag":"t"}]"#,
        r#"[{"part_number":"1","ETag":"t"}]"#,
        r#"[{"PartNumber":"1","eTag":"t"}]"#,
    ] {
        let given: FinalizeFile = read(&format!(r#"{{"size":"3","upload_id":"M","chunk_extras":{list}}}"#)).unwrap();
        assert_eq!(given.chunk_extras, [ListedPart { number: 1, etag: "t".into() }], "{list}");
        assert_eq!((given.size, given.multipart_id().map(MultipartId::as_str)), (Some(3), Some("M")));
    }
    for bad in [r#"[{"etag":"t"}]"#, r#"[{"partNumber":-1,"etag":"t"}]"#, r#"[{"partNumber":4294967296,"etag":"t"}]"#] {
        assert!(read::<FinalizeFile>(&format!(r#"{{"chunk_extras":{bad}}}"#)).is_err(), "{bad}");
    }
}

#[test]
fn a_file_in_every_spelling() {
    for (kind, expected) in [
        ("null", None),
        (r#""""#, None),
        (r#""file""#, Some(FileKind::File)),
        (r#""folder""#, Some(FileKind::Directory)),
        (r#""directory""#, Some(FileKind::Directory)),
    ] {
        assert_eq!(read::<NewFile>(&format!(r#"{{"name":"a","kind":{kind}}}"#)).unwrap().kind, expected, "{kind}");
    }
    assert!(read::<NewFile>(r#"{"kind":"pipe"}"#).is_err());
    let given: NewFile = read(r#"{"name":"a","size":"12","last_modified":"2026-01-02T03:04:05.678901"}"#).unwrap();
    assert_eq!((given.size, given.last_modified.unwrap().to_string().as_str()), (Some(12), "2026-01-02T03:04:05.678Z"));
}

#[test]
fn settings_of_links_and_portals() {
    let link: LinkSettings =
        read(r#"{"email":"","password":"","access_limit":"0","expiry":"0001-01-01T00:00:00.000Z","active":"false"}"#)
            .unwrap();
    assert!(link.email.is_none() && link.password.as_ref().is_some_and(Secret::is_empty));
    assert_eq!((link.access_limit, link.expiry, link.active), (Some(0), Some(Time::UNSET), Some(false)));
    assert_eq!(read::<LinkSettings>(r#"{"expiry":"","password":null}"#).unwrap().expiry, None);
    assert!(
        read::<LinkSettings>(r#"{"email":"x@y..z"}"#).is_err() && read::<LinkSettings>(r#"{"expiry":"x"}"#).is_err()
    );

    let portal: PortalSettings = read(
        r#"{"recipients":[],"custom_expiry_days":"-1","max_file_size":"12","custom_metadata_fields":[{"name":"Reel"}],
            "terms_of_service_enabled":true,"tag":"t"}"#,
    )
    .unwrap();
    assert_eq!((portal.recipients, portal.custom_expiry_days), (Some(Vec::new()), Some(-1)));
    assert_eq!((portal.restrictions.max_file_size, portal.tag), (Some(12), Some(TagChoice::Name("t".into()))));
    assert_eq!(portal.metadata_fields.unwrap()[0].kind, FieldKind::ShortText);
    assert!(read::<PortalSettings>(r#"{"recipients":["x@y..z"]}"#).is_err());
    assert!(read::<PortalSettings>(r#"{"metadata_fields":[{"name":"a","type":"star"}]}"#).is_err());
    for hooks in [r#"["W"]"#, r#"[{"id":"W","name":"mam"}]"#] {
        let portal: PortalSettings = read(&format!(r#"{{"custom_webhooks":{hooks}}}"#)).unwrap();
        assert_eq!(portal.custom_webhooks, Some(vec![AttachedWebhook { id: "W".into() }]), "{hooks}");
    }
    assert!(read::<PortalSettings>(r#"{"custom_webhooks":[{"url":"https://mam.example.com"}]}"#).is_err());
    let closes = PortalSettings {
        expiry_enabled: Some(false),
        restrictions: RestrictionSettings { max_file_count: Some(3), ..RestrictionSettings::default() },
        ..PortalSettings::default()
    };
    assert!(!closes.is_empty());
    assert_eq!(written(closes), json!({ "expiry_enabled": false, "max_file_count": 3 }));
}

#[test]
fn people_keys_and_webhooks() {
    let member: NewMember = read(r#"{"email":" Ed@Example.com ","role":"member","password":""}"#).unwrap();
    assert_eq!((member.email.unwrap().as_str(), member.role), ("Ed@Example.com", Some(MemberRole::Sender)));
    assert!(member.password.is_none());
    for bad in [r#"{"email":"x@y..z"}"#, r#"{"role":"operator"}"#, r#"{"role":"chief"}"#] {
        assert!(read::<NewMember>(bad).is_err(), "{bad}");
    }
    assert_eq!(read::<NewKey>(r#"{"role":""}"#).unwrap().role, None);
    assert!(read::<NewKey>(r#"{"role":"owner"}"#).is_err());
    let hook: WebhookSettings =
        read(r#"{"method":"put","events":["package.created"],"headers":{"authorization":"Bearer s3cret"},"active":0}"#)
            .unwrap();
    assert!(!format!("{hook:?}").contains("s3cret"));
    assert_eq!((hook.method, hook.active), (Some(WebhookMethod::Put), Some(false)));
    assert!(read::<WebhookSettings>(r#"{"events":["package.lost"]}"#).is_err());
    assert!(read::<WebhookSettings>(r#"{"method":"DELETE"}"#).is_err());
}
