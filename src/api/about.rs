//! Wire types of what the agent says of itself as a program: its settings, copies of its state.

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
