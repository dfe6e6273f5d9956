//! The pages that show a file before it is downloaded, in a real browser.

use base64::Engine;
use reqwest::Method;
use serde_json::json;

use super::client::{TestHub, good, text};
use crate::browser::Browser;

/// A picture of one red point.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

/// A second of silence, 8,000 samples of 8 bits.
fn wav() -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(36_u32 + 8000).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    for word in [16_u32, 1 | 1 << 16, 8000, 8000, 1 | 8 << 16] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&8000_u32.to_le_bytes());
    bytes.resize(44 + 8000, 0x80);
    bytes
}

/// A picture is shown, sound has its length, text is read; the browser finds nothing that its policy forbids, and who steps from one to the next
/// needs no script and no mouse.
#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_sees_what_was_sent_before_downloading_it() {
    let Some(page) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Stills & sound", "sender": "dit@example.com" })).await;
    let png = base64::engine::general_purpose::STANDARD.decode(PNG).unwrap();
    package.send("", "1 still.png", &[&png]).await;
    package.send("", "2 sound.wav", &[&wav()]).await;
    package.send("", "3 notes.txt", &["Take 3 is <b>good</b>.\n".as_bytes()]).await;
    good(package.request(Method::POST, "/finalize")).await;
    let link = package.new_link(json!({})).await;
    page.open(&text(&link, "url")).await;
    page.assert_accessible().await;
    page.whole_picture("link-with-view.png").await;
    page.click("a.see").await;
    page.wait_for("document.querySelector('.view img')?.naturalWidth === 1").await;
    for (scheme, width, name) in
        [("light", 1100, "view-light"), ("dark", 1100, "view-dark"), ("light", 390, "view-phone")]
    {
        page.prefers(scheme).await;
        page.resize(width, 800).await;
        page.assert_accessible().await;
        page.whole_picture(&format!("{name}.png")).await;
    }
    page.prefers("light").await;
    page.resize(1100, 800).await;
    page.click("a[rel=next]").await;
    page.wait_for("document.querySelector('.view audio')?.duration === 1").await;
    page.assert_accessible().await;
    page.click("a[rel=next]").await;
    page.wait_for("document.querySelector('.view iframe') !== null && document.title === '3 notes.txt'").await;
    page.assert_accessible().await;
    page.whole_picture("view-text.png").await;
    assert_eq!(page.value("document.querySelector('a[rel=next]')").await, serde_json::Value::Null);
    page.click("a.button[download]").await;
    assert_eq!(page.downloaded("3 notes.txt").await, b"Take 3 is <b>good</b>.\n");
    assert_eq!(page.trouble(), Vec::<String>::new());
}
