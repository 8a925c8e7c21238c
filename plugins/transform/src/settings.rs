//! The stage's `config`, and what of it can be wrong before any message comes.

use std::collections::BTreeMap;

use lockgate_plugin::{Property, SettingError};
use serde::Deserialize;

/// As `settings.schema.json` describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A jq program over the JSON body; without it the body stays as it is.
    #[serde(default)]
    pub jq: Option<String>,
    /// What becomes of a message for which the program has no result.
    #[serde(default)]
    pub on_empty: OnEmpty,
    /// Headers to rename, by their old name. Comes first.
    #[serde(default)]
    pub rename_headers: BTreeMap<String, String>,
    /// Headers to remove. Comes second.
    #[serde(default)]
    pub remove_headers: Vec<String>,
    /// Headers to set. Comes last.
    #[serde(default)]
    pub set_headers: BTreeMap<String, Scalar>,
    /// Template of the routing key.
    #[serde(default)]
    pub routing_key: Option<String>,
    /// Properties to set, by name.
    #[serde(default)]
    pub properties: BTreeMap<String, Scalar>,
    /// Properties to clear.
    #[serde(default)]
    pub remove_properties: Vec<String>,
    /// What becomes of a message that cannot be transformed.
    #[serde(default)]
    pub on_error: OnError,
    /// Bytes of a body that is still transformed.
    #[serde(default = "default_max_body")]
    pub max_body: u32,
}

/// A value to set.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A template.
    Text(String),
    /// A template whose text becomes a value of another type.
    Typed(Typed),
}

/// A template and the type of the value that its text becomes.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Typed {
    /// A whole number if it is one, else a double.
    Number(String),
    /// `true` or `false`.
    Boolean(String),
}

/// What becomes of a message for which the program has no result.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnEmpty {
    /// To the dead-letter target.
    #[default]
    Reject,
    /// Away, counted by reason.
    Drop,
}

/// What becomes of a message that cannot be transformed.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// To the dead-letter target.
    #[default]
    Reject,
    /// On as it came.
    Pass,
    /// Away, counted by reason.
    Drop,
}

/// A value of JSON takes up to 30 times its text in memory, and a plugin has 64 MiB by default.
fn default_max_body() -> u32 {
    1 << 20
}

/// The property of this name.
pub(crate) fn property(name: &str, pointer: &str) -> Result<Property, SettingError> {
    Property::from_name(name).ok_or_else(|| {
        let known = Property::ALL.map(Property::name).join(", ");
        SettingError::at(pointer, format!("unknown property `{name}`; there are {known}"))
    })
}

/// A header's name fits its length byte.
pub(crate) fn header_name(name: &str, pointer: &str) -> Result<(), SettingError> {
    match name.len() {
        1..=255 => Ok(()),
        0 => Err(SettingError::at(pointer, "a header's name is empty")),
        _ => Err(SettingError::at(pointer, "a header's name is longer than 255 bytes")),
    }
}

/// A JSON pointer to a member of a setting.
pub(crate) fn pointer(setting: &str, member: &str) -> String {
    format!("/{setting}/{}", member.replace('~', "~0").replace('/', "~1"))
}
