//! Settings: the stage's `config` table.

use serde::Deserialize;

/// As in `settings.schema.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// CEL: the messages that pass.
    pub when: String,
    /// What becomes of the others: `drop` unless given.
    pub otherwise: Option<String>,
    /// What becomes of a message for which the predicate has no answer: `reject` unless given.
    pub on_error: Option<String>,
}

/// What to do with a message.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Pass,
    Drop,
    Reject,
    Route(String),
}

impl Action {
    /// `pass`, `drop`, `reject` or `route:` and a name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("route:")) {
            ("pass", _) => Ok(Self::Pass),
            ("drop", _) => Ok(Self::Drop),
            ("reject", _) => Ok(Self::Reject),
            (_, Some("")) => Err("the name of the route is missing after `route:`".to_owned()),
            (_, Some(name)) if name.len() > 255 => {
                Err("the name of a route has at most 255 bytes".to_owned())
            }
            (_, Some(name)) => Ok(Self::Route(name.to_owned())),
            _ => {
                Err(format!("unknown action `{text}`: one of `drop`, `reject` and `route:<name>`"))
            }
        }
    }

    pub(crate) fn route(&self) -> Option<&String> {
        match self {
            Self::Route(name) => Some(name),
            _ => None,
        }
    }
}
