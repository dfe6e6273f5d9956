//! Mails through a mail server that others wrote: encrypted both ways, with a login, refused for a while.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use masv_hub::SmtpConfig;
use reqwest::Method;
use serde_json::json;

use super::client::{TestHub, good, wait_until};

/// With this variable set, a missing server fails the test instead of skipping it.
const NEEDED: &str = "MASV_NEED_SMTP";

pub struct MailServer {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl MailServer {
    /// Starts one that refuses the first `refusals` mails for now; none where Python has no aiosmtpd.
    pub fn start(encryption: &str, refusals: u32) -> Option<Self> {
        let python = std::env::var_os("MASV_SMTP_PYTHON").unwrap_or_else(|| "python3".into());
        let probe = Command::new(&python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        if !probe.is_ok_and(|status| status.success()) {
            assert!(std::env::var_os(NEEDED).is_none(), "Python has no aiosmtpd, and {NEEDED} is set");
            let _ = writeln!(std::io::stderr(), "no aiosmtpd here: mails are not sent to a real server");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smtp_server.py");
        let mut command = Command::new(python);
        command.arg(script).arg(encryption).arg(folder.path()).arg(refusals.to_string());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Some(Self { process, port: line.trim().parse().unwrap(), folder })
    }

    pub fn settings(&self, url: &str, password: &str) -> SmtpConfig {
        SmtpConfig {
            url: url.replace("PORT", &self.port.to_string()),
            username: Some("hub".into()),
            password: Some(password.to_owned().into()),
            authority: Some(self.folder.path().join("cert.pem")),
        }
    }

    /// The flags with which an agent sends its mails by it; the password is in a file in this folder.
    pub fn flags(&self, folder: &Path) -> Vec<String> {
        let password = folder.join("smtp-password");
        std::fs::write(&password, "mail secret").unwrap();
        std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let url = format!("smtp://localhost:{}?tls=required", self.port);
        let flags = [
            ("--hub-smtp-url", url),
            ("--hub-smtp-user", "hub".to_owned()),
            ("--hub-smtp-password-file", password.display().to_string()),
            ("--hub-smtp-ca", self.folder.path().join("cert.pem").display().to_string()),
        ];
        flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
    }

    /// Envelope and content of what was taken.
    pub fn taken(&self) -> Vec<String> {
        let is_mail = |path: &PathBuf| path.extension().is_some_and(|end| end == "mail");
        let found = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()).filter(is_mail);
        found
            .map(|path: PathBuf| std::fs::read_to_string(path).unwrap().replace("=\r\n", "").replace("=\n", ""))
            .collect()
    }
}

fn problem(data: &Path) -> Option<String> {
    let connection = rusqlite::Connection::open(data.join("hub.db")).unwrap();
    connection
        .query_row("SELECT problem FROM mail WHERE attempts > 0 AND problem IS NOT NULL", [], |row| row.get(0))
        .ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_go_by_starttls_and_by_tls_with_a_login() {
    for (encryption, url) in [("starttls", "smtp://localhost:PORT?tls=required"), ("tls", "smtps://localhost:PORT")] {
        let Some(server) = MailServer::start(encryption, 0) else { return };
        let hub = TestHub::start_with(|config| {
            config.smtp = Some(server.settings(url, "mail secret"));
            config.mail_from = "Post House <hub@example.com>".into();
        })
        .await;
        let body = json!({
            "name": "Dailies Tür 7", "recipients": ["client@example.com"], "sender": "editor@example.com",
            "description": "Take <3>",
        });
        hub.sent_package(body, b"x").await;
        let mails = wait_until(|| Some(server.taken()).filter(|mails| mails.len() == 2)).await;
        let to = |address: &str| mails.iter().find(|mail| mail.contains(&format!("RCPT TO {address}"))).unwrap();
        let delivery = to("client@example.com");
        for part in [
            "MAIL FROM hub@example.com",
            "AUTH hub",
            "TLS yes",
            "Reply-To: editor@example.com",
            "multipart/alternative",
            "Download: http",
            "Take <3>",
            "Take &lt;3",
        ] {
            assert!(delivery.contains(part), "{encryption}: {part} in {delivery}");
        }
        assert!(to("editor@example.com").contains("on their way to client@example.com"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_refused_for_now_is_tried_again_and_a_wrong_password_is_told() {
    let Some(server) = MailServer::start("starttls", 1) else { return };
    let url = "smtp://localhost:PORT?tls=required";
    let hub = TestHub::start_with(|config| config.smtp = Some(server.settings(url, "mail secret"))).await;
    hub.sent_package(json!({ "name": "Later", "recipients": ["client@example.com"] }), b"x").await;
    let reason = wait_until(|| problem(&hub.data())).await;
    assert!(reason.contains("451"), "{reason}");
    assert_eq!(server.taken().len(), 0);
    let connection = rusqlite::Connection::open(hub.data().join("hub.db")).unwrap();
    connection.execute("UPDATE mail SET due_at = 0 WHERE sent_at IS NULL", []).unwrap();
    drop(connection);
    good(hub.team_request(Method::POST, &format!("/v1/teams/{}/packages", hub.team)).json(&json!({ "name": "wakes" })))
        .await;
    wait_until(|| (server.taken().len() == 1).then_some(())).await;

    let hub = TestHub::start_with(|config| config.smtp = Some(server.settings(url, "wrong"))).await;
    hub.sent_package(json!({ "name": "Never", "recipients": ["client@example.com"] }), b"x").await;
    let reason = wait_until(|| problem(&hub.data())).await;
    assert!(reason.contains("535") && !reason.contains("wrong"), "{reason}");
    assert_eq!(server.taken().len(), 1);

    // A server with an untrusted certificate gets neither the password nor the mail.
    let hub = TestHub::start_with(|config| {
        let settings = server.settings(url, "mail secret");
        config.smtp = Some(SmtpConfig { authority: None, ..settings });
    })
    .await;
    hub.sent_package(json!({ "name": "Never", "recipients": ["client@example.com"] }), b"x").await;
    let reason = wait_until(|| problem(&hub.data())).await;
    assert!(reason.to_lowercase().contains("certificate"), "{reason}");
    assert_eq!(server.taken().len(), 1);
}
