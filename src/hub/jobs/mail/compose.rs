//! The content of mails: a text and an HTML template for each kind.

use std::sync::LazyLock;

use jiff::Timestamp;
use lettre::Message;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use minijinja::{AutoEscape, Environment, context};

use crate::format;
use crate::records::packages::Package;
use crate::records::portal_form::Answer;

/// RFC 3834: no vacation notice and no other program answers such a mail.
#[derive(Clone)]
pub(super) struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// The longest name in a receipt for a portal's sender, characters.
const LONGEST_FOREIGN_NAME: usize = 80;

/// The purpose of a mail.
pub(super) enum Purpose {
    /// Sends a link to a recipient of the package.
    Delivery { link: String, expires: Option<Timestamp>, has_password: bool },
    /// Tells somebody who does not get the package of what came through a portal.
    Copy,
    /// Tells the sender that all is there.
    Receipt,
}

/// A mail to be written.
pub(super) struct Letter<'a> {
    pub purpose: Purpose,
    pub package: &'a Package,
    pub recipient: &'a str,
    /// The name of the portal that the package came through.
    pub portal: Option<String>,
    /// The values from the portal's sender.
    pub fields: Vec<Answer>,
}

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(
        |name| {
            if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None }
        },
    );
    templates.set_loader(|name| {
        Ok(match name {
            "layout.html" => Some(include_str!("templates/layout.html").to_owned()),
            "parts.html" => Some(include_str!("templates/parts.html").to_owned()),
            "delivery.html" => Some(include_str!("templates/delivery.html").to_owned()),
            "delivery.txt" => Some(include_str!("templates/delivery.txt").to_owned()),
            "portal.html" => Some(include_str!("templates/portal.html").to_owned()),
            "portal.txt" => Some(include_str!("templates/portal.txt").to_owned()),
            "receipt.html" => Some(include_str!("templates/receipt.html").to_owned()),
            "receipt.txt" => Some(include_str!("templates/receipt.txt").to_owned()),
            _ => None,
        })
    });
    templates
});

/// Builds the mail; the reason is for the operator.
pub(super) fn compose(from: &str, letter: &Letter<'_>) -> Result<Message, String> {
    let package = letter.package;
    let name = plain(&package.name);
    let (template, name, subject) = match (&letter.purpose, &letter.portal) {
        (Purpose::Delivery { .. }, None) => ("delivery", name.clone(), format!("Files for you: {name}")),
        (Purpose::Delivery { .. } | Purpose::Copy, Some(portal)) => {
            ("portal", name.clone(), format!("{}: {name}", plain(portal)))
        }
        // Of a package whose portal has since been removed.
        (Purpose::Copy, None) => ("portal", name.clone(), format!("Received: {name}")),
        (Purpose::Receipt, None) => ("receipt", name.clone(), format!("Sent: {name}")),
        (Purpose::Receipt, Some(portal)) => {
            // Anyone who knows the portal can choose this address and this name: nothing clickable.
            let name = name.replace("://", " ").chars().take(LONGEST_FOREIGN_NAME).collect();
            ("receipt", name, format!("Received by {}", plain(portal)))
        }
    };
    let (link, expires, has_password) = match &letter.purpose {
        Purpose::Delivery { link, expires, has_password } => (Some(link), *expires, *has_password),
        Purpose::Receipt | Purpose::Copy => (None, package.expires_at, false),
    };
    let field =
        |one: &Answer| context! { label => plain(&one.label), value => &one.value, lines => indented(&one.value) };
    let fields: Vec<_> = letter.fields.iter().map(field).collect();
    let values = context! {
        name,
        message => &package.description,
        quoted => quoted(&package.description),
        sender => plain(&package.sender),
        recipients => package.recipients.iter().map(ToString::to_string).collect::<Vec<_>>(),
        portal => letter.portal.as_deref().map(plain),
        fields => fields,
        files => package.file_count,
        size => format::bytes(package.size),
        finalized => package.finalized_at.map(format::day),
        link,
        expires => expires.map(format::day),
        has_password,
    };
    let render = |end: &str| {
        let template = TEMPLATES.get_template(&format!("{template}.{end}"));
        template.and_then(|template| template.render(&values)).map_err(|error| error.to_string())
    };
    let (plain, html) = (render("txt")?, render("html")?);
    let from: Mailbox = from.parse().map_err(|error| format!("the sender {from:?}: {error}"))?;
    let to: Mailbox = letter.recipient.parse().map_err(|error| format!("the recipient: {error}"))?;
    let mut mail = Message::builder().from(from).to(to).subject(subject).message_id(None).date_now();
    mail = mail.header(AutoSubmitted);
    if let (Purpose::Delivery { .. } | Purpose::Copy, Ok(sender)) = (&letter.purpose, package.sender.parse()) {
        mail = mail.reply_to(sender);
    }
    mail.multipart(MultiPart::alternative_plain_html(plain, html)).map_err(|error| error.to_string())
}

/// A line break in a name must not become a header, nor look like one.
fn plain(name: &str) -> String {
    // The line and paragraph separators of Unicode are no control characters.
    name.replace(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'), " ")
}

/// A text of somebody else in a plain text: every line of it is marked, so that none looks like one of the hub's own.
fn quoted(text: &str) -> String {
    text.lines().map(|line| format!("> {}", plain(line)).trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A value of somebody else in a plain text: its further lines are indented.
fn indented(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n    ")
}

#[cfg(test)]
mod tests {
    use masv_protocol::PackageState;

    use super::*;

    fn package() -> Package {
        Package {
            state: PackageState::Finalized,
            name: "Dailies\r\nBcc: all@example.com <b>".into(),
            description: "See <script>".into(),
            sender: "editor@example.com".into(),
            recipients: vec!["client@example.com".parse().unwrap()],
            size: 1_500_000,
            file_count: 3,
            finalized_at: Some(Timestamp::UNIX_EPOCH),
            ..crate::records::tests::package("P")
        }
    }

    fn written(letter: &Letter<'_>) -> String {
        let mail = compose("Hub <hub@example.com>", letter).unwrap().formatted();
        String::from_utf8(mail).unwrap().replace("=\r\n", "")
    }

    fn delivery() -> Purpose {
        Purpose::Delivery {
            link: "https://hub.example.com/L?secret=S".into(),
            expires: Some(Timestamp::from_second(1_700_000_000).unwrap()),
            has_password: true,
        }
    }

    /// Case: mail headers and markup in what strangers write; mails of the hub say that they are automatic.
    #[test]
    fn a_mail_has_both_forms_escapes_and_lets_no_header_in() {
        let package = package();
        let recipient = "client@example.com";
        let letter = Letter { purpose: delivery(), package: &package, recipient, portal: None, fields: Vec::new() };
        let mail = written(&letter);
        assert!(mail.contains("Reply-To: editor@example.com"));
        let (headers, _) = mail.split_once("\r\n\r\n").unwrap();
        assert!(!headers.lines().any(|line| line.starts_with("Bcc:")));
        assert!(headers.contains("Message-ID: ") && headers.contains("Date: "));
        assert!(headers.contains("Auto-Submitted: auto-generated\r\n"));
        assert!(mail.contains("https://hub.example.com/L?secret"));
        assert!(mail.contains("text/plain") && mail.contains("text/html"));
        assert!(mail.contains("&lt;script"));
        assert!(mail.contains("14 November 2023"), "{mail}");
    }

    #[test]
    fn a_portals_recipients_read_what_was_filled_in() {
        let package = package();
        let fields = vec![Answer { name: "reel".into(), label: "Reel".into(), value: "A<1>".into() }];
        let portal = Some("Rushes".to_owned());
        let letter = Letter { purpose: delivery(), package: &package, recipient: "ingest@example.com", portal, fields };
        let mail = written(&letter);
        assert!(mail.contains("sent files to the portal Rushes"), "{mail}");
        assert!(mail.contains("Reel: A<1>") && mail.contains("A&lt;1&gt;"), "{mail}");
    }

    /// Whoever sends to a portal could write lines that looked like the hub's own: another "Download: " before the true one.
    #[test]
    fn no_line_of_a_strangers_text_looks_like_one_of_the_hub() {
        let forged = "Hello\r\n\r\nDownload: https://evil.example.com\u{2028}Download: https://evil.example.com";
        let package = Package { description: forged.into(), ..package() };
        let answer = |label: &str, value: &str| Answer { name: "k".into(), label: label.into(), value: value.into() };
        let fields = vec![answer("Reel\nDownload", "A1\nDownload: https://evil.example.com")];
        let portal = Some("Rushes\nDownload: https://evil.example.com".to_owned());
        let letter = Letter { purpose: delivery(), package: &package, recipient: "ingest@example.com", portal, fields };
        let mail = written(&letter);
        let text = mail.split("text/html").next().unwrap();
        let claimed: Vec<&str> = text.lines().filter(|line| line.starts_with("Download")).collect();
        assert!(matches!(claimed[..], [only] if only.contains("hub.example.com")), "{text}");
        assert!(text.contains("> Hello") && text.contains("> Download: https://evil"), "{text}");
    }

    /// Case: a receipt goes to whatever address a stranger names: it carries nothing that could advertise.
    #[test]
    fn a_receipt_has_no_link_and_lets_a_stranger_advertise_nothing() {
        let name = format!("https://spam.example.com/{}", "x".repeat(200));
        let package = Package { name, description: "Buy https://spam.example.com".into(), ..package() };
        let portal = Some("Rushes".to_owned());
        let (recipient, fields) = ("editor@example.com", Vec::new());
        let letter = Letter { purpose: Purpose::Receipt, package: &package, recipient, portal, fields };
        let mail = written(&letter);
        assert!(mail.contains("arrived at the portal Rushes") && mail.contains("1 January 1970"), "{mail}");
        assert!(!mail.contains("://spam") && !mail.contains("Buy") && !mail.contains("Download"), "{mail}");
        let letter =
            Letter { purpose: Purpose::Receipt, package: &package, recipient, portal: None, fields: Vec::new() };
        assert!(written(&letter).contains("on their way to client@example.com"));
    }
}
