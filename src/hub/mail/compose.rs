//! The mail that tells a recipient of a package.

use lettre::Message;
use lettre::message::{Mailbox, MultiPart};
use minijinja::{AutoEscape, Environment, context};

use crate::hub::packages::Package;
use crate::hub::units;

/// What a mail says.
pub(super) struct Delivery<'a> {
    pub package: &'a Package,
    pub recipient: &'a str,
    pub link: String,
    pub expires: Option<i64>,
    pub has_password: bool,
    /// The name of the portal that it came through.
    pub portal: Option<String>,
}

const TEXT: &str = include_str!("delivery.txt");
const HTML: &str = include_str!("delivery.html");

/// Builds the mail; the reason is for the operator.
pub(super) fn compose(from: &str, delivery: &Delivery<'_>) -> Result<Message, String> {
    let package = delivery.package;
    // A line break in a name must not become a header, nor look like one.
    let name: String =
        package.name.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    let values = context! {
        name => &name,
        message => &package.description,
        sender => &package.sender,
        portal => &delivery.portal,
        files => package.file_count,
        size => units::bytes(package.size),
        link => &delivery.link,
        expires => delivery.expires.map(units::day),
        has_password => delivery.has_password,
    };
    let text = |error: minijinja::Error| error.to_string();
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|name| if name == "html" { AutoEscape::Html } else { AutoEscape::None });
    let plain = templates.render_named_str("text", TEXT, &values).map_err(text)?;
    let html = templates.render_named_str("html", HTML, &values).map_err(text)?;
    let from: Mailbox = from.parse().map_err(|error| format!("the sender {from:?}: {error}"))?;
    let to: Mailbox = delivery.recipient.parse().map_err(|error| format!("the recipient: {error}"))?;
    let mut mail = Message::builder().from(from).to(to).subject(format!("Files for you: {name}"));
    if let Ok(sender) = package.sender.parse() {
        mail = mail.reply_to(sender);
    }
    mail.multipart(MultiPart::alternative_plain_html(plain, html)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package() -> Package {
        Package {
            id: "P".into(),
            team_id: "T".into(),
            portal_id: None,
            state: "finalized".into(),
            name: "Dailies\r\nBcc: all@example.com <b>".into(),
            description: "See <script>".into(),
            sender: "editor@example.com".into(),
            recipients: Vec::new(),
            password_hash: None,
            access_limit: None,
            expiry_days: None,
            unlimited_storage: false,
            tag_id: None,
            teamspace_id: None,
            metadata: serde_json::Value::Null,
            size: 1_500_000,
            file_count: 3,
            created_at: 0,
            updated_at: 0,
            finalized_at: Some(0),
            expires_at: None,
        }
    }

    #[test]
    fn a_mail_has_both_forms_escapes_and_lets_no_header_in() {
        let package = package();
        let delivery = Delivery {
            package: &package,
            recipient: "client@example.com",
            link: "https://hub.example.com/L?secret=S".into(),
            expires: Some(1_700_000_000_000),
            has_password: true,
            portal: None,
        };
        let mail = String::from_utf8(compose("Hub <hub@example.com>", &delivery).unwrap().formatted()).unwrap();
        assert!(mail.contains("Reply-To: editor@example.com"));
        let (headers, _) = mail.split_once("\r\n\r\n").unwrap();
        assert!(!headers.lines().any(|line| line.starts_with("Bcc:")));
        assert!(mail.contains("https://hub.example.com/L?secret"));
        assert!(mail.contains("text/plain") && mail.contains("text/html"));
        assert!(mail.contains("&lt;script"));
        assert!(mail.contains("14 November 2023"), "{mail}");
    }
}
