use std::time::Duration;

use super::error::retry_after;
use super::storage::{multipart_id, presigned, storage_host};
use super::*;
use masv_protocol::{Blueprint, User};

fn cloud(settings: impl FnOnce(&mut CloudSettings)) -> Cloud {
    let base = Url::parse("https://cloud.example/prefix/").unwrap();
    let mut built = CloudSettings { base, name: None, api_key: None, team_id: None };
    settings(&mut built);
    Cloud::new(built).unwrap()
}

fn session(teams: &[&str]) -> SignedIn {
    let teams = teams.iter().map(|id| Team::new((*id).into(), format!("team {id}"))).collect();
    let user = User {
        id: "U".into(),
        email: "a@example.com".into(),
        name: "A".into(),
        level: None,
        time_zone: None,
        preferred_team_id: None,
    };
    SignedIn { token: "secret-token".into(), user, teams }
}

#[test]
fn the_team_is_the_wanted_one_or_the_only_one() {
    let cloud = cloud(|_| {});
    assert_eq!(cloud.team(None), Err(CloudError::NotSignedIn));
    cloud.set_session(Some(session(&["T1"])));
    assert_eq!(cloud.team(None).unwrap(), "T1");
    assert_eq!(cloud.team(Some(&"T9".into())).unwrap(), "T9");
    cloud.set_session(Some(session(&["T1", "T2"])));
    assert_eq!(cloud.team(None), Err(CloudError::NoTeam { choice: vec!["team T1".into(), "team T2".into()] }));
}

#[test]
fn ids_in_addresses_are_escaped() {
    let url = below(cloud(|_| {}).base(), &["v1", "packages", "../a b", "files"]).unwrap();
    assert_eq!(url.as_str(), "https://cloud.example/prefix/v1/packages/../a%20b/files".replace("../", "..%2F"));
}

#[test]
fn nothing_that_is_printed_holds_a_secret() {
    let blueprint = Blueprint::new("PUT", "https://bucket.example/key?X-Amz-Signature=secret");
    let cloud = cloud(|settings| settings.api_key = Some("secret-key".into()));
    cloud.set_session(Some(session(&[])));
    assert!(!format!("{blueprint:?} {cloud:?}").contains("secret"));
}

#[test]
fn a_presigned_address_is_one_that_can_be_called() {
    let address = |url: &str| masv_protocol::SecretUrl::new(url);
    assert_eq!(storage_host(&address("https://bucket.example:9000/key?X-Amz-Signature=secret")), "bucket.example:9000");
    for bad in ["", "/key?X-Amz-Signature=secret", "ftp://bucket.example/?secret", "file:///etc/secret"] {
        let error = presigned(Call::PartAddresses, &address(bad)).unwrap_err();
        assert!(matches!(error, CloudError::Garbled { .. }) && !error.to_string().contains("secret"), "{bad}");
    }
}

#[test]
fn what_cannot_be_read_is_told_shortly_and_without_control_characters() {
    let body = format!(r#"{{"file":"{}"}}"#, "x".repeat(10_000));
    let error = serde_json::from_str::<masv_protocol::AnnouncedFile>(&body).unwrap_err();
    let told = CloudError::unreadable(Call::CreateFile, &error).to_string();
    assert!(told.len() < 1_000 && !told.contains(char::is_control), "{told}");
}

#[test]
fn refusals_are_understood_in_every_form() {
    let refusal = |body: &str| CloudError::refusal(Call::CreateFile, 400, None, body.as_bytes()).to_string();
    let cases = [
        (r#"{"code":7,"message":"bad","errors":[{"code":1,"msg":"size is missing","type":"x"}]}"#, "size is missing"),
        (r#"{"message":"no such portal"}"#, "no such portal"),
        ("<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>", "Request has expired"),
        ("<html>bad gateway</html>", "no reason given"),
        ("", "no reason given"),
    ];
    for (body, message) in cases {
        assert_eq!(refusal(body), format!("the cloud refused to announce a file: {message} (400)"));
    }
}

#[test]
fn a_refusal_can_not_paint_the_terminal() {
    let body = r#"{"message":"\u001b[31mred\u0007"}"#;
    assert!(!CloudError::refusal(Call::SignIn, 400, None, body.as_bytes()).to_string().contains('\u{1b}'));
}

#[test]
fn the_storages_answer_is_read_with_and_without_name_space() {
    let plain = "<?xml version=\"1.0\"?><InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key>\
                 <UploadId>id-1</UploadId></InitiateMultipartUploadResult>";
    assert_eq!(multipart_id(plain.as_bytes()).unwrap(), "id-1");
    let spaced = plain.replace("Result><B", "Result xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><B");
    assert_eq!(multipart_id(spaced.as_bytes()).unwrap(), "id-1");
    for bad in ["", "<a/>", "\u{0}", "<InitiateMultipartUploadResult>"] {
        assert!(multipart_id(bad.as_bytes()).is_err(), "{bad:?}");
    }
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now: jiff::Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
    assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
    assert_eq!(retry_after("Tue, 24 Nov 2026 10:00:30 GMT", now), Some(Duration::from_secs(30)));
    assert_eq!(retry_after("Tue, 24 Nov 2026 09:00:00 GMT", now), None, "the past asks for no wait");
    assert_eq!(retry_after("soon", now), None);
}
