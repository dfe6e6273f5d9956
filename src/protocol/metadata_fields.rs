//! The form that a portal's senders fill in, besides the files: reel numbers, projects, rights.
//!
//! The names of a field's properties are known from the service's clients.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::words;
use crate::{PortalId, lenient};

words! {
    /// Whether a field must be filled in.
    #[derive(Default)]
    pub enum Visibility ["visibility of a field"] {
        /// It may be left empty.
        #[default]
        Optional = "optional",
        /// It must be filled in.
        Required = "required",
    }
}

words! {
    /// How a field is filled in.
    #[derive(Default)]
    pub enum FieldKind ["type of a field"] {
        /// A line.
        #[default]
        ShortText = "short_text",
        /// Several lines.
        LongText = "long_text",
        /// One of its options.
        Dropdown = "dropdown",
        /// A number.
        Number = "number",
        /// A date, `YYYY-MM-DD`.
        Date = "date",
    }
}

/// A form field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetadataField {
    /// Its key in `custom_metadata`.
    pub name: String,
    /// Its label; if empty, the name.
    #[serde(default)]
    pub label: String,
    /// Whether it must be filled in.
    #[serde(default)]
    pub visibility: Visibility,
    /// How it is filled in.
    #[serde(rename = "type", default)]
    pub kind: FieldKind,
    /// The options of a dropdown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// What its page has filled in already; empty for nothing.
    #[serde(default, deserialize_with = "lenient::plain", skip_serializing_if = "String::is_empty")]
    pub default_value: String,
}

/// The form of a portal: `GET`, `POST` and `PUT /v1/portals/{portal}/form`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Form {
    /// The same as that of its portal: a portal has one form.
    #[serde(deserialize_with = "lenient::plain")]
    pub id: String,
    /// The portal.
    #[serde(deserialize_with = "lenient::id")]
    pub portal_id: Option<PortalId>,
    /// Display name.
    #[serde(deserialize_with = "lenient::plain")]
    pub name: String,
    /// How the portal's recipients get what was filled in: `email_body`.
    pub delivery_formats: Vec<String>,
    /// What senders are asked to fill in, in this order.
    pub fields: Vec<MetadataField>,
}

impl MetadataField {
    /// Its label.
    #[must_use]
    pub fn label(&self) -> &str {
        if self.label.is_empty() { &self.name } else { &self.label }
    }
}
