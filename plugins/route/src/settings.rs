//! Settings: the stage's `config` table.

use lockgate_plugin::SettingError;
use serde::Deserialize;

use crate::Otherwise;

/// Rules at most; each is evaluated for every message that none before it takes.
const MAX_RULES: usize = 256;

/// Routes that one message can take at most: a verdict counts them in a byte.
const MAX_ROUTES: usize = 255;

/// As in `settings.schema.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// At least one.
    pub rules: Vec<Rule>,
    /// Whether the first rule that matches decides, or all of them together.
    #[serde(default, rename = "match")]
    pub matching: Match,
    /// What becomes of a message that no rule matches.
    #[serde(default)]
    pub otherwise: Otherwise,
}

/// A condition and where to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// CEL.
    pub when: String,
    /// Names of routes, at least one.
    pub to: Vec<String>,
}

/// Which of the rules that match decide.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Match {
    /// The first.
    #[default]
    First,
    /// All; a route that several name gets the message once.
    All,
}

impl Settings {
    /// All names of routes, each once, in the order of the settings.
    ///
    /// # Errors
    /// Rules or names that are none, or too many.
    pub(crate) fn check(&self) -> Result<Vec<String>, Vec<SettingError>> {
        let mut errors = Vec::new();
        if self.rules.is_empty() {
            errors.push(SettingError::at("/rules", "there is no rule"));
        }
        if self.rules.len() > MAX_RULES {
            let message = format!("there are more than {MAX_RULES} rules");
            errors.push(SettingError::at("/rules", message));
        }
        let mut lists: Vec<(String, &[String])> = Vec::new();
        for (at, rule) in self.rules.iter().enumerate() {
            lists.push((format!("/rules/{at}/to"), &rule.to));
        }
        if let Otherwise::Routes(names) = &self.otherwise {
            lists.push(("/otherwise".to_owned(), names));
        }
        let mut routes: Vec<String> = Vec::new();
        for (pointer, names) in lists {
            if names.is_empty() {
                errors.push(SettingError::at(pointer.as_str(), "there is no route"));
            }
            for (at, name) in names.iter().enumerate() {
                if name.is_empty() || name.len() > 255 {
                    let message = "the name of a route has 1 to 255 bytes";
                    errors.push(SettingError::at(format!("{pointer}/{at}"), message));
                } else if !routes.contains(name) {
                    routes.push(name.clone());
                }
            }
        }
        if routes.len() > MAX_ROUTES {
            let message = format!("there are more than {MAX_ROUTES} routes");
            errors.push(SettingError::at("/rules", message));
        }
        if errors.is_empty() { Ok(routes) } else { Err(errors) }
    }
}
