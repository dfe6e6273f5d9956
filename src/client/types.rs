//! Small readers for what foreign JSON may spell in more than one way.

use serde::{Deserialize, Deserializer};

/// A string, or a number written as one would write the string.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Text {
        Word(String),
        Number(serde_json::Number),
    }
    Ok(match Text::deserialize(deserializer)? {
        Text::Word(word) => word,
        Text::Number(number) => number.to_string(),
    })
}
