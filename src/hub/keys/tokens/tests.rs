//! What is made by a key holds for that, and for nothing else.

use super::*;

fn keys() -> Keys {
    Keys::new(&[[7; 32]]).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A token of this epoch of package `A`, until the second 100.
fn token(keys: &Keys, bearer: &Bearer, epoch: i64) -> String {
    keys.package_token(&"A".into(), bearer, epoch, at(100))
}

#[test]
fn a_token_is_good_for_its_own_package_and_purpose_only() {
    let keys = keys();
    let token = token(&keys, &Bearer::Sender, 3);
    let said = PackageToken { bearer: Bearer::Sender, epoch: Some(3) };
    assert_eq!(keys.read_package_token(&"A".into(), &token, at(99)), Some(said));
    assert_eq!(keys.read_package_token(&"A".into(), &token, at(100)), None, "it has ended");
    assert_eq!(keys.read_package_token(&"B".into(), &token, at(0)), None);
    assert!(!keys.is_link_secret(&"A".into(), &token));
    for other in ["", ".", "...", "s.3.100.", &token.replace(".100.", ".999."), &token.replace(".3.", ".4.")] {
        assert_eq!(keys.read_package_token(&"A".into(), other, at(0)), None, "{other}");
    }
    assert_eq!(Keys::new(&[[8; 32]]).unwrap().read_package_token(&"A".into(), &token, at(0)), None);
}

#[test]
fn a_token_says_to_whom_it_was_given_and_nobody_can_change_that() {
    let keys = keys();
    let bearers = [Bearer::Sender, Bearer::Member(None), Bearer::Member(Some("U".into())), Bearer::Key("K".into())];
    for bearer in &bearers {
        let token = token(&keys, bearer, 0);
        let said = keys.read_package_token(&"A".into(), &token, at(0)).unwrap();
        assert_eq!(said.bearer, *bearer);
        let (_, rest) = token.split_once('.').unwrap();
        for other in bearers.iter().filter(|other| *other != bearer) {
            let forged = format!("{}.{rest}", other.text());
            assert_eq!(keys.read_package_token(&"A".into(), &forged, at(0)), None, "{forged}");
        }
    }
}

#[test]
fn tokens_of_earlier_versions_are_known_as_such() {
    let keys = keys();
    let read = |token: &str| keys.read_package_token(&"A".into(), token, at(0));
    let old = |bearer| Some(PackageToken { bearer, epoch: None });
    assert_eq!(read(&keys.sign("package", &["A"])), old(Bearer::Sender));
    let of = |by: &str| format!("{by}.{}", keys.sign("package of", &["A", by]));
    assert_eq!(read(&of("member")), old(Bearer::Member(None)));
    assert_eq!(read(&of("K")), old(Bearer::Key("K".into())));
    assert_eq!(read(&of("K").replace("K.", "L.")), None);
    assert_eq!(read(of("K").trim_start_matches("K.")), None);
}

/// Case: the secret key was changed, and every link, token and address that was given out ended.
#[test]
fn what_an_older_key_made_holds_until_that_key_is_given_up_and_what_is_new_is_of_the_first() {
    let (old, new) = ([7; 32], [8; 32]);
    let [before, known, during, after] =
        [vec![old], vec![old, new], vec![new, old], vec![new]].map(|keys| Keys::new(&keys).unwrap());
    let (package, file, upload) = (PackageId::new("P"), FileId::new("F"), MultipartId::new("U"));
    let visit = Visit { package: package.clone(), link: "L".into(), visit: "V".into(), expires: at(100), epoch: 0 };
    /// Makes something by some keys; whether others know it.
    type Kind<'a> = (&'a str, Box<dyn Fn(&Keys) -> String + 'a>, Box<dyn Fn(&Keys, &str) -> bool + 'a>);
    let signature = |address: String| address.rsplit_once('=').unwrap().1.to_owned();
    let part = Action::Part(3, &upload);
    let kinds: Vec<Kind<'_>> = vec![
        (
            "package",
            Box::new(|keys| keys.package_token(&package, &Bearer::Sender, 0, at(100))),
            Box::new(|keys, token| keys.read_package_token(&package, token, at(0)).is_some()),
        ),
        (
            "old package",
            Box::new(|keys| keys.old_package_token(&package)),
            Box::new(|keys, token| keys.read_package_token(&package, token, at(0)).is_some()),
        ),
        (
            "invitation",
            Box::new(|keys| keys.invitation(&"A".into(), "hash", at(100))),
            Box::new(|keys, token| keys.is_invitation(token, &"A".into(), "hash", at(0))),
        ),
        (
            "link",
            Box::new(|keys| keys.link_secret(&"L".into())),
            Box::new(|keys, secret| keys.is_link_secret(&"L".into(), secret)),
        ),
        (
            "upload",
            Box::new(|keys| keys.upload_id(&file).into_string()),
            Box::new(|keys, id| keys.is_upload_id(&file, &MultipartId::new(id))),
        ),
        (
            "visit",
            Box::new(|keys| keys.visit_token(&visit)),
            Box::new(|keys, token| keys.visit(token, at(0)).is_some()),
        ),
        (
            "operator",
            Box::new(|keys| keys.operator_token(at(100))),
            Box::new(|keys, token| keys.is_operator_token(token, at(0))),
        ),
        (
            "address",
            Box::new(|keys| signature(keys.address((&package, &file), part, at(50)))),
            Box::new(|keys, signature| keys.is_address((&package, &file), part, at(50), signature)),
        ),
        ("check", Box::new(|keys| keys.check_of("H")), Box::new(|keys, check| keys.is_check_of("H", check))),
    ];
    for (what, make, holds) in &kinds {
        let (of_old, of_new) = (make(&before), make(&during));
        assert_ne!(of_old, of_new, "{what}");
        assert_eq!((make(&known), make(&after)), (of_old.clone(), of_new.clone()), "{what}");
        let held = |by: &Keys| (holds(by, &of_old), holds(by, &of_new));
        assert_eq!((held(&before), held(&known)), ((true, false), (true, true)), "{what}");
        assert_eq!((held(&during), held(&after)), ((true, true), (false, true)), "{what}");
    }
}

#[test]
fn fields_do_not_run_into_each_other() {
    let keys = keys();
    assert_ne!(keys.sign("p", &["ab", "c"]), keys.sign("p", &["a", "bc"]));
}

#[test]
fn a_visit_comes_back_until_it_expires_and_not_when_tampered_with() {
    let keys = keys();
    let visit = Visit { package: "P".into(), link: "L".into(), visit: "V".into(), expires: at(100), epoch: 2 };
    let token = keys.visit_token(&visit);
    assert_eq!(keys.visit(&token, at(99)), Some(visit));
    assert_eq!(keys.visit(&token, at(100)), None);
    assert_eq!(keys.visit(&token.replace("P.", "Q."), at(99)), None);
    assert_eq!(keys.visit(&token.replace(".2.", ".3."), at(99)), None);
    assert_eq!(keys.visit("", at(0)), None);
    assert_eq!(keys.visit("....", at(0)), None);
}

#[test]
fn an_operators_token_holds_for_a_while() {
    let keys = keys();
    let token = keys.operator_token(at(100));
    assert!(keys.is_operator_token(&token, at(99)));
    assert!(!keys.is_operator_token(&token, at(100)));
    assert!(!keys.is_operator_token(&token.replace("100", "999"), at(99)));
    assert!(!keys.is_operator_token("operator.100.", at(0)) && !keys.is_operator_token("", at(0)));
}

#[test]
fn an_address_allows_one_action_until_one_moment() {
    let keys = keys();
    let (package, file, upload) = (PackageId::new("P"), FileId::new("F"), MultipartId::new("U"));
    let of = (&package, &file);
    let address = keys.address(of, Action::Part(3, &upload), at(50));
    let (_, signature) = address.rsplit_once('=').unwrap();
    assert!(keys.is_address(of, Action::Part(3, &upload), at(50), signature));
    assert!(!keys.is_address(of, Action::Part(4, &upload), at(50), signature));
    assert!(!keys.is_address(of, Action::Part(3, &upload), at(51), signature));
    assert!(!keys.is_address(of, Action::Read(None), at(50), signature));
    let read = keys.address(of, Action::Read(Some(7)), at(50));
    let (_, signature) = read.rsplit_once('=').unwrap();
    assert!(keys.is_address(of, Action::Read(Some(7)), at(50), signature), "{read}");
    for other in [Some(8), None] {
        assert!(!keys.is_address(of, Action::Read(other), at(50), signature), "{other:?}");
    }
}

#[test]
fn the_key_is_made_once_and_kept_from_others() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.key");
    let token = token(&Keys::open(&path).unwrap(), &Bearer::Sender, 0);
    assert!(Keys::open(&path).unwrap().read_package_token(&"A".into(), &token, at(0)).is_some());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(&path, b"short").unwrap();
    assert!(Keys::open(&path).is_err());
}
