//! What strangers can send us, each as a function of bytes that must not panic, not hang, and not answer without bound:
//! rules files, templates, links, names of files, the answers of a cloud and of a storage, requests to the API and to the hub.
//!
//! The network targets use the real thing: the real client against a socket that answers with the bytes, and a real agent
//! with its hub that gets them as a request.

#![allow(dead_code, reason = "each fuzz binary takes one of them")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use masv_agent::agent::{self, Notice, Written};
use masv_agent::download::{self, LinkAddress};
use masv_client::{Cloud, CloudSettings, PackageAccess};
use masv_protocol::{Blueprint, File, FileId, LinkId, MultipartId, PackageId, PackagePath, Time};
use masv_rules::{FixedEnvironment, Template, TemplateContext, TemplateFiles};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A body, by its name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: [Target; 8] = [
    ("rules", rules),
    ("template", template),
    ("link", link),
    ("package_path", package_path),
    ("cloud_json", cloud_json),
    ("cloud_xml", cloud_xml),
    ("http_api", http_api),
    ("http_hub", http_hub),
];

/// Names of threads that belong to a target.
pub const THREADS: &str = "fuzzed";
/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(20);

/// A rules file.
pub fn rules(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let environment = FixedEnvironment::default();
    match masv_rules::parse(&text, Path::new("/srv/rules.yaml"), &environment) {
        Ok(set) => set.warnings.iter().for_each(|warning| drop(warning.render(false))),
        Err(diagnostics) => {
            let report = diagnostics.render(false);
            assert!(!report.is_empty());
            assert!(report.len() < 1 << 20, "{} bytes of report for {} of rules", report.len(), data.len());
        }
    }
}

/// A template in the first line, names of files in the others.
pub fn template(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let env = Arc::new(BTreeMap::from([("SITE".to_owned(), "berlin".to_owned())]));
    let Ok(template) = Template::new(lines.next().unwrap_or_default(), &env) else { return };
    let files: TemplateFiles = lines.map(|line| (Path::new(line), line.len() as u64)).collect();
    let context = TemplateContext {
        rule: "dailies".to_owned(),
        now: jiff::civil::date(2026, 2, 28).at(23, 59, 59, 0).to_zoned(jiff::tz::TimeZone::UTC).unwrap(),
        item: files.get(0).map(|file| file.name).unwrap_or_default(),
        path: Vec::new(),
        files: Arc::new(files),
        group: "A001".to_owned(),
        host: "ingest-1".to_owned(),
        seq: 7,
        env,
    };
    if let Ok(rendered) = template.render(&context) {
        assert!(rendered.len() < 64 << 20, "{} bytes", rendered.len());
    }
    if let Ok(line) = template.render_line(&context) {
        assert!(!line.contains(['\n', '\r']), "{line:?} is no line");
    }
}

/// The address of a package.
pub fn link(data: &[u8]) {
    if let Ok(link) = LinkAddress::parse(&String::from_utf8_lossy(data)) {
        assert!(link.api.starts_with("http://") || link.api.starts_with("https://"), "{}", link.api);
        assert!(link.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{}", link.id);
    }
}

/// Names in a package, a line each: where they go on this disk.
pub fn package_path(data: &[u8]) {
    use std::os::unix::ffi::OsStrExt;
    let plain = |path: &str| {
        let odd = |name: &str| name.is_empty() || name == "." || name == ".." || name.len() > 255;
        !path.starts_with('/') && !path.split('/').any(odd) && !path.contains(|c: char| c.is_control() || c == '\\')
    };
    if let Some(path) = PackagePath::from_relative(Path::new(std::ffi::OsStr::from_bytes(data))) {
        assert!(plain(path.as_str()), "{path}");
    }
    let text = String::from_utf8_lossy(data);
    let listed: Vec<File> = text.split('\n').take(200).map(listed).collect();
    let places = download::places(&listed, &["around".to_owned()]);
    assert_eq!(places.len(), listed.len());
    let mut taken = std::collections::HashSet::new();
    for place in places {
        assert!(place.starts_with("around/") && plain(&place), "{place:?}");
        assert!(taken.insert(place.to_lowercase()), "{place:?} twice");
    }
}

fn listed(line: &str) -> File {
    let (folder, name) = line.rsplit_once('/').unwrap_or(("", line));
    File {
        id: "1".into(),
        kind: None,
        name: name.into(),
        path: folder.into(),
        size: 1,
        last_modified: Time::UNSET,
        state: None,
        virus_detected: false,
    }
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let builder =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name(THREADS).enable_all().build();
    builder.unwrap()
});

/// The body of every answer of a cloud.
pub fn cloud_json(data: &[u8]) {
    for status in ["200 OK", "400 Bad Request"] {
        RUNTIME.block_on(ask_all(status, "application/json", data));
    }
}

/// The body of every answer of a storage.
pub fn cloud_xml(data: &[u8]) {
    for status in ["200 OK", "403 Forbidden"] {
        RUNTIME.block_on(async {
            let (cloud, base) = client_of(status, "application/xml", data).await;
            let blueprint = Blueprint::new("POST", format!("{base}bucket/key?uploads=1"));
            told(cloud.begin_file(&blueprint).await);
        });
    }
}

async fn ask_all(status: &str, kind: &str, data: &[u8]) {
    let (cloud, _) = client_of(status, kind, data).await;
    let package = PackageAccess { id: &PackageId::from("p"), token: &"t".into() };
    let (file, multipart) = (FileId::from("f"), MultipartId::from("m"));
    told(cloud.sign_in("a@example.com", &"secret".into()).await);
    told(cloud.limits().await);
    told(cloud.package_files(package).await);
    told(cloud.file_address(package, &file).await);
    told(cloud.part_addresses(package, &file, &multipart, 1, 1).await);
    told(cloud.portal("acme").await);
    told(cloud.open_link(&LinkId::from("l"), &"s".into(), None).await);
}

/// What a foreign server says is shown to people: not endlessly, and without control characters.
fn told<T>(answer: Result<T, masv_client::CloudError>) {
    if let Err(error) = answer {
        let text = error.to_string();
        assert!(text.len() < 4096 && !text.contains(|c: char| c.is_control()), "{text:?}");
    }
}

/// A client of a server that answers everything with these bytes.
async fn client_of(status: &str, kind: &str, data: &[u8]) -> (Cloud, url::Url) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = url::Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", data.len());
    let answer: Arc<[u8]> = [head.as_bytes(), data].concat().into();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut request = vec![0; 16 << 10];
                // Requests here are small: a read is a request.
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    // It ends with the target's call at the latest.
    tokio::spawn(async move {
        tokio::time::sleep(LIMIT).await;
        serving.abort();
    });
    let settings =
        CloudSettings { base: base.clone(), name: None, api_key: Some("key".into()), team_id: Some("team".into()) };
    (Cloud::new(settings).unwrap(), base)
}

/// A running agent with its own hub, for as long as the process lives.
struct Running {
    api: String,
    hub: String,
    _folder: tempfile::TempDir,
}

static AGENT: LazyLock<Running> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let written = Written {
        listen: Some("http://127.0.0.1:0".to_owned()),
        data_dir: Some(folder.path().join("data")),
        allow_root: vec![folder.path().to_owned()],
        ..Written::default()
    };
    let settings = written.build().unwrap();
    let (sender, mut notices) = mpsc::channel(64);
    // Nobody may stop it by a request of the target, so its token is not given away: `/server/stop` has one of its own.
    RUNTIME.spawn(agent::run(settings, CancellationToken::new(), sender));
    let banner = RUNTIME.block_on(async {
        loop {
            if let Some(Notice::Ready(banner)) = notices.recv().await {
                return banner;
            }
        }
    });
    RUNTIME.spawn(async move { while notices.recv().await.is_some() {} });
    let authority = |url: &str| url.trim_start_matches("http://").to_owned();
    Running { api: authority(&banner.api), hub: authority(&banner.cloud), _folder: folder }
});

/// A request to the local API, as it comes over the socket.
pub fn http_api(data: &[u8]) {
    send(&AGENT.api, data);
}

/// A request to the hub, as it comes over the socket.
pub fn http_hub(data: &[u8]) {
    send(&AGENT.hub, data);
}

fn send(address: &str, data: &[u8]) {
    // The one request that ends it by right.
    if data.windows(11).any(|window| window == b"server/stop") {
        return;
    }
    RUNTIME.block_on(async {
        let exchange = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = stream.write_all(data).await;
            let _ = stream.shutdown().await;
            let mut answer = [0; 4096];
            let mut length = 0;
            while let Ok(read @ 1..) = stream.read(&mut answer).await {
                length += read;
                assert!(length < 8 << 20, "the answer does not end");
                // A stream of events does not end by itself.
                if answer[..read].windows(17).any(|window| window == b"text/event-stream") {
                    return;
                }
            }
        };
        assert!(tokio::time::timeout(LIMIT, exchange).await.is_ok(), "no answer in time");
    });
}
