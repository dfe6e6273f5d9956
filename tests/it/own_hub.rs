//! The agent's own hub, set up to be reached by others: links and mails that people get.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::hub::smtp::MailServer;
use crate::process::Agent;

/// Where recipients reach the hub.
const NAME: &str = "send.example.com";
const SOON: Duration = Duration::from_secs(30);

/// A port that is free now. The agent remembers the port of a link, so the system cannot choose one for it.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn certificate(folder: &Path) -> String {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

fn sent(agent: &Agent) -> Value {
    let uploads = agent.wait_for("what was dropped is sent", SOON, |uploads| {
        uploads.iter().any(|upload| upload["state"] == "complete")
    });
    uploads[0].clone()
}

/// Links of the own hub led to this machine only, and nothing could be done about it.
#[tokio::test(flavor = "multi_thread")]
async fn links_lead_where_the_rules_say_that_recipients_reach_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = certificate(folder.path());
    let port = free_port();
    let rules = format!(
        "hub:\n  listen: 127.0.0.1:{port}\n  public_url: https://{NAME}:{port}\n  \
         tls: {{ certificate: cert.pem, key: key.pem }}\n\
         rules:\n  - name: quick\n    watch: drop\n    create: true\n    settle: 200ms\n    package: file\n    \
         upload: {{ kind: link }}\n"
    );
    let mut agent = Agent::start_in(folder, &rules, &[]);
    std::fs::write(agent.path("drop/clip.mov"), b"the film").unwrap();
    let link = sent(&agent)["links"][0]["url"].as_str().unwrap().to_owned();
    assert!(link.starts_with(&format!("https://{NAME}:{port}/")), "{link}");

    let client = reqwest::Client::builder()
        .no_proxy()
        .resolve(NAME, ([127, 0, 0, 1], port).into())
        .tls_certs_only([reqwest::Certificate::from_pem(trusted.as_bytes()).unwrap()])
        .build()
        .unwrap();
    let page = client.get(&link).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("clip.mov"));

    // Whoever looks is told of the mails alone, and a restart keeps the link.
    let limited = |agent: &Agent| agent.json(&["server", "status"])["limitations"].as_array().unwrap().clone();
    assert_eq!(limited(&agent).iter().map(|one| one["of"].clone()).collect::<Vec<_>>(), ["mails"]);
    agent.stop();
    agent.go_on();
    assert_eq!(client.get(&link).send().await.unwrap().status(), 200);

    // Another address needs a restart, and says so instead of half doing it.
    let other = rules.replace(NAME, "other.example.com");
    std::fs::write(agent.path("rules.yaml"), format!("version: 1\n{other}")).unwrap();
    let refused = agent.masv(&["server", "reload"]);
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.contains("`hub` has changed") && refused.contains("restarted"), "{refused}");
}

/// Mails of the own hub became files that nobody reads; it could not be given a mail server.
#[tokio::test(flavor = "multi_thread")]
async fn mails_go_through_the_mail_server_of_the_settings() {
    let Some(server) = MailServer::start("starttls", 0) else { return };
    let settings = server.settings("smtp://localhost:PORT?tls=required", "");
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("smtp-password");
    std::fs::write(&secret, "mail secret\n").unwrap();
    keep_private(&secret);
    let authority = settings.authority.unwrap().display().to_string();
    let config = format!(
        "hub:\n  smtp-url: {}\n  smtp-user: hub\n  smtp-password-file: {}\n  smtp-ca: {authority}\n  \
         mail-from: Post House <post@example.com>\n",
        settings.url,
        secret.display(),
    );
    std::fs::write(folder.path().join("agent.yaml"), config).unwrap();
    let rules = "rules:\n  - name: mailed\n    watch: drop\n    create: true\n    settle: 200ms\n    package: file\n    \
                 upload: { kind: email, emails: [client@example.com] }\n";
    let agent = Agent::start_in(folder, rules, &["--config", "agent.yaml"]);
    std::fs::write(agent.path("drop/clip.mov"), b"the film").unwrap();
    sent(&agent);
    let mail = crate::hub::client::wait_until(|| {
        server.taken().into_iter().find(|mail| mail.contains("RCPT TO client@example.com"))
    });
    let mail = mail.await;
    assert!(mail.contains("MAIL FROM post@example.com") && mail.contains("clip.mov"), "{mail}");
    let limitations = agent.json(&["server", "status"])["limitations"].as_array().unwrap().clone();
    assert_eq!(limitations.iter().map(|one| one["of"].clone()).collect::<Vec<_>>(), ["links"]);
}

/// Readable by its owner alone.
fn keep_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// What `masv setup` writes is a rules file with which the agent sends, to people beyond this machine.
#[tokio::test(flavor = "multi_thread")]
async fn what_setup_writes_is_what_the_agent_runs_with() {
    let port = free_port();
    let mut agent = Agent::prepare("", &["--rules", "made/rules.yaml"]);
    let (listen, public) = (format!("127.0.0.1:{port}"), format!("http://localhost.localdomain:{port}"));
    let setup = |more: &[&str]| {
        let basis = ["setup", "--yes", "--file", "made/rules.yaml", "--listen", &listen, "--public-url", &public];
        agent.masv(&[&basis, more].concat())
    };
    let made = setup(&["--watch", "in tray"]);
    let said: Value = serde_json::from_slice(&made.stdout).unwrap_or_else(|_| panic!("{made:?}"));
    assert_eq!(said["watch"], agent.path("made/in tray").to_str().unwrap());
    let written = std::fs::read_to_string(agent.path("made/rules.yaml")).unwrap();
    assert!(written.contains(&format!("public_url: \"{public}\"")), "{written}");

    let again = setup(&[]);
    let refused = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && refused.contains("already exists") && refused.contains("--force"), "{refused}");

    let mut rules = written.replace("quiet: 30s", "quiet: 300ms");
    rules = rules.replace("    create: true\n", "    create: true\n    settle: 200ms\n");
    std::fs::write(agent.path("made/rules.yaml"), rules).unwrap();
    agent.go_on();
    std::fs::write(agent.path("made/in tray/clip.mov"), b"the film").unwrap();
    let link = sent(&agent)["links"][0]["url"].as_str().unwrap().to_owned();
    assert!(link.starts_with(&public), "{link}");

    // The agent listens there now, so that another one could not.
    let taken = agent.masv(&["setup", "--yes", "--file", "other.yaml", "--listen", &listen]);
    let refused = String::from_utf8_lossy(&taken.stderr);
    assert!(refused.contains("cannot listen on") && refused.contains("another port"), "{refused}");
    assert!(!agent.path("other.yaml").exists(), "nothing is written where something does not work");
}

/// A mail server that refuses the password is found out before anything is written.
#[tokio::test(flavor = "multi_thread")]
async fn setup_tries_the_mail_server() {
    let Some(server) = MailServer::start("tls", 0) else { return };
    let settings = server.settings("smtps://localhost:PORT", "");
    let agent = Agent::prepare("", &[]);
    let authority = settings.authority.unwrap().display().to_string();
    let setup = |password: &str| {
        let secret = agent.path("password");
        std::fs::write(&secret, password).unwrap();
        keep_private(&secret);
        agent.masv(&[
            "setup",
            "--yes",
            "--smtp-url",
            &settings.url,
            "--smtp-user",
            "hub",
            "--smtp-password-file",
            "password",
            "--smtp-ca",
            &authority,
            "--mail-from",
            "Post <post@example.com>",
            "--email",
            "client@example.com",
        ])
    };
    let refused = setup("wrong");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("the mail server") && said.contains("password"), "{said}");
    assert!(!agent.path("rules.yaml").exists());
    let made = setup("mail secret");
    assert!(made.status.success(), "{made:?}");
    let check = agent.masv(&["rule", "check", "rules.yaml", "--output", "text"]);
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(
        check.status.success() && said.contains("links work on this machine only") && !said.contains("e-mails are not"),
        "{said}"
    );
}
