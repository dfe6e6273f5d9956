//! The calls that make a package.

use reqwest::Method;
use serde_json::json;

use super::client::{KEY, TestHub, good, refused, text};

/// Case: finalizing twice has the result of finalizing once.
#[tokio::test]
async fn a_package_in_parts_arrives_whole_and_finalizing_again_changes_nothing() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Dailies" })).await;
    let parts: [&[u8]; 3] = [&[1; 300_000], &[2; 70_000], &[3; 12]];
    let size = 370_012;
    let file = package.announce("A001/CLIP", "one.mov", size).await;
    let addresses = package.addresses(&file, 0, 3).await;
    let mut etags = Vec::new();
    for (address, part) in addresses.iter().zip(parts) {
        etags.push(package.put(address, part).await);
    }
    for _ in 0..2 {
        assert_eq!(package.finalize_file(&file, size, &etags).await.status(), 200);
    }
    for _ in 0..2 {
        let answer = good(package.request(Method::POST, "/finalize")).await;
        assert_eq!(
            (&answer["state"], &answer["size"], &answer["total_files"]),
            (&json!("finalized"), &json!(size), &json!(1))
        );
    }
    let list = good(package.request(Method::GET, "/files")).await;
    assert_eq!((text(&list[0], "path"), text(&list[0], "name")), ("A001/CLIP".into(), "one.mov".into()));
    assert_eq!(
        (&list[0]["size"], &list[0]["kind"], &list[0]["virus_detected"]),
        (&json!(size), &json!("file"), &json!(false))
    );
    let url = package.download_url(&package.token, &file.id).await;
    let whole = hub.request(Method::GET, &url).send().await.unwrap();
    assert_eq!(whole.headers()["accept-ranges"], "bytes");
    assert_eq!(whole.bytes().await.unwrap(), parts.concat());
}

#[tokio::test]
async fn an_empty_file_is_one_empty_part() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Empty" })).await;
    let file = package.send("", "nothing.txt", &[b""]).await;
    good(package.request(Method::POST, "/finalize")).await;
    let url = package.download_url(&package.token, &file.id).await;
    let answer = hub.request(Method::GET, &url).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.bytes().await.unwrap().len()), (200, 0));
}

/// Case: wrong tags, numbers and sizes of parts; after finalize nothing is overwritten.
#[tokio::test]
async fn a_file_whose_parts_are_not_as_listed_is_not_closed() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Parts" })).await;
    let file = package.announce("", "a", 20).await;
    let addresses = package.addresses(&file, 0, 3).await;
    let (one, two) = (package.put(&addresses[0], &[1; 10]).await, package.put(&addresses[1], &[2; 10]).await);
    let close = async |size, etags: &[&String]| {
        let etags: Vec<String> = etags.iter().map(|etag| (*etag).clone()).collect();
        package.finalize_file(&file, size, &etags).await.status().as_u16()
    };
    assert_eq!(close(20, &[&one, &one]).await, 400, "a wrong tag");
    assert_eq!(close(20, &[]).await, 400, "no parts");
    assert_eq!(close(20, &[&one, &two, &two]).await, 400, "a part that was not sent");
    assert_eq!(close(21, &[&one, &two]).await, 400, "a wrong size");
    refused(package.request(Method::POST, "/finalize"), 409).await;
    assert_eq!(close(20, &[&one, &two]).await, 200);
    let late = hub.request(Method::PUT, &addresses[1]).body(vec![9; 10]).send().await.unwrap();
    assert_eq!(late.status(), 409);
    let same = hub.request(Method::PUT, &addresses[1]).body(vec![2; 10]).send().await.unwrap();
    assert_eq!(same.status(), 200, "the answer to a part was lost");
}

#[tokio::test]
async fn parts_beyond_those_listed_are_dropped_and_a_part_can_be_sent_anew() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Parts" })).await;
    let file = package.announce("", "a", 300_000).await;
    let addresses = package.addresses(&file, 0, 2).await;
    package.put(&addresses[0], &vec![1; 100_000]).await;
    let one = package.put(&addresses[0], &vec![2; 200_000]).await;
    package.put(&addresses[1], &vec![3; 100_000]).await;
    assert_eq!(package.finalize_file(&file, 200_000, &[one]).await.status(), 200);
    let url = package.download_url(&package.token, &file.id).await;
    let whole = hub.request(Method::GET, &url).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(whole, vec![2; 200_000]);
    super::client::wait_until(|| (hub.stored_files().len() == 1).then_some(())).await;
}

#[tokio::test]
async fn a_package_without_a_file_is_not_closed_and_unstarted_files_do_not_stop_it() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Nothing" })).await;
    let message = refused(package.request(Method::POST, "/finalize"), 400).await;
    assert_eq!(message, "package must have at least 1 file");
    package.announce("", "lost-answer.mov", 5).await;
    refused(package.request(Method::POST, "/finalize"), 400).await;
    package.send("", "a", &[b"a"]).await;
    good(package.request(Method::POST, "/finalize")).await;
    assert_eq!(good(package.request(Method::GET, "/files")).await.as_array().unwrap().len(), 1);
    let body = json!({ "kind": "file", "name": "late", "path": "", "size": 1 });
    refused(package.request(Method::POST, "/files").json(&body), 409).await;
}

#[tokio::test]
async fn announcing_a_file_anew_replaces_the_unfinished_one() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Again" })).await;
    let first = package.announce("d", "a.mov", 100_000).await;
    let addresses = package.addresses(&first, 0, 1).await;
    package.put(&addresses[0], &vec![1; 100_000]).await;
    package.send("d", "a.mov", &[&[2; 100]]).await;
    let late = hub.request(Method::PUT, &addresses[0]).body(vec![1; 100_000]).send().await.unwrap();
    assert_eq!(late.status(), 404);
    good(package.request(Method::POST, "/finalize")).await;
    super::client::wait_until(|| hub.stored_files().is_empty().then_some(())).await;
}

#[tokio::test]
async fn files_and_packages_are_removed() {
    let hub = TestHub::start_with(|config| config.trash_days = 0).await;
    let package = hub.new_package(json!({ "name": "Gone" })).await;
    let file = package.send("", "a", &[&[7; 100_000]]).await;
    let path = format!("/files/{}", file.id);
    assert_eq!(package.request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    refused(package.request(Method::DELETE, &path), 404).await;
    refused(package.request(Method::POST, "/finalize"), 400).await;
    package.send("", "b", &[&[7; 100_000]]).await;
    good(package.request(Method::POST, "/finalize")).await;
    refused(package.request(Method::DELETE, &path), 404).await;
    assert_eq!(package.request(Method::DELETE, "").send().await.unwrap().status(), 204);
    refused(package.request(Method::DELETE, ""), 404).await;
    refused(package.request(Method::GET, "/files"), 404).await;
    super::client::wait_until(|| hub.stored_files().is_empty().then_some(())).await;
}

#[tokio::test]
async fn only_who_may_can_call() {
    let hub = TestHub::start().await;
    let path = format!("/v1/teams/{}/packages", hub.team);
    let body = json!({ "name": "x" });
    refused(hub.request(Method::POST, &path).json(&body), 401).await;
    refused(hub.request(Method::POST, &path).header("X-API-KEY", "wrong").json(&body), 401).await;
    refused(hub.request(Method::POST, &path).header("X-User-Token", "wrong").json(&body), 401).await;
    refused(hub.team_request(Method::POST, "/v1/teams/01ARZ3NDEKTSV4RRFFQ69G5FAV/packages").json(&body), 403).await;
    let (one, other) = (hub.new_package(body.clone()).await, hub.new_package(body).await);
    let files = format!("/v1/packages/{}/files", one.id);
    refused(hub.request(Method::GET, &files), 401).await;
    refused(hub.request(Method::GET, &files).header("X-Package-Token", &other.token), 401).await;
    good(hub.request(Method::GET, &files).header("X-API-KEY", KEY)).await;
    refused(hub.request(Method::GET, &files).header("X-API-KEY", "wrong"), 401).await;
}

#[tokio::test]
async fn a_person_signs_in_and_sends() {
    let hub = TestHub::start().await;
    let password = "correct horse".to_owned().into();
    hub.hub.put_user("Team", "Editor@Example.com", "Ed", &password, masv_hub::Role::Sender).await.unwrap();
    let sign_in = |email: &str, password: &str| {
        hub.request(Method::POST, "/v1/auth").json(&json!({ "email": email, "password": password }))
    };
    let answer = good(sign_in("editor@example.com", "correct horse")).await;
    assert_eq!(answer["user"]["email"], "editor@example.com");
    assert_eq!((&answer["teams"][0]["name"], &answer["teams"][0]["id"]), (&json!("Team"), &json!(hub.team)));
    let path = format!("/v1/teams/{}/packages", hub.team);
    let request = hub.request(Method::POST, &path).header("X-User-Token", text(&answer, "token"));
    assert_eq!(good(request.json(&json!({ "name": "Mine" }))).await["sender"], "editor@example.com");
    refused(sign_in("editor@example.com", "wrong"), 401).await;
    refused(sign_in("nobody@example.com", "wrong"), 401).await;
}

#[tokio::test]
async fn the_same_key_and_team_hold_over_a_restart() {
    let hub = TestHub::start().await;
    let team = hub.team.clone();
    let (id, token) = {
        let package = hub.sent_package(json!({ "name": "Kept" }), &[5; 100_000]).await;
        (package.id.clone(), package.token.clone())
    };
    let hub = TestHub::start_in(hub.stop().await, |_| {}).await;
    assert_eq!(hub.team, team);
    let list = hub.request(Method::GET, &format!("/v1/packages/{id}/files")).header("X-Package-Token", token);
    assert_eq!(good(list).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn five_hundred_small_files() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Many" })).await;
    let package = &package;
    let senders = (0..16).map(|sender| async move {
        for number in (sender..500).step_by(16) {
            package.send("frames", &format!("{number:04}.dpx"), &[format!("frame {number}").as_bytes()]).await;
        }
    });
    futures_util::future::join_all(senders).await;
    let answer = good(package.request(Method::POST, "/finalize")).await;
    assert_eq!(answer["total_files"], 500);
    assert_eq!(hub.stored_files().len(), 0, "small parts are in the database");
}

/// An answer that was lost left a package behind that nobody knew: a call that is repeated with its key makes no other one.
#[tokio::test]
async fn a_package_is_made_once_however_often_the_call_with_its_key_is_repeated() {
    let hub = TestHub::start().await;
    let path = format!("/v1/teams/{}/packages", hub.team);
    let make = |key: &'static str| {
        let body = json!({ "name": "Dailies" });
        hub.team_request(Method::POST, &path).header("Idempotency-Key", key).json(&body)
    };
    let (one, same) = tokio::join!(good(make("upload 1")), good(make("upload 1")));
    assert_eq!(one["id"], same["id"]);
    assert_ne!(good(make("upload 2")).await["id"], one["id"]);
    // Its maker has gone on with it: this is another call that has the key of an earlier one.
    let package = super::client::Package { hub: &hub, id: text(&one, "id"), token: text(&one, "access_token") };
    package.announce("", "a.mov", 1).await;
    assert_ne!(good(make("upload 1")).await["id"], one["id"]);
    refused(make(""), 400).await;
}
