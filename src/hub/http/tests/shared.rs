//! Hubs that share a PostgreSQL: what may be done so often is counted for all of them together.

use std::path::Path;

use masv_db::scratch::Scratch;

use super::*;
use crate::SharedDatabase;

const CODE: &str = "open sesame";
/// Packages that one address may begin in a portal in an hour.
const MOST_PACKAGES: u32 = 4;

/// Another hub on the database, with its key in `folder`.
async fn hub_on(scratch: &Scratch, folder: &Path) -> Bench {
    let secret_key_file = folder.join("shared.key");
    std::fs::write(&secret_key_file, "5a".repeat(32)).unwrap();
    let shared = SharedDatabase { url: scratch.url().into(), password: None, secret_key_file };
    let change = |config: &mut HubConfig| {
        config.database = Some(shared);
        config.portal_packages_per_hour = Some(MOST_PACKAGES);
    };
    Bench::with_code(change, Some(CODE)).await
}

/// Case: N hubs let N times as many guesses through, and N times as many packages into a portal.
#[tokio::test]
async fn two_hubs_allow_together_no_more_guesses_and_packages_than_one() {
    let Some(scratch) = Scratch::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let hubs = [hub_on(&scratch, folder.path()).await, hub_on(&scratch, folder.path()).await];
    let (email, password) = ("ed@example.com", "correct horse".to_owned());
    hubs[0].hub.put_user("Team", email, "Ed", &password.clone().into(), crate::Role::Sender).await.unwrap();

    let wrong = (0..30).map(|number| hubs[number % 2].sign_in(HERE, email, "wrong"));
    let answers = join_all(wrong).await;
    let compared = answers.iter().filter(|(status, _)| *status == 401).count();
    let refused: Vec<_> = answers.iter().filter(|(status, _)| *status == 429).collect();
    assert_eq!((compared, refused.len()), (10, 20), "{answers:?}");
    for hub in &hubs {
        let (status, answer) = hub.sign_in(HERE, email, &password).await;
        assert_eq!((status, text(&answer["errors"][0], "type").as_str()), (429, "too_many_guesses"), "{answer}");
        assert_eq!(hub.sign_in(THERE, email, &password).await.0, 200);
    }

    let portal = format!("/v1/portals/{}/packages", hubs[0].portal().await);
    let begin = |hub: usize, code: &str| {
        let body = json!({ "name": "Rushes", "sender": "stranger@example.com", "access_code": code });
        let (hub, portal) = (&hubs[hub % 2], &portal);
        async move { hub.post_from(THERE, portal, body).await }
    };
    let begun = join_all((0..10).map(|number| begin(number, CODE))).await;
    let made = begun.iter().filter(|(status, _)| *status == 201).count();
    assert_eq!(made, MOST_PACKAGES as usize, "{begun:?}");
    for hub in 0..2 {
        let (status, answer) = begin(hub, CODE).await;
        assert_eq!((status, text(&answer["errors"][0], "type").as_str()), (429, "rate_limited"), "{answer}");
    }
    let wrong = join_all((0..30).map(|number| begin(number, "guess"))).await;
    assert_eq!(wrong.iter().filter(|(status, _)| *status == 401).count(), 10, "{wrong:?}");
}
