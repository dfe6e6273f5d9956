//! Everything the hub hands out and recognises again by its secret key: package tokens, visits of links, link
//! secrets, upload ids and addresses of the storage.
//!
//! **In**: ids and times. **Out**: text that only this hub could have created. Nothing of it is stored, so recognising
//! it costs no query, and someone who can only read the database cannot create any.
//!
//! Must never know: the database, HTTP.

use std::io::Write;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use masv_platform::Folder;
use masv_protocol::{FileId, KeyId, LinkId, MultipartId, PackageId, UserId};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::KeysError;

/// Bytes of a MAC in a token: enough that guessing is hopeless.
const TOKEN_BYTES: usize = 24;
const KEY_BYTES: usize = 32;
/// The prefix of an operator's token.
const OPERATOR: &str = "operator.";

/// The hub's secret key.
#[derive(Clone)]
pub(crate) struct Keys {
    mac: Hmac<Sha256>,
}

/// A link was opened, which allows downloading its package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visit {
    /// The package.
    pub package: PackageId,
    /// The link that was opened.
    pub link: LinkId,
    /// Tells this visit from others of the same link.
    pub visit: String,
    /// When it expires, to the second.
    pub expires: Timestamp,
    /// The epoch of the link that it holds in.
    pub epoch: i64,
}

/// To whom a package token was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bearer {
    /// A stranger who sends to a portal; by an earlier version, whoever made the package.
    Sender,
    /// A person of the team: the token is good as long as they are in it. Absent for the operator, and in tokens of earlier versions.
    Member(Option<UserId>),
    /// An API key of the team: the token is good as long as the key is.
    Key(KeyId),
}

impl Bearer {
    fn text(&self) -> String {
        match self {
            Self::Sender => "s".to_owned(),
            Self::Member(None) => "m".to_owned(),
            Self::Member(Some(person)) => format!("m{person}"),
            Self::Key(key) => format!("k{key}"),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (kind, id) = text.split_at_checked(1)?;
        match kind {
            "s" => Some(Self::Sender),
            "m" => Some(Self::Member(Some(id).filter(|id| !id.is_empty()).map(UserId::new))),
            "k" => Some(Self::Key(KeyId::new(id))),
            _ => None,
        }
    }
}

/// What the token of a person of the team began with in earlier versions, in the place of a key.
const OLD_MEMBER: &str = "member";

/// The content of a package token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackageToken {
    /// To whom it was issued.
    pub bearer: Bearer,
    /// The epoch of the package that it holds in; absent in tokens of earlier versions, which said none.
    pub epoch: Option<i64>,
}

/// What a presigned URL of the storage allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action<'a> {
    /// Begin the file: hand out its upload id.
    Begin,
    /// Store one part, from 1.
    Part(u32, &'a MultipartId),
    /// Read the file, as part of the download with this number, if it is of one.
    Read(Option<i64>),
}

impl Keys {
    /// Reads the key from `path`, or creates one there, readable by its owner only and on disk before it is used.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        match std::fs::read(path) {
            Ok(key) if key.len() == KEY_BYTES => Self::from_bytes(&key),
            Ok(_) => Err(std::io::Error::other("the key file is damaged: restore it from a copy")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut key = [0; KEY_BYTES];
                getrandom::fill(&mut key).map_err(std::io::Error::other)?;
                Self::put(path, &key)?;
                Self::from_bytes(&key)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the key that several processes share from `path`: its bytes, or these in hexadecimal. Never makes one.
    pub(crate) fn read(path: &Path) -> std::io::Result<Self> {
        let found = std::fs::read(path)?;
        if found.len() == KEY_BYTES {
            return Self::from_bytes(&found);
        }
        let text = std::str::from_utf8(&found).unwrap_or_default().trim();
        match hex::decode(text) {
            Ok(key) if key.len() == KEY_BYTES => Self::from_bytes(&key),
            _ => Err(std::io::Error::other(
                "it must have 32 random bytes, or these in hexadecimal, as `openssl rand -hex 32` makes them",
            )),
        }
    }

    /// What only this key makes of the id of its hub.
    pub(crate) fn check_of(&self, hub: &str) -> String {
        self.sign("hub", &[hub])
    }

    /// Writes a key to `path`, readable by its owner only and on disk before this returns. What is there already stays, and is an
    /// error.
    pub(crate) fn put(path: &Path, key: &[u8]) -> std::io::Result<()> {
        let folder = Folder::open(path.parent().unwrap_or(Path::new(".")))?;
        let name = path.file_name().ok_or(std::io::ErrorKind::InvalidInput)?;
        let (draft, mut file) = folder.create_unique("secret-", ".new", 0o600)?;
        let put = (|| {
            file.write_all(key)?;
            masv_platform::flush(&file)?;
            folder.rename_new(&draft, &folder, name)?;
            Ok::<_, std::io::Error>(folder.flush()?)
        })();
        if put.is_err() {
            let _ = folder.remove_file(&draft);
        }
        put
    }

    fn from_bytes(key: &[u8]) -> std::io::Result<Self> {
        Hmac::new_from_slice(key).map(|mac| Self { mac }).map_err(std::io::Error::other)
    }

    /// The MAC of `fields` under `purpose`; lengths are part of it, so no two lists run into the same bytes.
    fn sign(&self, purpose: &str, fields: &[&str]) -> String {
        let mut mac = self.mac.clone();
        for field in std::iter::once(&purpose).chain(fields) {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field.as_bytes());
        }
        hex::encode(&mac.finalize().into_bytes()[..TOKEN_BYTES])
    }

    fn holds(&self, purpose: &str, fields: &[&str], given: &str) -> bool {
        equal(&self.sign(purpose, fields), given)
    }

    /// Authorises every call about `package` that its bearer may make, in this epoch of the package and until `expires`, to the second.
    pub(crate) fn package_token(&self, package: &PackageId, bearer: &Bearer, epoch: i64, expires: Timestamp) -> String {
        let body = format!("{}.{epoch}.{}", bearer.text(), expires.as_second());
        let signature = self.sign("package token", &[package.as_str(), &body]);
        format!("{body}.{signature}")
    }

    /// The token of a package as earlier versions gave it to its sender.
    #[cfg(test)]
    pub(crate) fn old_package_token(&self, package: &PackageId) -> String {
        self.sign("package", &[package.as_str()])
    }

    /// What `token` says, if this hub gave it out for `package` and it is not over at `now`. This does not say whether its bearer still
    /// has the right, nor whether the epoch is over.
    pub(crate) fn read_package_token(&self, package: &PackageId, token: &str, now: Timestamp) -> Option<PackageToken> {
        let fields: Vec<&str> = token.split('.').collect();
        match fields.as_slice() {
            [bearer, epoch, expires, signature] => {
                let (body, _) = token.rsplit_once('.')?;
                let holds = self.holds("package token", &[package.as_str(), body], signature)
                    && expires.parse::<i64>().is_ok_and(|expires| expires > now.as_second());
                let said = holds.then(|| Some((Bearer::read(bearer)?, epoch.parse().ok()?)))??;
                Some(PackageToken { bearer: said.0, epoch: Some(said.1) })
            }
            [signature] => {
                let holds = self.holds("package", &[package.as_str()], signature);
                holds.then_some(PackageToken { bearer: Bearer::Sender, epoch: None })
            }
            [by, signature] => {
                let holds = self.holds("package of", &[package.as_str(), by], signature);
                let bearer = || if *by == OLD_MEMBER { Bearer::Member(None) } else { Bearer::Key(KeyId::new(*by)) };
                holds.then(|| PackageToken { bearer: bearer(), epoch: None })
            }
            _ => None,
        }
    }

    /// Lets a person choose a password, until `expires`, to the second, and only as long as the password is the one with this hash.
    pub(crate) fn invitation(&self, account: &UserId, password_hash: &str, expires: Timestamp) -> String {
        let until = expires.as_second().to_string();
        let signature = self.sign("invitation", &[account.as_str(), password_hash, &until]);
        format!("{account}.{until}.{signature}")
    }

    /// Whether `token` is an invitation of a person whose password has this hash, and not over at `now`.
    pub(crate) fn is_invitation(&self, token: &str, account: &UserId, password_hash: &str, now: Timestamp) -> bool {
        let fields: Vec<&str> = token.split('.').collect();
        let [whose, until, signature] = fields.as_slice() else { return false };
        self.holds("invitation", &[account.as_str(), password_hash, until], signature)
            && *whose == account.as_str()
            && until.parse::<i64>().is_ok_and(|until| until > now.as_second())
    }

    /// Opens `link`.
    pub(crate) fn link_secret(&self, link: &LinkId) -> String {
        self.sign("link", &[link.as_str()])
    }

    /// Whether `secret` opens `link`.
    pub(crate) fn is_link_secret(&self, link: &LinkId, secret: &str) -> bool {
        self.holds("link", &[link.as_str()], secret)
    }

    /// The storage's id of the upload of `file`.
    pub(crate) fn upload_id(&self, file: &FileId) -> MultipartId {
        self.sign("upload", &[file.as_str()]).into()
    }

    /// The token of a visit.
    pub(crate) fn visit_token(&self, visit: &Visit) -> String {
        let Visit { package, link, visit: id, expires, epoch } = visit;
        let body = format!("{package}.{link}.{id}.{}.{epoch}", expires.as_second());
        let signature = self.sign("visit", &[&body]);
        format!("{body}.{signature}")
    }

    /// The visit that `token` stands for, if this hub issued it and it is still valid at `now`.
    pub(crate) fn visit(&self, token: &str, now: Timestamp) -> Option<Visit> {
        let (body, signature) = token.rsplit_once('.')?;
        if !self.holds("visit", &[body], signature) {
            return None;
        }
        let mut fields = body.split('.');
        let mut field = || fields.next().map(str::to_owned);
        let (package, link, visit) = (PackageId::new(field()?), LinkId::new(field()?), field()?);
        let expires = Timestamp::from_second(field()?.parse().ok()?).ok()?;
        // An earlier version said no epoch: the first.
        let epoch = field().map_or(Some(0), |epoch| epoch.parse().ok())?;
        let visit = Visit { package, link, visit, expires, epoch };
        (visit.expires.as_second() > now.as_second()).then_some(visit)
    }

    /// A token that proves until `expires`, to the second, that the caller has the hub's data and may do everything.
    pub(crate) fn operator_token(&self, expires: Timestamp) -> String {
        let expires = expires.as_second();
        format!("{OPERATOR}{expires}.{}", self.sign("operator", &[&expires.to_string()]))
    }

    /// Whether `token` is an operator's token that is still valid at `now`.
    pub(crate) fn is_operator_token(&self, token: &str, now: Timestamp) -> bool {
        let Some((expires, signature)) = token.strip_prefix(OPERATOR).and_then(|rest| rest.split_once('.')) else {
            return false;
        };
        self.holds("operator", &[expires], signature)
            && expires.parse::<i64>().is_ok_and(|expires| expires > now.as_second())
    }

    /// Path and query of the address that allows `action` on a file of a package until `expires`, to the second.
    pub(crate) fn address(
        &self,
        (package, file): (&PackageId, &FileId),
        action: Action<'_>,
        expires: Timestamp,
    ) -> String {
        let signature = self.address_signature((package, file), action, expires);
        let expires = expires.as_second();
        let what = match action {
            Action::Begin => "&uploads=".to_owned(),
            // In the middle, as S3 has it: some clients read the number out of the address.
            Action::Part(number, upload) => format!("&partNumber={number}&uploadId={upload}"),
            Action::Read(None) => String::new(),
            Action::Read(Some(download)) => format!("&download={download}"),
        };
        format!("/storage/{package}/{file}?expires={expires}{what}&signature={signature}")
    }

    /// Whether `signature` is that of the address for `action`.
    pub(crate) fn is_address(
        &self,
        of: (&PackageId, &FileId),
        action: Action<'_>,
        expires: Timestamp,
        signature: &str,
    ) -> bool {
        equal(&self.address_signature(of, action, expires), signature)
    }

    fn address_signature(
        &self,
        (package, file): (&PackageId, &FileId),
        action: Action<'_>,
        expires: Timestamp,
    ) -> String {
        let (package, file, expires) = (package.as_str(), file.as_str(), expires.as_second().to_string());
        match action {
            Action::Begin => self.sign("begin", &[package, file, &expires]),
            Action::Part(number, upload) => {
                self.sign("part", &[package, file, &number.to_string(), upload.as_str(), &expires])
            }
            Action::Read(None) => self.sign("read", &[package, file, &expires]),
            Action::Read(Some(download)) => {
                self.sign("read of a download", &[package, file, &expires, &download.to_string()])
            }
        }
    }
}

/// What is stored of an API key or a session: a reader of the database cannot use it.
pub(crate) fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// A random secret of 256 bits, as text.
pub(crate) fn random_secret() -> Result<String, KeysError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| KeysError::Failed(error.to_string()))?;
    Ok(hex::encode(bytes))
}

fn equal(expected: &str, given: &str) -> bool {
    expected.as_bytes().ct_eq(given.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::from_bytes(&[7; 32]).unwrap()
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
        assert_eq!(Keys::from_bytes(&[8; 32]).unwrap().read_package_token(&"A".into(), &token, at(0)), None);
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
}
