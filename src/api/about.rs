//! Wire types of what the agent says of itself as a program: its settings, what its deliveries do not reach, copies of its
//! state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// What the deliveries of a hub in the agent's own process do not reach: it listens on loopback and has no mail server.
#[must_use]
pub fn limitations_of_own_hub(data_dir: &std::path::Path) -> Vec<Limitation> {
    let hint =
        "send to a cloud with --cloud-url, or to a hub with a public address and a mail server (`masv hub start`)";
    let limitation = |of, message| Limitation { of, message, hint: hint.to_owned() };
    let outbox = data_dir.join("hub/outbox");
    vec![
        limitation(Delivery::Links, "links open on this machine only: the agent sends to its own hub".to_owned()),
        limitation(
            Delivery::Mails,
            format!(
                "mails reach nobody: the agent's own hub has no mail server, and writes them to {}",
                outbox.display()
            ),
        ),
    ]
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
