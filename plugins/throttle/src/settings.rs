//! Settings: the stage's `config` table.

use keyed::{Action, Key, Span};
use lockgate_plugin::SettingError;
use serde::Deserialize;

use crate::Throttle;

/// Most messages of one window.
const MAX_LIMIT: u64 = 1_000_000_000;

/// As in `settings.schema.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Messages that pass in one window.
    pub limit: u64,
    /// Length of a window.
    #[serde(default = "second")]
    pub per: Span,
    /// What messages have in common that share a limit; all of them unless given.
    pub key: Option<String>,
    /// What becomes of the others.
    #[serde(default = "retry")]
    pub on_excess: String,
}

fn second() -> Span {
    Span::from_millis(1000)
}

fn retry() -> String {
    "retry".to_owned()
}

impl Settings {
    /// The plugin.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(crate) fn check(self) -> Result<Throttle, Vec<SettingError>> {
        let mut errors = Vec::new();
        let mut refuse = |pointer: &str, message| errors.push(SettingError::at(pointer, message));
        if !(1..=MAX_LIMIT).contains(&self.limit) {
            refuse("/limit", format!("{} is not between 1 and {MAX_LIMIT}", self.limit));
        }
        let (least, most) = (Span::from_millis(10), Span::from_hours(24));
        if let Err(message) = self.per.within(least, most) {
            refuse("/per", message);
        }
        let on_excess = Action::parse(&self.on_excess, &["retry"]).unwrap_or_else(|message| {
            refuse("/on_excess", message);
            Action::Drop
        });
        let key =
            self.key.map(|key| Key::compile("/key", &key)).transpose().unwrap_or_else(|error| {
                errors.push(error);
                None
            });
        match errors.is_empty() {
            true => Ok(Throttle { limit: self.limit, per: self.per.duration(), key, on_excess }),
            false => Err(errors),
        }
    }
}
