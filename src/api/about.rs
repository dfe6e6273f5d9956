//! Wire types for the agent itself: its settings, the limitations of its deliveries, copies of its
//! state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use masv_rules::own_hub::{OwnHub, is_loopback};

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// Its flag, without the dashes.
    pub name: String,
    /// Its value, for people; for a secret only whether it is set.
    pub value: String,
    /// Its source: `flag`, the name of a variable or file, or `default`.
    pub source: String,
}

/// All settings in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SettingsInForce {
    /// In the order of the help text.
    pub settings: Vec<Setting>,
}

/// A limitation of the deliveries: recipients that are not reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limitation {
    /// The kind of delivery.
    pub of: Delivery,
    /// A description.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// A kind of delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// Links to share.
    Links,
    /// E-mails to recipients and portal owners.
    Mails,
}

impl Delivery {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Links, Self::Mails];

    /// Its name on the wire.
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
            "links work on this machine only: the agent sends to its embedded hub".to_owned(),
            "`masv setup` makes the hub reachable (`hub` in the rules file), or name a cloud with --cloud-url",
        );
    }
    if hub.smtp.is_none() {
        let outbox = data_dir.join("hub/outbox");
        limited(
            Delivery::Mails,
            format!(
                "e-mails are not delivered: the agent's embedded hub has no mail server and writes them to {}",
                outbox.display()
            ),
            "`masv setup` asks for a mail server (`hub: { smtp: ... }` in the rules file)",
        );
    }
    limitations
}

/// A request to copy the agent's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backup {
    /// The absolute path of the file.
    pub path: String,
}

/// A copy of the agent's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Copied {
    /// The absolute path of the file.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}
