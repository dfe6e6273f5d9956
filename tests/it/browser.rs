//! A real browser: a headless Chromium with one page, driven over its debugging protocol; it ends when it is dropped.
//!
//! If there is none, a test that needs one says so and passes; with `MASV_TESTS_NEED_BROWSER` set, as `.ci/run` does,
//! that is a failure.

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
/// The widths at which pages are looked at, in CSS pixels: a phone, a tablet, a desktop.
pub const WIDTHS: [u32; 3] = [390, 768, 1_440];
/// The path of axe-core's script, where pages are to be examined with it; see tests/axe.sh.
const AXE: &str = "MASV_AXE";
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Browser {
    _process: Process,
    wire: Arc<Wire>,
    session: String,
    folder: tempfile::TempDir,
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Calls waiting for their responses, and unsolicited events of the browser.
struct Wire {
    next: AtomicU64,
    calls: mpsc::UnboundedSender<Message>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    events: Mutex<Vec<Value>>,
}

fn find() -> Option<PathBuf> {
    let named = std::env::var_os("MASV_CHROMIUM").map(PathBuf::from);
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let installed = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    named.into_iter().chain(installed).find(|path| path.is_file())
}

fn launch(program: &Path, profile: &Path) -> Process {
    let mut command = Command::new(program);
    command.args(["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
    command.args(["--remote-debugging-port=0", "--no-proxy-server", "--hide-scrollbars", "about:blank"]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    if rustix::process::geteuid().is_root() {
        // Chromium's sandbox does not work for root; the pages are our own.
        command.arg("--no-sandbox");
    }
    Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

impl Browser {
    /// A window with an empty page, or `None` where no Chromium is installed.
    pub async fn start() -> Option<Self> {
        let Some(program) = find() else {
            assert!(std::env::var_os(NEEDED).is_none(), "no Chromium is installed, and {NEEDED} is set");
            // Past the test's capture: whoever runs the tests should know what was not tested.
            let _ = writeln!(std::io::stderr(), "no Chromium here: the pages are not tried in a browser");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let profile = folder.path().join("profile");
        let process = launch(&program, &profile);
        let deadline = Instant::now() + PATIENCE;
        let address = || {
            let text = std::fs::read_to_string(profile.join("DevToolsActivePort")).ok()?;
            let (port, path) = text.split_once('\n')?;
            Some(format!("ws://127.0.0.1:{port}{}", path.trim())).filter(|_| path.len() > 1)
        };
        let address = loop {
            if let Some(address) = address() {
                break address;
            }
            assert!(Instant::now() < deadline, "Chromium does not come up");
            tokio::time::sleep(Duration::from_millis(30)).await;
        };
        let wire = Wire::connect(&address).await;
        let target = wire.call(None, "Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = wire.call(None, "Target.attachToTarget", attach).await;
        let browser =
            Self { _process: process, wire, session: attached["sessionId"].as_str().unwrap().to_owned(), folder };
        let allowed = json!({ "behavior": "allow", "downloadPath": browser.downloads(), "eventsEnabled": true });
        browser.devtools("Browser.setDownloadBehavior", allowed).await;
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "DOM.enable"] {
            browser.devtools(domain, json!({})).await;
        }
        // Nobody wants the bodies of requests told, which are pieces of files.
        browser.devtools("Network.enable", json!({ "maxPostDataSize": 1_024 })).await;
        browser.devtools("Emulation.setFocusEmulationEnabled", json!({ "enabled": true })).await;
        browser.resize(1440, 900).await;
        Some(browser)
    }

    fn downloads(&self) -> PathBuf {
        self.folder.path().join("downloads")
    }

    /// What a download is that the browser saves under this name, once it is complete.
    pub async fn downloaded(&self, name: &str) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.is_downloaded(name) {
                return std::fs::read(self.downloads().join(name)).unwrap();
            }
            assert!(Instant::now() < deadline, "{name} is not downloaded: {:?}", self.trouble());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn is_downloaded(&self, name: &str) -> bool {
        let events = self.wire.events.lock().unwrap();
        let of = |method: &'static str| events.iter().filter(move |event| event["method"] == method);
        let begun = of("Browser.downloadWillBegin").filter(|event| event["params"]["suggestedFilename"] == name);
        let ids: Vec<&Value> = begun.map(|event| &event["params"]["guid"]).collect();
        of("Browser.downloadProgress")
            .any(|event| event["params"]["state"] == "completed" && ids.contains(&&event["params"]["guid"]))
    }

    /// An order of the debugging protocol.
    pub async fn devtools(&self, order: &str, parameters: Value) -> Value {
        let session = (!order.starts_with("Browser.")).then_some(self.session.as_str());
        self.wire.call(session, order, parameters).await
    }

    /// Opens an address and waits until its page is complete.
    pub async fn open(&self, url: &str) {
        // The title of the previous page proves nothing about the new one.
        self.value("window.before = true").await;
        self.devtools("Page.navigate", json!({ "url": url })).await;
        self.wait_for("!window.before && document.readyState === 'complete'").await;
    }

    /// The value of an expression in the page; a promise is waited for.
    pub async fn value(&self, expression: &str) -> Value {
        let answer = self.evaluate(expression).await;
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    async fn evaluate(&self, expression: &str) -> Value {
        let wanted =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        self.devtools("Runtime.evaluate", wanted).await
    }

    /// Waits until an expression holds; one that fails meanwhile, because the page changes, does not.
    pub async fn wait_for(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.evaluate(expression).await["result"]["value"] == true {
                return;
            }
            if Instant::now() > deadline {
                let text = self.text().await;
                panic!("does not come true: {expression}\n{text}\n{:?}", self.trouble());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the page says.
    pub async fn text(&self) -> String {
        self.value("document.body.innerText").await.as_str().unwrap().to_owned()
    }

    /// Presses keys as a person does, on what has the focus; Enter, Escape, Delete and the arrows as WebDriver writes them.
    pub async fn press(&self, keys: &str) {
        for key in keys.chars() {
            let mut pressed = match key {
                '\u{e007}' => json!({ "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r" }),
                '\u{e00c}' => json!({ "key": "Escape", "code": "Escape", "windowsVirtualKeyCode": 27 }),
                '\u{e017}' => json!({ "key": "Delete", "code": "Delete", "windowsVirtualKeyCode": 46 }),
                '\u{e015}' => json!({ "key": "ArrowDown", "code": "ArrowDown", "windowsVirtualKeyCode": 40 }),
                '\u{e013}' => json!({ "key": "ArrowUp", "code": "ArrowUp", "windowsVirtualKeyCode": 38 }),
                key => json!({ "key": key.to_string(), "text": key.to_string() }),
            };
            for kind in ["keyDown", "keyUp"] {
                pressed["type"] = kind.into();
                self.devtools("Input.dispatchKeyEvent", pressed.clone()).await;
                pressed.as_object_mut().unwrap().remove("text");
            }
        }
    }

    /// Clicks what a CSS selector finds first, as a person does: where it is on the screen, once it can be seen there.
    pub async fn click(&self, selector: &str) {
        let place = format!(
            "(() => {{ const e = document.querySelector({}); if (!e) return null; e.scrollIntoView({{ block: 'nearest', behavior: 'instant' }}); \
             const r = e.getClientRects()[0]; if (!r) return null; const at = [r.x + r.width / 2, r.y + r.height / 2]; \
             const top = document.elementFromPoint(...at); return top && e.contains(top) ? at : null; }})()",
            json!(selector)
        );
        self.wait_for(&format!("{place} !== null")).await;
        let place = self.value(&place).await;
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let mut event = json!({ "type": kind, "x": place[0], "y": place[1] });
            if kind != "mouseMoved" {
                event["button"] = "left".into();
                event["clickCount"] = 1.into();
            }
            self.devtools("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Sets what is in a field.
    pub async fn fill(&self, selector: &str, value: &str) {
        self.value(&format!("document.querySelector({}).value = {}", json!(selector), json!(value))).await;
    }

    /// Chooses files in a file field.
    pub async fn choose(&self, selector: &str, files: &[&Path]) {
        let root = self.devtools("DOM.getDocument", json!({})).await;
        let found = json!({ "nodeId": root["root"]["nodeId"], "selector": selector });
        let node = self.devtools("DOM.querySelector", found).await;
        self.devtools("DOM.setFileInputFiles", json!({ "nodeId": node["nodeId"], "files": files })).await;
    }

    /// Drags files or folders of the disk in and drops them.
    pub async fn drop_files(&self, selector: &str, files: &[&Path]) {
        let middle = format!(
            "(() => {{ const e = document.querySelector({}); e.scrollIntoView({{ block: 'center' }}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 4]; }})()",
            json!(selector)
        );
        let middle = self.value(&middle).await;
        let data = json!({ "items": [], "files": files, "dragOperationsMask": 1 });
        for kind in ["dragEnter", "dragOver", "drop"] {
            let event = json!({ "type": kind, "x": middle[0], "y": middle[1], "data": data });
            self.devtools("Input.dispatchDragEvent", event).await;
        }
    }

    /// Bytes per second that may be sent; -1 is any number.
    pub async fn send_slowly(&self, bytes: i64) {
        let conditions = json!({ "offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes });
        self.devtools("Network.emulateNetworkConditions", conditions).await;
    }

    /// `dark` or `light`, as the system of who looks would say.
    pub async fn prefers(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// The size of the page, in CSS pixels.
    pub async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700 });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// A picture of the window, as PNG, where `MASV_SCREENSHOTS` names a folder for them.
    pub async fn picture(&self, name: &str) {
        self.take(name, false).await;
    }

    /// A picture of the whole page, beyond the window.
    pub async fn whole_picture(&self, name: &str) {
        self.take(name, true).await;
    }

    async fn take(&self, name: &str, beyond: bool) {
        let Some(folder) = std::env::var_os(PICTURES) else { return };
        let picture = self.devtools("Page.captureScreenshot", json!({ "captureBeyondViewport": beyond })).await;
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(Path::new(&folder).join(name), bytes).unwrap();
    }

    /// What went wrong in the page so far: exceptions, errors on its console, refused resources, breaches of its policy.
    pub fn trouble(&self) -> Vec<String> {
        let events = self.wire.events.lock().unwrap();
        let bad = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            _ => false,
        };
        let of_page = events.iter().filter(|event| event["sessionId"] == self.session.as_str());
        of_page.filter(bad).map(Value::to_string).collect()
    }

    /// Asserts what everybody needs to use the page: its language, a heading, names for all that can be operated, nothing wider than the
    /// window, and text that stands out from its ground (WCAG AA).
    ///
    /// Where `MASV_AXE` names the script of axe-core, that must find nothing serious either.
    pub async fn assert_accessible(&self) {
        let problems = self.value(ACCESSIBLE).await;
        assert_eq!(problems, json!([]), "on {}", self.value("location.pathname").await);
        let Some(script) = std::env::var_os(AXE) else { return };
        self.evaluate(&std::fs::read_to_string(script).unwrap()).await;
        let serious = self.value(SERIOUS).await;
        assert_eq!(serious, json!([]), "axe, on {}", self.value("location.href").await);
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

/// What axe finds that keeps people out, or makes something hard for them.
const SERIOUS: &str = r#"(async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
    .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 200)}: ${node.failureSummary}`));
})()"#;
