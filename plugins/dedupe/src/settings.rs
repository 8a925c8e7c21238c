//! Settings: the stage's `config` table.

use keyed::{Action, Key, Span};
use lockgate_plugin::SettingError;
use serde::Deserialize;

use crate::Dedupe;

/// As in `settings.schema.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What copies have in common.
    pub key: String,
    /// How long a message that went through is remembered.
    pub window: Span,
    /// When a copy of a message in flight asks again.
    pub in_flight: Span,
    /// What becomes of a copy.
    pub on_duplicate: String,
    /// What becomes of a message without a key.
    pub on_missing: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            key: "property:message_id".to_owned(),
            window: Span::from_millis(600_000),
            in_flight: Span::from_millis(1_000),
            on_duplicate: "drop".to_owned(),
            on_missing: "pass".to_owned(),
        }
    }
}

impl Settings {
    /// The plugin.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(crate) fn check(self) -> Result<Dedupe, Vec<SettingError>> {
        let mut errors = Vec::new();
        let key = Key::compile("/key", &self.key).map_err(|error| errors.push(error)).ok();
        let mut span = |pointer, span: Span, least, most| {
            span.within(least, most).unwrap_or_else(|message| {
                errors.push(SettingError::at(pointer, message));
                span
            })
        };
        let second = Span::from_millis(1_000);
        let window = span("/window", self.window, second, Span::from_hours(366 * 24));
        let most = Span::from_hours(1);
        let in_flight = span("/in_flight", self.in_flight, Span::from_millis(10), most);
        let mut action = |pointer, text: &str, allowed: &[&str]| {
            Action::parse(text, allowed).unwrap_or_else(|message| {
                errors.push(SettingError::at(pointer, message));
                Action::Drop
            })
        };
        let on_duplicate = action("/on_duplicate", &self.on_duplicate, &[]);
        let on_missing = action("/on_missing", &self.on_missing, &["pass"]);
        match key.filter(|_| errors.is_empty()) {
            Some(key) => Ok(Dedupe {
                key,
                window: window.duration(),
                in_flight_ms: u32::try_from(in_flight.millis()).unwrap_or(u32::MAX),
                on_duplicate,
                on_missing,
            }),
            None => Err(errors),
        }
    }
}
