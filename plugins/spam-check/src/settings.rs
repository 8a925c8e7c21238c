//! The stage's `config`.

use lockgate_plugin::SettingError;
use serde::Deserialize;

/// As `settings.schema.json` describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the text is: `body`, `body.PATH` or `header:NAME`.
    pub text: String,
    /// The score from which a text is spam.
    #[serde(default = "default_threshold")]
    pub threshold: f64,
    /// What becomes of spam: `tag`, `drop`, `reject` or `route:NAME`.
    #[serde(default = "default_on_spam")]
    pub on_spam: String,
    /// The header that takes the score, or false for none.
    #[serde(default)]
    pub score_header: ScoreHeader,
}

/// The header that takes the score.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum ScoreHeader {
    /// `false`: none; `true`: the default one.
    Switch(bool),
    /// Its name.
    Name(String),
}

impl Default for ScoreHeader {
    fn default() -> Self {
        Self::Switch(true)
    }
}

/// The working point that the trainer calibrates to.
fn default_threshold() -> f64 {
    0.9
}

fn default_on_spam() -> String {
    "tag".to_owned()
}

/// What becomes of spam.
#[derive(Debug, PartialEq)]
pub(crate) enum OnSpam {
    Tag,
    Drop,
    Reject,
    Route(String),
}

impl OnSpam {
    /// Reads the setting.
    pub(crate) fn parse(text: &str) -> Result<Self, SettingError> {
        match (text, text.strip_prefix("route:")) {
            ("tag", _) => Ok(Self::Tag),
            ("drop", _) => Ok(Self::Drop),
            ("reject", _) => Ok(Self::Reject),
            (_, Some("")) => {
                Err(SettingError::at("/on_spam", "the name of the route is missing after `route:`"))
            }
            (_, Some(name)) if name.len() > 255 => {
                Err(SettingError::at("/on_spam", "the route's name is longer than 255 bytes"))
            }
            (_, Some(name)) => Ok(Self::Route(name.to_owned())),
            (other, None) => Err(SettingError::at(
                "/on_spam",
                format!("unknown action `{other}`: one of `tag`, `drop`, `reject`, `route:<name>`"),
            )),
        }
    }
}

impl ScoreHeader {
    /// The header's name, if there is to be one.
    pub(crate) fn name(self) -> Result<Option<String>, SettingError> {
        match self {
            Self::Switch(false) => Ok(None),
            Self::Switch(true) => Ok(Some("x-spam-score".to_owned())),
            Self::Name(name) if (1..=255).contains(&name.len()) => Ok(Some(name)),
            Self::Name(_) => {
                Err(SettingError::at("/score_header", "a header's name has 1 to 255 bytes"))
            }
        }
    }
}
