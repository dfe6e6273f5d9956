//! Mail: written in the transaction that makes it necessary, sent from there.
//!
//! Without a mail server every mail becomes an `.eml` file in `outbox/`, which any mail program opens, and a line in the log.

use std::path::{Path, PathBuf};

use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use minijinja::{Environment, context};
use rusqlite::{Connection, params};
use tokio_util::sync::CancellationToken;

use super::error::Refusal;
use super::routes::packages::Package;
use super::{Hub, now, private_folder};
use crate::db::DbError;

/// Mails written as files at once.
const BATCH: u32 = 64;

/// Writes the mail that tells `recipient` of a finalized package.
pub(super) fn write(connection: &Connection, package: &Package, recipient: &str, url: &str) -> Result<(), Refusal> {
    let mut templates = Environment::new();
    let mut add = |name, text| templates.add_template(name, text).map_err(|error| Refusal::internal(&error));
    add("mail.txt", include_str!("templates/mail.txt"))?;
    add("mail.html", include_str!("templates/mail.html"))?;
    let values = context! {
        name => &package.name, description => &package.description, sender => &package.sender, url,
        files => package.files, size => super::pages::size(package.size.unsigned_abs()),
        portal => package.portal.is_some(), password => package.password_hash.is_some(),
        expires => package.expires_at.map(|at| super::wire_time(Some(at))[..10].to_owned()),
    };
    let render = |name: &str| {
        templates
            .get_template(name)
            .and_then(|template| template.render(&values))
            .map_err(|error| Refusal::internal(&error))
    };
    // A line break in a name must not become a header.
    let name: String = package.name.chars().filter(|character| !character.is_control()).collect();
    connection
        .prepare_cached("INSERT INTO mail (recipient, subject, text, html, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            recipient,
            format!("{name} is ready for you"),
            render("mail.txt")?,
            render("mail.html")?,
            now()
        ])?;
    Ok(())
}

struct Mail {
    id: i64,
    recipient: String,
    subject: String,
    text: String,
    html: String,
}

/// Sends what is written until `shutdown`.
pub(super) async fn send_all(hub: Hub, shutdown: CancellationToken) {
    loop {
        match send_batch(&hub).await {
            Ok(0) => {}
            Ok(_) => continue,
            Err(error) => tracing::error!(error, "mail cannot be sent; trying again with the next"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = hub.inner.mail.notified() => {}
        }
    }
}

async fn send_batch(hub: &Hub) -> Result<usize, String> {
    let read = |connection: &Connection| {
        let mut statement =
            connection.prepare_cached("SELECT id, recipient, subject, text, html FROM mail ORDER BY id LIMIT ?1")?;
        let mails = statement.query_map([BATCH], |row| {
            Ok(Mail {
                id: row.get(0)?,
                recipient: row.get(1)?,
                subject: row.get(2)?,
                text: row.get(3)?,
                html: row.get(4)?,
            })
        })?;
        Ok::<_, DbError>(mails.collect::<Result<Vec<_>, _>>()?)
    };
    let mails = hub.inner.database.read(read).await.map_err(|error| error.to_string())?;
    let sent = mails.len();
    for mail in mails {
        let id = mail.id;
        let outbox = hub.inner.data_dir.join("outbox");
        let path = tokio::task::spawn_blocking(move || write_file(&outbox, mail)).await;
        match path {
            Ok(Ok((path, recipient))) => tracing::info!(recipient, path = %path.display(), "mail written"),
            Ok(Err(reason)) => return Err(reason),
            Err(error) => return Err(error.to_string()),
        }
        let delete = move |connection: &Connection| {
            connection.prepare_cached("DELETE FROM mail WHERE id = ?1")?.execute([id])?;
            Ok::<_, DbError>(())
        };
        hub.inner.database.write(delete).await.map_err(|error| error.to_string())?;
    }
    Ok(sent)
}

/// Writes a mail as a file; the same mail twice is the same file.
fn write_file(outbox: &Path, mail: Mail) -> Result<(PathBuf, String), String> {
    private_folder(outbox).map_err(|error| error.to_string())?;
    let path = outbox.join(format!("{:010}.eml", mail.id));
    let bytes = match message(&mail) {
        Ok(message) => message.formatted(),
        // An address that no mail program takes must not hold up the others.
        Err(reason) => {
            tracing::warn!(recipient = mail.recipient, reason, "the address makes no mail");
            format!("To: {}\r\nSubject: {}\r\n\r\n{}", one_line(&mail.recipient), one_line(&mail.subject), mail.text)
                .into_bytes()
        }
    };
    std::fs::write(&path, bytes).map_err(|error| error.to_string())?;
    Ok((path, mail.recipient))
}

fn one_line(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

fn message(mail: &Mail) -> Result<Message, String> {
    let recipient: Mailbox = mail.recipient.parse().map_err(|error| format!("{error}"))?;
    let sender = Address::new("hub", "localhost").map_err(|error| error.to_string())?;
    Message::builder()
        .from(Mailbox::new(Some("masv hub".to_owned()), sender))
        .to(recipient)
        .subject(&mail.subject)
        .multipart(MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone()))
        .map_err(|error| error.to_string())
}
