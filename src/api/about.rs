//! Wire types of what the agent says of itself as a program: its settings, what its deliveries do not reach, copies of its
//! state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use masv_rules::own_hub::{OwnHub, is_loopback};

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// Its flag, without the dashes.
    pub name: String,
    /// Its value for a person; of a secret only whether there is one.
    pub value: String,
    /// Where it is from: `flag`, a variable's or a file's name, `default`.
    pub source: String,
}

/// All settings in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SettingsInForce {
    /// In the order of the help.
    pub settings: Vec<Setting>,
}

/// What of the deliveries reaches fewer people than it seems.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limitation {
    /// Of what.
    pub of: Delivery,
    /// In words.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// A way to the recipients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// Links to pass on.
    Links,
    /// Mails to recipients and owners of portals.
    Mails,
}

impl Delivery {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::Links, Self::Mails];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::Mails => "mails",
        }
    }
}

/// What the deliveries of a hub in the agent's own process do not reach, as it is set up.
#[must_use]
pub fn limitations_of_own_hub(hub: &OwnHub, data_dir: &std::path::Path) -> Vec<Limitation> {
    let mut limitations = Vec::new();
    let mut limited = |of, message, hint: &str| limitations.push(Limitation { of, message, hint: hint.to_owned() });
    if hub.reached_at().ok().flatten().is_none_or(|url| is_loopback(&url)) {
        limited(
            Delivery::Links,
            "links open on this machine only: the agent sends to its own hub".to_owned(),
            "`masv setup` makes the hub reachable (`hub` in the rules file), or name a cloud with --cloud-url",
        );
    }
    if hub.smtp.is_none() {
        let outbox = data_dir.join("hub/outbox");
        limited(
            Delivery::Mails,
            format!(
                "mails reach nobody: the agent's own hub has no mail server, and writes them to {}",
                outbox.display()
            ),
            "`masv setup` asks for a mail server (`hub: { smtp: ... }` in the rules file)",
        );
    }
    limitations
}

/// A copy of the agent's state that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backup {
    /// The file, absolute.
    pub path: String,
}

/// A copy of the agent's state that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Copied {
    /// The file, absolute.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}
