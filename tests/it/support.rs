//! A hub, an engine and files to send, for tests; everything ends when it is dropped.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use masv_agent::model::UploadId;
use masv_agent::model::{Destination, File, PackageOptions, SourceFile, State, Upload, UploadSpec};
use masv_agent::store::Store;
use masv_agent::upload::{Queue, UploadSettings};
use masv_client::{Cloud, CloudSettings, Patience};
use masv_hub::{Hub, HubConfig, Provision, ProvisionPortal, Role};
use masv_platform::{FileIdentity, PathBeneath};
use masv_protocol::PackagePath;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{postgres, s3_server};

pub const KEY: &str = "test-key";

/// Polls until `condition` holds; panics with `what` when it does not in time.
pub async fn wait_until<F: Future<Output = bool>>(what: &str, limit: Duration, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + limit;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Listens once more on an address that was listened on before. A connection of another test may have been given the port meanwhile.
pub async fn listen_again(address: SocketAddr) -> TcpListener {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return listener,
            Err(error) => assert!(Instant::now() < deadline, "{address}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A hub on a port of its own.
pub struct TestHub {
    pub url: Url,
    pub team: String,
    pub folder: Option<tempfile::TempDir>,
    public: Url,
    place: Option<s3_server::Place>,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

impl TestHub {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::start_on(listener, tempfile::tempdir().unwrap()).await
    }

    /// A hub that says it is reached at `public`.
    pub async fn start_public(public: Url) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::start_with(listener, tempfile::tempdir().unwrap(), Some(public), true).await
    }

    /// A hub that offers no calls about many files, as the service.
    pub async fn start_without_batches() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::start_with(listener, tempfile::tempdir().unwrap(), None, false).await
    }

    pub async fn start_on(listener: TcpListener, folder: tempfile::TempDir) -> Self {
        Self::start_with(listener, folder, None, true).await
    }

    async fn start_with(listener: TcpListener, folder: tempfile::TempDir, public: Option<Url>, batches: bool) -> Self {
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        // Another hub over the same folder finds the files of the one before.
        let prefix = folder.path().join("prefix");
        let place = s3_server::everywhere().map(|mut place| {
            match std::fs::read_to_string(&prefix) {
                Ok(before) => place.prefix = before,
                Err(_) => std::fs::write(&prefix, &place.prefix).unwrap(),
            }
            place
        });
        let bucket = place.as_ref().map(|place| match &public {
            Some(public) => place.config_reached_at(public),
            None => place.config(),
        });
        let config = HubConfig::new(folder.path().join("hub"));
        let database = postgres::everywhere(folder.path());
        let config = HubConfig { bucket, database, public_url: public.clone(), batches, ..config };
        let hub = Hub::open(config).await.unwrap();
        let portal = |subdomain: &str, access_code: Option<&str>| ProvisionPortal {
            subdomain: subdomain.into(),
            name: subdomain.to_uppercase(),
            recipients: vec!["owner@example.com".into()],
            access_code: access_code.map(SecretString::from),
        };
        let provision = Provision {
            team_name: "test".into(),
            api_key: KEY.into(),
            key_name: "agent".into(),
            portals: vec![portal("acme", None), portal("locked", Some("open sesame"))],
        };
        let team = hub.provision(provision).await.unwrap().team_id;
        let password = SecretString::from("correct horse battery");
        hub.put_user("test", "editor@example.com", "Editor", &password, Role::Sender).await.unwrap();
        let stop = CancellationToken::new();
        let shutdown = stop.clone();
        let serving = tokio::spawn(async move { hub.serve(listener, shutdown).await.unwrap() });
        Self { public: public.unwrap_or_else(|| url.clone()), url, team, folder: Some(folder), place, stop, serving }
    }

    /// The S3 server behind it, where it has one.
    pub fn bucket(&self) -> Option<Url> {
        self.place.as_ref().map(|place| place.endpoint.parse().unwrap())
    }

    /// Where its links lead.
    pub fn public(&self) -> &Url {
        &self.public
    }

    /// The folder of its data.
    pub fn data(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// Stops it; another one can continue with the folder.
    pub async fn shut_down(mut self) -> tempfile::TempDir {
        self.stop.cancel();
        (&mut self.serving).await.unwrap();
        self.folder.take().unwrap()
    }

    pub fn cloud(&self) -> Cloud {
        self.cloud_at(self.url.clone())
    }

    /// A client that reaches the hub by another address, such as a proxy's.
    pub fn cloud_at(&self, base: Url) -> Cloud {
        Cloud::new(CloudSettings {
            base,
            name: None,
            api_key: Some(KEY.into()),
            team_id: Some(self.team.as_str().into()),
        })
        .unwrap()
    }

    /// How many packages it has that were not removed: those wait in the trash.
    pub async fn stored_packages(&self) -> usize {
        if let Some(rows) = postgres::ask(self.data(), "SELECT count(*) FROM package WHERE removed = 0") {
            return rows[0][0].parse().unwrap();
        }
        let database = rusqlite::Connection::open(self.data().join("hub/hub.db")).unwrap();
        let count =
            database.query_row("SELECT count(*) FROM package WHERE removed = 0", [], |row| row.get::<_, i64>(0));
        usize::try_from(count.unwrap()).unwrap()
    }

    /// The same, with short timeouts.
    pub fn impatient_cloud_at(&self, base: Url) -> Cloud {
        let settings =
            CloudSettings { base, name: None, api_key: Some(KEY.into()), team_id: Some(self.team.as_str().into()) };
        let patience = Patience { call: Duration::from_secs(3), stall: Duration::from_secs(3) };
        Cloud::patient(settings, patience).unwrap()
    }

    /// Mails in the outbox that have `text` in them.
    pub fn mails_with(&self, text: &str) -> Vec<String> {
        let Ok(outbox) = std::fs::read_dir(self.data().join("hub/outbox")) else { return Vec::new() };
        let mails = outbox.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
        mails.map(|mail| mail.replace("=\r\n", "")).filter(|mail| mail.contains(text)).collect()
    }
}

impl Drop for TestHub {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An engine with its store, and a folder to send from.
pub struct TestEngine {
    pub queue: Queue,
    pub store: Store,
    pub folder: tempfile::TempDir,
}

impl TestEngine {
    pub async fn start(cloud: Cloud) -> Self {
        Self::start_in(cloud, tempfile::tempdir().unwrap(), UploadSettings::default()).await
    }

    pub async fn start_in(cloud: Cloud, folder: tempfile::TempDir, settings: UploadSettings) -> Self {
        let store = Store::open(&folder.path().join("agent.db")).unwrap();
        let queue = Queue::start(store.clone(), cloud, settings).await.unwrap();
        Self { queue, store, folder }
    }

    /// Writes a file to send; returns it as the engine takes it.
    pub fn file(&self, name: &str, content: &[u8]) -> SourceFile {
        let path = self.folder.path().join("source").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        source_file(Path::new(name), path)
    }

    pub async fn upload(&self, id: UploadId) -> Upload {
        self.store.upload(id).await.unwrap()
    }

    pub async fn files(&self, id: UploadId) -> Vec<File> {
        self.store.files(id, None, 100_000).await.unwrap()
    }

    pub async fn wait_for(&self, id: UploadId, state: State) -> Upload {
        self.wait_long_for(id, state, Duration::from_secs(20)).await
    }

    pub async fn wait_long_for(&self, id: UploadId, state: State, limit: Duration) -> Upload {
        let what = format!("the upload is {state:?}");
        wait_until(&what, limit, || async {
            let upload = self.upload(id).await;
            let failed = upload.state == State::Error && state != State::Error;
            assert!(!failed, "the upload failed: {:?}", upload.problem);
            upload.state == state
        })
        .await;
        self.upload(id).await
    }
}

pub fn source_file(name: &Path, source: PathBuf) -> SourceFile {
    let identity = FileIdentity::of(&std::fs::metadata(&source).unwrap());
    let source = PathBeneath::new(source.parent().unwrap(), source.file_name().unwrap());
    SourceFile {
        path: PackagePath::from_relative(name).unwrap(),
        source,
        identity,
        owner: None,
        claim: None,
        verified: None,
        guard: None,
    }
}

/// What `setfattr -n user.masv` does: it changes the date of the change, and nothing else of what `stat` tells.
pub fn set_attribute(path: &Path) {
    let changed = || std::os::unix::fs::MetadataExt::ctime_nsec(&std::fs::metadata(path).unwrap());
    let before = changed();
    // The clock of the file system is a coarse one.
    std::thread::sleep(Duration::from_millis(20));
    match rustix::fs::setxattr(path, "user.masv", b"scanned", rustix::fs::XattrFlags::empty()) {
        Ok(()) => assert_ne!(changed(), before, "an attribute changes the date of the change"),
        Err(rustix::io::Errno::NOTSUP) => {} // There are none here.
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// A link upload of these files, finalized automatically.
pub fn spec(files: Vec<SourceFile>) -> UploadSpec {
    UploadSpec {
        destination: Destination::Link,
        name: "test package".into(),
        description: None,
        password: None,
        options: PackageOptions::default(),
        team_id: None,
        chunk_size: Some(5 << 20),
        priority: 0,
        auto_finalize: true,
        rule: None,
        files: files.into(),
    }
}

/// Bytes that differ from place to place, the same for the same seed.
pub fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

/// Files by name, size and hash: what two lists of contents are compared by, and what a failed test prints.
pub fn digests(files: &[(String, Vec<u8>)]) -> Vec<(String, usize, String)> {
    let digest = |bytes: &[u8]| blake3::hash(bytes).to_hex()[..8].to_owned();
    files.iter().map(|(name, bytes)| (name.clone(), bytes.len(), digest(bytes))).collect()
}

/// All that a recipient gets through a link: each file's path in the package and its bytes.
pub async fn received(link: &str) -> Vec<(String, Vec<u8>)> {
    let link = Url::parse(link).unwrap();
    let id = link.path_segments().unwrap().next_back().unwrap().to_owned();
    let base = link.origin().ascii_serialization();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = |url: String, token: String| {
        let client = client.clone();
        async move {
            let answer = client.get(url).header("X-Package-Token", token).send().await.unwrap();
            answer.error_for_status().unwrap().json::<serde_json::Value>().await.unwrap()
        }
    };
    let opened = get(format!("{base}/v1/links/{id}?{}", link.query().unwrap()), String::new()).await;
    let (package, token) = (opened["package_id"].as_str().unwrap(), opened["package_token"].as_str().unwrap());
    let files = get(format!("{base}/v1/packages/{package}/files"), token.to_owned()).await;
    let mut all = Vec::new();
    for file in files.as_array().unwrap() {
        let id = file["id"].as_str().unwrap();
        let address = get(format!("{base}/v1/packages/{package}/files/{id}/download"), token.to_owned()).await;
        let address = Url::parse(address["url"].as_str().unwrap()).unwrap();
        // The same hub, or bucket, whatever they call themselves: not through a proxy that spoils what passes.
        let place = if address.path().starts_with(s3_server::PATH) { s3_server::everywhere() } else { None };
        let server = place.as_ref().map_or(base.as_str(), |place| place.endpoint.as_str());
        let url = format!("{server}{}?{}", address.path(), address.query().unwrap_or_default());
        let mut get = client.get(url);
        if place.is_some() {
            // For which the address is signed.
            get = get.header("Host", address.authority());
        }
        let answer = get.send().await.unwrap().error_for_status().unwrap();
        let (folder, name) = (file["path"].as_str().unwrap(), file["name"].as_str().unwrap());
        let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        all.push((path, answer.bytes().await.unwrap().to_vec()));
    }
    all.sort();
    all
}
