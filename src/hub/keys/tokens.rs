//! Everything the hub hands out and recognises again by its secret key: package tokens, visits of links, link
//! secrets, upload ids and addresses of the storage.
//!
//! **In**: ids and times. **Out**: text that only this hub could have created. Nothing of it is stored, so recognising
//! it costs no query, and someone who can only read the database cannot create any.
//!
//! Must never know: the database, HTTP.

use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use masv_protocol::{FileId, KeyId, LinkId, MultipartId, PackageId, UserId};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::KeysError;
use super::key_file::{self, SecretKey};

/// Bytes of a MAC in a token: enough that guessing is hopeless.
const TOKEN_BYTES: usize = 24;
/// The prefix of an operator's token.
const OPERATOR: &str = "operator.";

/// The hub's secret key, and those before it that are not given up yet.
#[derive(Clone)]
pub(crate) struct Keys {
    /// Makes what is new.
    newest: Hmac<Sha256>,
    /// What these made still holds.
    older: Vec<Hmac<Sha256>>,
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
    /// Reads the keys from `path`, or creates one there, readable by its owner only and on disk before it is used.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        match key_file::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = key_file::new_key()?;
                key_file::put(path, &key)?;
                Self::new(&[key])
            }
            found => Self::new(&found?),
        }
    }

    /// Reads the keys that several processes share from `path`. Never makes one.
    pub(crate) fn read(path: &Path) -> std::io::Result<Self> {
        Self::new(&key_file::read(path)?)
    }

    /// What only this key makes of the id of its hub.
    pub(crate) fn check_of(&self, hub: &str) -> String {
        self.sign("hub", &[hub])
    }

    /// Whether one of these keys has made that of the id of its hub.
    pub(crate) fn is_check_of(&self, hub: &str, check: &str) -> bool {
        self.holds("hub", &[hub], check)
    }

    /// Of the first key is what is new; what is of any of them holds.
    fn new(keys: &[SecretKey]) -> std::io::Result<Self> {
        let macs = keys.iter().map(|key| Hmac::new_from_slice(key).map_err(std::io::Error::other));
        let mut macs = macs.collect::<Result<Vec<_>, _>>()?.into_iter();
        let newest = macs.next().ok_or(std::io::ErrorKind::InvalidData)?;
        Ok(Self { newest, older: macs.collect() })
    }

    fn all(&self) -> impl Iterator<Item = &Hmac<Sha256>> {
        std::iter::once(&self.newest).chain(&self.older)
    }

    /// The MAC of `fields` under `purpose`.
    fn sign(&self, purpose: &str, fields: &[&str]) -> String {
        signed_by(&self.newest, purpose, fields)
    }

    fn holds(&self, purpose: &str, fields: &[&str], given: &str) -> bool {
        self.all().any(|mac| equal(&signed_by(mac, purpose, fields), given))
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

    /// Whether that is the storage's id of the upload of `file`.
    pub(crate) fn is_upload_id(&self, file: &FileId, given: &MultipartId) -> bool {
        self.holds("upload", &[file.as_str()], given.as_str())
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
        let signature = signature_of(&self.newest, (package, file), action, expires);
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
        self.all().any(|mac| equal(&signature_of(mac, of, action, expires), signature))
    }
}

/// The MAC of `fields` under `purpose`; lengths are part of it, so no two lists run into the same bytes.
fn signed_by(mac: &Hmac<Sha256>, purpose: &str, fields: &[&str]) -> String {
    let mut mac = mac.clone();
    for field in std::iter::once(&purpose).chain(fields) {
        mac.update(&(field.len() as u64).to_be_bytes());
        mac.update(field.as_bytes());
    }
    hex::encode(&mac.finalize().into_bytes()[..TOKEN_BYTES])
}

/// The signature of the address that allows `action`.
fn signature_of(
    mac: &Hmac<Sha256>,
    (package, file): (&PackageId, &FileId),
    action: Action<'_>,
    expires: Timestamp,
) -> String {
    let (package, file, expires) = (package.as_str(), file.as_str(), expires.as_second().to_string());
    match action {
        Action::Begin => signed_by(mac, "begin", &[package, file, &expires]),
        Action::Part(number, upload) => {
            signed_by(mac, "part", &[package, file, &number.to_string(), upload.as_str(), &expires])
        }
        Action::Read(None) => signed_by(mac, "read", &[package, file, &expires]),
        Action::Read(Some(download)) => {
            signed_by(mac, "read of a download", &[package, file, &expires, &download.to_string()])
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
mod tests;
