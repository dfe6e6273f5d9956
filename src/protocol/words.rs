//! Words of a fixed vocabulary: states, roles, kinds.
//!
//! A server knows all words that it writes, so its types are plain enums. A client may talk to a server that knows more: in
//! responses, the words are [`Open`], and an unknown one stays readable.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// A word that is not in the vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a valid {what}: use {}", known.join(", "))]
pub struct UnknownWord {
    /// The kind of word that was expected.
    pub what: &'static str,
    /// The given word.
    pub given: String,
    /// All words.
    pub known: &'static [&'static str],
}

/// A word from a server: a known one, or another.
///
/// ```
/// use masv_protocol::{Open, PackageState};
///
/// let state: Open<PackageState> = serde_json::from_str(r#""finalized""#)?;
/// assert_eq!(state, PackageState::Finalized);
/// let state: Open<PackageState> = serde_json::from_str(r#""quarantined""#)?;
/// assert_eq!((state.known(), state.to_string()), (None, "quarantined".to_owned()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Open<T> {
    /// A word of the vocabulary.
    Known(T),
    /// Another word.
    Other(String),
}

impl<T> Open<T> {
    /// The word, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(word) => Some(word),
            Self::Other(_) => None,
        }
    }
}

impl<T> From<T> for Open<T> {
    fn from(word: T) -> Self {
        Self::Known(word)
    }
}

impl<T: PartialEq> PartialEq<T> for Open<T> {
    fn eq(&self, other: &T) -> bool {
        self.known() == Some(other)
    }
}

impl<T: fmt::Display> fmt::Display for Open<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(word) => word.fmt(formatter),
            Self::Other(word) => formatter.write_str(word),
        }
    }
}

impl<T: FromStr> Open<T> {
    /// The word with this spelling.
    pub fn read(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Other(text.to_owned()), Self::Known)
    }
}

/// The schema is that of the vocabulary: what a server writes is always one of its words.
impl<T: JsonSchema> JsonSchema for Open<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }
}

/// Defines an enum whose values are words on the wire, with alternative spellings that are accepted, too:
/// `Sender = "sender" | "member"`. The text in brackets describes the word, for messages.
macro_rules! words {
    (
        $(#[$about:meta])*
        pub enum $name:ident [$what:literal] {
            $($(#[$each:meta])* $variant:ident = $word:literal $(| $other:literal)*,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$each])* $variant,)+
        }

        impl $name {
            /// All words.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            const WORDS: &'static [&'static str] = &[$($word),+];

            /// Its text.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::UnknownWord;

            fn from_str(text: &str) -> Result<Self, $crate::UnknownWord> {
                match text {
                    $($word $(| $other)* => Ok(Self::$variant),)+
                    _ => Err($crate::UnknownWord { what: $what, given: text.to_owned(), known: Self::WORDS }),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": Self::WORDS })
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use crate::{Open, PackageState, Role};

    #[test]
    fn a_word_says_what_it_should_have_been() {
        let error = "chief".parse::<Role>().unwrap_err();
        assert_eq!(error.to_string(), "\"chief\" is not a valid role: use sender, admin, owner, operator");
        assert_eq!("member".parse(), Ok(Role::Sender), "the older word");
    }

    #[test]
    fn an_open_word_is_written_as_it_came() {
        for text in [r#""archived""#, r#""quarantined""#] {
            let read: Open<PackageState> = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
        assert_eq!(Open::<PackageState>::read("new"), PackageState::New);
    }
}
