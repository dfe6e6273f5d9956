//! A headless Chromium, driven over its debugging protocol; it ends when it is dropped.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;

/// With this variable set, a missing browser fails the test instead of skipping it.
const NEEDED: &str = "MASV_TESTS_NEED_BROWSER";
/// Where pictures of the pages go; without it none are taken.
const PICTURES: &str = "MASV_SCREENSHOTS";
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Browser {
    process: Child,
    wire: Arc<Wire>,
    folder: tempfile::TempDir,
}

/// Calls that wait for their answers, and what the browser told unasked.
struct Wire {
    next: AtomicU64,
    calls: mpsc::UnboundedSender<Message>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    events: Mutex<Vec<Value>>,
}

pub struct Page {
    wire: Arc<Wire>,
    session: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn find() -> Option<PathBuf> {
    let named = std::env::var_os("MASV_CHROMIUM").map(PathBuf::from);
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let installed = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    named.into_iter().chain(installed).find(|path| path.is_file())
}

impl Browser {
    /// Starts one, where there is one.
    pub async fn start() -> Option<Self> {
        let Some(program) = find() else {
            assert!(std::env::var_os(NEEDED).is_none(), "no Chromium is installed, and {NEEDED} is set");
            // Past the test's capture: whoever runs the tests is to know what they did not try.
            let _ = writeln!(std::io::stderr(), "no Chromium here: the pages are not tried in a browser");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        command.args(["--remote-debugging-port=0", "--no-proxy-server", "--hide-scrollbars", "about:blank"]);
        command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let written = folder.path().join("profile/DevToolsActivePort");
        let (deadline, address) = (Instant::now() + PATIENCE, || {
            let text = std::fs::read_to_string(&written).ok()?;
            let (port, path) = text.split_once('\n')?;
            Some(format!("ws://127.0.0.1:{port}{}", path.trim())).filter(|_| path.len() > 1)
        });
        let address = loop {
            if let Some(address) = address() {
                break address;
            }
            assert!(Instant::now() < deadline, "Chromium does not come up");
            tokio::time::sleep(Duration::from_millis(30)).await;
        };
        let wire = Wire::connect(&address).await;
        Some(Self { process, wire, folder })
    }

    /// Where downloads go.
    pub fn downloads(&self) -> PathBuf {
        self.folder.path().join("downloads")
    }

    pub async fn open(&self, url: &str) -> Page {
        let allowed = json!({ "behavior": "allow", "downloadPath": self.downloads(), "eventsEnabled": false });
        self.wire.call(None, "Browser.setDownloadBehavior", allowed).await;
        let target = self.wire.call(None, "Target.createTarget", json!({ "url": "about:blank" })).await;
        let attached = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.wire.call(None, "Target.attachToTarget", attached).await;
        let page = Page { wire: Arc::clone(&self.wire), session: attached["sessionId"].as_str().unwrap().to_owned() };
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "DOM.enable", "Network.enable"] {
            page.call(domain, json!({})).await;
        }
        page.go(url).await;
        page
    }
}

impl Wire {
    async fn connect(address: &str) -> Arc<Self> {
        let (socket, _) = tokio_tungstenite::connect_async(address).await.unwrap();
        let (mut write, mut read) = socket.split();
        let (calls, mut to_send) = mpsc::unbounded_channel();
        let wire =
            Arc::new(Self { next: AtomicU64::new(1), calls, waiting: Mutex::default(), events: Mutex::default() });
        tokio::spawn(async move {
            while let Some(message) = to_send.recv().await {
                if write.send(message).await.is_err() {
                    return;
                }
            }
        });
        let heard = Arc::clone(&wire);
        tokio::spawn(async move {
            while let Some(Ok(message)) = read.next().await {
                let Message::Text(text) = message else { continue };
                let value: Value = serde_json::from_str(&text).unwrap();
                match value["id"].as_u64() {
                    Some(id) => {
                        let waiting = heard.waiting.lock().unwrap().remove(&id);
                        if let Some(waiting) = waiting {
                            let _ = waiting.send(value);
                        }
                    }
                    None => heard.events.lock().unwrap().push(value),
                }
            }
        });
        wire
    }

    async fn call(&self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().unwrap().insert(id, sender);
        let mut call = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            call["sessionId"] = session.into();
        }
        self.calls.send(Message::text(call.to_string())).unwrap();
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let answer = answer.unwrap_or_else(|_| panic!("{method} is not answered")).unwrap();
        assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }
}

impl Page {
    pub async fn call(&self, method: &str, parameters: Value) -> Value {
        self.wire.call(Some(&self.session), method, parameters).await
    }

    /// Opens an address and waits until its page is complete.
    pub async fn go(&self, url: &str) {
        self.call("Page.navigate", json!({ "url": url })).await;
        self.wait_for(&format!("document.readyState === 'complete' && location.href === {}", json!(url))).await;
    }

    /// The value of an expression in the page.
    pub async fn eval(&self, expression: &str) -> Value {
        let wanted =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let answer = self.call("Runtime.evaluate", wanted).await;
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Waits until an expression holds; one that fails meanwhile, because the page changes, does not.
    pub async fn wait_for(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let wanted = json!({ "expression": expression, "returnByValue": true });
            let answer = self.call("Runtime.evaluate", wanted).await;
            if answer["result"]["value"] == true {
                return;
            }
            if Instant::now() > deadline {
                let text = self.eval("document.body.innerText").await;
                panic!(
                    "does not come true: {expression}\n{}\n{:?}",
                    text.as_str().unwrap_or_default(),
                    self.complaints()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn text(&self) -> String {
        self.eval("document.body.innerText").await.as_str().unwrap().to_owned()
    }

    pub async fn fill(&self, selector: &str, value: &str) {
        self.eval(&format!("document.querySelector({}).value = {}", json!(selector), json!(value))).await;
    }

    pub async fn click(&self, selector: &str) {
        self.eval(&format!("document.querySelector({}).click()", json!(selector))).await;
    }

    /// Chooses files in a file field.
    pub async fn choose(&self, selector: &str, files: &[&Path]) {
        let root = self.call("DOM.getDocument", json!({})).await;
        let found = json!({ "nodeId": root["root"]["nodeId"], "selector": selector });
        let node = self.call("DOM.querySelector", found).await;
        self.call("DOM.setFileInputFiles", json!({ "nodeId": node["nodeId"], "files": files })).await;
    }

    /// Drags files or folders of the disk in and drops them.
    pub async fn drop_files(&self, selector: &str, files: &[&Path]) {
        let middle = format!(
            "(() => {{ const e = document.querySelector({}); e.scrollIntoView({{ block: 'center' }}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 4]; }})()",
            json!(selector)
        );
        let middle = self.eval(&middle).await;
        let data = json!({ "items": [], "files": files, "dragOperationsMask": 1 });
        for kind in ["dragEnter", "dragOver", "drop"] {
            let event = json!({ "type": kind, "x": middle[0], "y": middle[1], "data": data });
            self.call("Input.dispatchDragEvent", event).await;
        }
    }

    /// Bytes a second that may be sent; -1 is any number.
    pub async fn send_slowly(&self, bytes: i64) {
        let conditions = json!({ "offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes });
        self.call("Network.emulateNetworkConditions", conditions).await;
    }

    pub async fn dark(&self, dark: bool) {
        let scheme = json!({ "name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" } });
        self.call("Emulation.setEmulatedMedia", json!({ "features": [scheme] })).await;
    }

    pub async fn width(&self, width: u32) {
        let phone = width < 600;
        let metrics = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// A picture of the whole page, where somebody wants pictures.
    pub async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os(PICTURES) else { return };
        let picture = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true })).await;
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
    }

    /// What went wrong in the page so far: exceptions, refused resources, breaches of its policy.
    pub fn complaints(&self) -> Vec<String> {
        let events = self.wire.events.lock().unwrap();
        let bad = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            _ => false,
        };
        events
            .iter()
            .filter(|event| event["sessionId"] == self.session.as_str())
            .filter(bad)
            .map(Value::to_string)
            .collect()
    }

    /// Asserts what everybody needs to use the page: its language, a heading, names for all that can be operated, nothing wider than the
    /// window, and text that stands out from its ground (WCAG AA).
    pub async fn assert_accessible(&self) {
        let problems = self.eval(ACCESSIBLE).await;
        assert_eq!(problems, json!([]), "on {}", self.eval("location.pathname").await);
    }
}

const ACCESSIBLE: &str = r#"(() => {
  const problems = [];
  const seen = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  if (!document.documentElement.lang) problems.push("no language");
  if (!document.title) problems.push("no title");
  if ([...document.querySelectorAll("h1")].filter(seen).length !== 1) problems.push("not one h1");
  for (const e of document.querySelectorAll("input, textarea, select")) {
    const labelled = [...e.labels].some((label) => label.textContent.trim()) || e.getAttribute("aria-label");
    if (e.type !== "hidden" && !labelled) problems.push(`no label: ${e.id}`);
  }
  for (const e of document.querySelectorAll("a, button, summary")) {
    if (seen(e) && !(e.getAttribute("aria-label") || e.textContent).trim()) problems.push(`no name: ${e.outerHTML}`);
  }
  for (const e of document.querySelectorAll("img")) if (!e.hasAttribute("alt")) problems.push(`no alt: ${e.src}`);
  if (document.documentElement.scrollWidth > innerWidth) problems.push(`wider than the window: ${document.documentElement.scrollWidth}`);
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const color = rgb(getComputedStyle(e).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !seen(e) || e.closest(":disabled") || ["OPTION", "NOSCRIPT", "SCRIPT"].includes(e.tagName)) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) problems.push(`contrast ${ratio.toFixed(2)}: ${e.textContent.trim().slice(0, 40)}`);
  }
  return problems;
})()"#;
