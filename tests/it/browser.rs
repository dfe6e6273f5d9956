//! A real browser: headless Chromium, driven over WebDriver by `chromedriver`.
//!
//! Where there is none, a test that wants one says so and passes; with `MASV_TESTS_NEED_BROWSER` set, as `.ci/run` does,
//! that is a failure.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};

/// An open browser window; closed when it is dropped.
pub struct Browser {
    driver: Child,
    session: String,
    client: reqwest::Client,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// A window, or `None` where no Chromium is installed.
    pub async fn start() -> Option<Self> {
        let command = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut driver = match command {
            Ok(driver) => driver,
            Err(error) => {
                let needed = std::env::var_os("MASV_TESTS_NEED_BROWSER").is_some();
                assert!(!needed, "chromedriver: {error}; install chromium and chromium-driver");
                // Past the capture of the test harness, which keeps silent about tests that pass.
                let _ = writeln!(std::io::stderr(), "SKIPPED in a browser: no chromedriver ({error})");
                return None;
            }
        };
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.filter_map(|line| {
            line.split("successfully on port ").nth(1).map(|rest| rest.trim_end_matches('.').to_owned())
        });
        let port = { port }.next().unwrap();
        let profile = tempfile::tempdir().unwrap();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(120)).build().unwrap();
        let mut arguments = vec!["--headless=new".to_owned(), "--disable-gpu".into(), "--disable-dev-shm-usage".into()];
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        if rustix::process::geteuid().is_root() {
            // Chromium's sandbox does not work for root; the pages are our own.
            arguments.push("--no-sandbox".to_owned());
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": { "args": arguments }, "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let mut browser =
            Self { driver, session: format!("http://127.0.0.1:{port}/session"), client, _profile: profile };
        let session = browser.call("", wanted).await;
        browser.session = format!("{}/{}", browser.session, session["sessionId"].as_str().unwrap());
        browser.resize(1440, 900).await;
        Some(browser)
    }

    async fn call(&self, path: &str, body: Value) -> Value {
        let answer = self.client.post(format!("{}{path}", self.session)).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let value = answer["value"].clone();
        assert!(value.get("error").is_none(), "{path}: {} {}", value["error"], value["message"]);
        value
    }

    /// An order of the DevTools protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.call("/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// The size of the page, in CSS pixels.
    pub async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700 });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// `dark` or `light`, as the system of who looks would say.
    pub async fn prefers(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    pub async fn open(&self, url: &str) {
        self.call("/url", json!({ "url": url })).await;
    }

    /// The value of an expression in the page; a promise is waited for.
    pub async fn value(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[0]; (async () => ({expression}))().then(done, (error) => done(`failed: ${{error}}`));"
        );
        self.call("/execute/async", json!({ "script": script, "args": [] })).await
    }

    /// Polls until an expression is true in the page.
    pub async fn wait_for(&self, expression: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if self.value(expression).await == Value::Bool(true) {
                return;
            }
            if Instant::now() > deadline {
                let page = self.value("document.body.innerText").await;
                panic!(
                    "not within a minute: {expression}\n{}\n{:#}",
                    page.as_str().unwrap_or_default(),
                    self.trouble().await
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Presses keys as a person does: on what has the focus.
    pub async fn press(&self, keys: &str) {
        let presses = keys.chars().flat_map(|key| {
            [
                json!({ "type": "keyDown", "value": key.to_string() }),
                json!({ "type": "keyUp", "value": key.to_string() }),
            ]
        });
        let presses: Vec<Value> = presses.collect();
        self.call("/actions", json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": presses }] })).await;
    }

    /// Clicks what a CSS selector finds first, as a person does: where it is on the screen.
    pub async fn click(&self, selector: &str) {
        let found = self.call("/element", json!({ "using": "css selector", "value": selector })).await;
        let id = found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        self.call(&format!("/element/{id}/click"), json!({})).await;
    }

    /// What the page's console says that should not be: errors, and what the content security policy stopped.
    pub async fn trouble(&self) -> Value {
        let entries = self.call("/se/log", json!({ "type": "browser" })).await;
        entries.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE").cloned().collect()
    }

    /// A picture of the page, as PNG, where `MASV_SCREENSHOTS` names a folder for them.
    pub async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("MASV_SCREENSHOTS") else { return };
        let answer = self.client.get(format!("{}/screenshot", self.session)).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let png = base64::engine::general_purpose::STANDARD.decode(answer["value"].as_str().unwrap()).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(std::path::Path::new(&folder).join(name), png).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver takes the browser with it when it is asked to, not when it is killed.
        let address = self.session.split('/').nth(2).unwrap_or_default().to_owned();
        if let Ok(mut stream) = std::net::TcpStream::connect(&address) {
            let path = self.session.split_once("/session").map_or("", |(_, rest)| rest);
            let head = format!("DELETE /session{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = std::io::Read::read(&mut stream, &mut [0; 64]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
