//! Each credential ends when docs/security.md says.

use std::time::Duration;

use axum::http::header;
use masv_protocol::{PackageId, USER_TOKEN_HEADER};

use super::*;
use crate::clock::{after, days, now};

const MINUTE: Duration = Duration::from_secs(60);
const NOBODY: (&str, &str) = ("X-Nothing", "none");

impl Bench {
    /// Moves the end of all sessions so much nearer.
    async fn sessions_grow_older(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap();
        let moving = self
            .hub
            .database()
            .transact(move |work| work.run("UPDATE session SET expires_at = expires_at - ?1", masv_db::values![by]));
        moving.await.unwrap();
    }

    async fn session_of(&self, email: &str, password: &str) -> String {
        let (status, signed_in) = self.sign_in(HERE, email, password).await;
        assert_eq!(status, 200, "{signed_in}");
        text(&signed_in, "token")
    }
}

/// A session lives for seven days, and its cookie as long; that of somebody who has left the last team ends at once.
#[tokio::test]
async fn a_session_ends_after_seven_days_and_with_the_last_membership() {
    let bench = Bench::new().await;
    let password = "correct horse".to_owned();
    for email in ["ed@example.com", "left@example.com"] {
        bench.hub.put_user("Team", email, "", &password.clone().into(), crate::Role::Sender).await.unwrap();
    }
    let session = bench.session_of("ed@example.com", &password).await;
    let left = bench.session_of("left@example.com", &password).await;
    let whoami =
        async |token: &str| bench.call(Method::GET, "/v1/auth", (USER_TOKEN_HEADER, token), Value::Null).await.0;
    assert_eq!((whoami(&session).await, whoami(&left).await), (200, 200));
    let member = format!("/v1/teams/{}/members/left@example.com", bench.team);
    assert_eq!(bench.as_team(Method::DELETE, &member, Value::Null).await.0, 204);
    assert_eq!((whoami(&session).await, whoami(&left).await), (200, 401));
    bench.sessions_grow_older(days(7) - MINUTE).await;
    assert_eq!(whoami(&session).await, 200);
    bench.sessions_grow_older(MINUTE).await;
    assert_eq!(whoami(&session).await, 401);
    let body = json!({ "email": "ed@example.com", "password": password }).to_string();
    let request =
        Request::post("/app/api/v1/auth").header("X-Masv-App", "1").header("Content-Type", "application/json");
    let answer = router(bench.hub.clone()).oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.contains("Max-Age=604800;"), "{cookie}");
}

/// An invitation is good for a week and for one password: not after it was used, nor after another password was set.
#[tokio::test]
async fn an_invitation_ends_after_a_week_and_with_the_next_password() {
    let bench = Bench::new().await;
    let password = "correct horse".to_owned();
    bench.hub.put_user("Team", "ed@example.com", "", &password.into(), crate::Role::Sender).await.unwrap();
    let invite = format!("/v1/teams/{}/members/ed@example.com/invitation", bench.team);
    let invited = async || {
        let (status, invitation) = bench.as_team(Method::POST, &invite, Value::Null).await;
        assert_eq!(status, 200, "{invitation}");
        text(&invitation, "url").split_once('#').unwrap().1.to_owned()
    };
    let accept = async |token: &str, new: &str| {
        bench.call(Method::POST, "/v1/invitations", NOBODY, json!({ "token": token, "new_password": new })).await.0
    };
    let token = invited().await;
    let id = token.split('.').next().unwrap().into();
    let account = crate::records::accounts::find_account_by_id(bench.hub.database(), id).await.unwrap().unwrap();
    let holds_after = |life: Duration| {
        bench.hub.context.keys.is_invitation(&token, &account.id, &account.password_hash, after(now(), life))
    };
    assert!(holds_after(days(7) - MINUTE) && !holds_after(days(7) + MINUTE));
    let late = bench.hub.context.keys.invitation(&account.id, &account.password_hash, now());
    assert_eq!(accept(&late, "battery staple").await, 410);
    assert_eq!(accept(&token, "battery staple").await, 200);
    assert_eq!(accept(&token, "another one").await, 410, "it was used");
    let token = invited().await;
    let member = format!("/v1/teams/{}/members/ed@example.com", bench.team);
    assert_eq!(bench.as_team(Method::PUT, &member, json!({ "password": "set by an admin" })).await.0, 200);
    assert_eq!(accept(&token, "another one").await, 410, "another password was set");
    assert_eq!(bench.sign_in(THERE, "ed@example.com", "set by an admin").await.0, 200);
}

/// A package token lives for 90 days, that of whoever sends to a portal for 30, to the end of the day.
#[tokio::test]
async fn a_package_token_ends_after_90_days_and_a_strangers_after_30() {
    let bench = Bench::new().await;
    let (own, received) = (bench.own(KEY).await, bench.received().await);
    for (sent, life) in [(&own, 90), (&received, 30)] {
        let package: PackageId = sent.id.as_str().into();
        let holds_at =
            |end| bench.hub.context.keys.read_package_token(&package, &sent.token, after(now(), end)).is_some();
        assert!(holds_at(days(life) - MINUTE), "{life}");
        assert!(!holds_at(days(life + 1) + MINUTE), "{life}");
    }
}

/// The visit of a link lasts for a day, from the protocol as from the page.
#[tokio::test]
async fn a_visit_of_a_link_ends_after_a_day() {
    let bench = Bench::new().await;
    let (_, link, page) = bench.linked(json!({})).await;
    let secret = page.split_once("secret=").unwrap().1;
    let (status, opened) =
        bench.call(Method::GET, &format!("/v1/links/{link}?secret={secret}"), NOBODY, Value::Null).await;
    assert_eq!(status, 200, "{opened}");
    let (_, head, _) = bench.page(&page, "").await;
    let cookie = head[header::SET_COOKIE].to_str().unwrap().to_owned();
    let of_page = cookie.split(';').next().unwrap().split_once('=').unwrap().1;
    for token in [text(&opened, "package_token").as_str(), of_page] {
        let holds_at = |end| bench.hub.context.keys.visit(token, after(now(), end)).is_some();
        assert!(holds_at(days(1) - MINUTE) && !holds_at(days(1) + MINUTE), "{token}");
    }
}

/// With a removed link end its secret, its page and every visit of it.
#[tokio::test]
async fn a_removed_link_takes_its_secret_its_page_and_its_visits_with_it() {
    let bench = Bench::new().await;
    let (package, link, page) = bench.linked(json!({})).await;
    let secret = page.split_once("secret=").unwrap().1;
    let open = format!("/v1/links/{link}?secret={secret}");
    let (_, opened) = bench.call(Method::GET, &open, NOBODY, Value::Null).await;
    let visit = text(&opened, "package_token");
    let files = format!("/v1/packages/{package}/files");
    let listed = async || bench.call(Method::GET, &files, (PACKAGE_TOKEN_HEADER, &visit), Value::Null).await.0;
    let (status, head, _) = bench.page(&page, "").await;
    let cookie = head[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!((status.as_u16(), listed().await), (200, 200));
    assert_eq!(bench.as_team(Method::DELETE, &format!("/v1/links/{link}"), Value::Null).await.0, 204);
    assert_eq!(bench.call(Method::GET, &open, NOBODY, Value::Null).await.0, 404);
    assert_eq!(bench.page(&page, "").await.0, 404);
    assert_eq!(bench.page(&page, &cookie).await.0, 404, "the browser remembers a visit of it");
    assert!(matches!(listed().await, 401 | 404));
}

/// With `trash_days` 0 nothing of a removed package is kept: neither its row nor its parts, in the storage or in the trash.
#[tokio::test]
async fn with_no_days_in_the_trash_a_removed_package_is_removed_at_once() {
    for (trash_days, kept) in [(0, false), (7, true)] {
        let bench = Bench::with(|config| config.trash_days = trash_days).await;
        let sent = bench.own(KEY).await;
        let (_, part) = sent.part_of(json!({ "name": "a.mov", "size": 200_000 })).await;
        assert_eq!(sent.put(&part, 200_000, true).await, 200);
        let storage = bench.hub.context.config.data_dir.join("storage");
        let stored = || {
            let files = walkdir::WalkDir::new(&storage).into_iter().filter_map(Result::ok);
            files.filter(|file| file.file_type().is_file()).count()
        };
        assert_eq!(stored(), 1);
        assert_eq!(sent.call(Method::DELETE, "", Value::Null).await.0, 204);
        crate::jobs::removal::work_off(&bench.hub.context).await;
        let id = sent.id.clone();
        let counting = bench.hub.database().query(move |work| {
            let sql = "SELECT count(*) FROM package WHERE id = ?1";
            Ok::<_, crate::records::Error>(work.value::<u64>(sql, masv_db::values![id])?)
        });
        let rows = counting.await.unwrap();
        assert_eq!((rows == 1, stored() == 1), (kept, kept), "{trash_days} days");
    }
}

/// One mailbox gets 50 receipts a day, in whatever case its address is typed: whoever sends to a portal may name any address.
#[tokio::test]
async fn one_mailbox_gets_fifty_receipts_a_day_however_it_is_typed() {
    let bench = Bench::with(|config| config.portal_packages_per_hour = None).await;
    let path = format!("/v1/portals/{}/packages", bench.portal().await);
    for number in 0..60 {
        let sender = if number % 2 == 0 { "victim@example.com" } else { "Victim@EXAMPLE.com" };
        let (status, begun) = bench.call(Method::POST, &path, NOBODY, json!({ "name": "x", "sender": sender })).await;
        assert_eq!(status, 201, "{begun}");
        let sent = Sent::new(&bench, &begun);
        let id = sent.id.clone();
        let filling = bench.hub.database().transact(move |work| {
            work.run("UPDATE package SET file_count = 1 WHERE id = ?1", masv_db::values![id])?;
            let sql = "INSERT INTO file (id, package_id, kind, path, name, size, last_modified, finalized_at)
                VALUES (?1 || 'X', ?1, 'file', '', 'a.mov', 0, 1, 1)";
            work.run(sql, masv_db::values![id])
        });
        filling.await.unwrap();
        let (status, finalized) = sent.call(Method::POST, "/finalize", Value::Null).await;
        assert_eq!(status, 200, "{finalized}");
    }
    let counted = async |kind: &'static str| {
        let counting = bench.hub.database().query(move |work| {
            let sql = "SELECT count(*) FROM mail WHERE kind = ?1";
            Ok::<_, crate::records::Error>(work.value::<u64>(sql, masv_db::values![kind])?)
        });
        counting.await.unwrap()
    };
    assert_eq!(counted("receipt").await, 50);
    assert_eq!(counted("delivery").await, 60, "who receives for the portal is told of each");
}
