//! Settings: from the stage's `config` as JSON to a plugin's own type, and what is wrong with it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

/// One thing that is wrong with the settings. The host turns it into file, line and column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingError {
    /// JSON pointer (RFC 6901) into the settings; empty for the settings as a whole.
    pub pointer: String,
    /// Byte offset into the string that the pointer names, for languages inside a setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
    /// What is wrong, as one sentence without place.
    pub message: String,
}

impl SettingError {
    /// An error of the value that `pointer` names.
    pub fn at(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), offset: None, message: message.into() }
    }

    /// The same error at a byte offset into that string.
    #[must_use]
    pub fn with_offset(mut self, offset: u32) -> Self {
        self.offset = Some(offset);
        self
    }
}

/// Reads settings from JSON.
///
/// # Errors
/// The first thing that does not fit the type, with a pointer to it.
pub(crate) fn read<T: DeserializeOwned>(json: &str) -> Result<T, SettingError> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let settings = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| SettingError::at(pointer(error.path()), without_place(error.inner())))?;
    deserializer.end().map_err(|error| SettingError::at("", without_place(&error)))?;
    Ok(settings)
}

fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            // A variant that has content is written as the one key of an object.
            Segment::Map { key } | Segment::Enum { variant: key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Unknown => {}
        }
    }
    pointer
}

/// The place that `serde_json` appends is one in the JSON text, which no author ever sees.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text.get(..at).unwrap_or(&text).to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests;
