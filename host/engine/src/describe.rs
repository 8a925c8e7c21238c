//! Description and init result: the JSON that a plugin says of itself.

use lockgate_message::Reason;
use serde::Deserialize;
use serde_json::Value;

use crate::needs::Needs;

/// The contract that this host speaks, major and minor. Minors only add.
pub const CONTRACT: (u16, u16) = (0, 1);

/// Reasons that one plugin may register; they become metric labels.
const MAX_REASONS: usize = 64;
/// Route names, samples and settings errors that are read.
const MAX_LIST: usize = 256;
const MAX_TEXT: usize = 1024;

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Description {
    /// As metrics and logs show it; 1 to 64 visible ASCII characters, as the version.
    pub name: String,
    /// The plugin's own.
    pub version: String,
    /// `major.minor` of the contract it was built for.
    pub contract: String,
    /// Messages it takes at once.
    #[serde(default = "max_batch")]
    pub max_batch: u32,
    /// What it asks for, by name.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Words that its drops and rejects may give, at most 64.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// JSON Schema of its settings; the host does not apply it, `init` decides.
    #[serde(default = "any_object")]
    pub settings_schema: Value,
    /// Messages to try before it goes live: `exchange`, `routing_key`, `headers`, `body`, each
    /// optional.
    #[serde(default)]
    pub samples: Vec<Value>,
}

fn max_batch() -> u32 {
    64
}

fn any_object() -> Value {
    serde_json::json!({ "type": "object" })
}

impl Description {
    /// Reads and checks a description.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let description: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        description.check()?;
        Ok(description)
    }

    fn check(&self) -> Result<(), String> {
        for (field, text) in [("name", &self.name), ("version", &self.version)] {
            if text.is_empty() || text.len() > 64 || text.chars().any(|c| !c.is_ascii_graphic()) {
                return Err(format!("`{field}` is not 1 to 64 visible ASCII characters"));
            }
        }
        if self.contract().is_none() {
            return Err("`contract` is not `major.minor`".into());
        }
        if self.max_batch == 0 {
            return Err("`max_batch` is 0".into());
        }
        if self.reasons.len() > MAX_REASONS {
            return Err(format!("more than {MAX_REASONS} reasons"));
        }
        if let Some(reason) = self.reasons.iter().find(|reason| !is_reason(reason)) {
            let reason = crate::text::clean(reason, 64);
            return Err(format!("reason `{reason}` does not match [a-z][a-z0-9_]{{0,47}}"));
        }
        if self.capabilities.len() > MAX_LIST || self.samples.len() > MAX_LIST {
            return Err(format!("more than {MAX_LIST} capabilities or samples"));
        }
        Ok(())
    }

    /// Its contract version, major and minor.
    pub fn contract(&self) -> Option<(u16, u16)> {
        let (major, minor) = self.contract.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    }

    pub(crate) fn reason_words(&self) -> Vec<Reason> {
        self.reasons.iter().map(|reason| Reason::from(reason.as_str())).collect()
    }
}

/// Whether this host can run a plugin of that contract.
pub(crate) fn speaks((major, minor): (u16, u16)) -> bool {
    major == CONTRACT.0 && minor <= CONTRACT.1
}

fn is_reason(text: &str) -> bool {
    text.len() <= 48
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// What `init` returned for good settings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Initialised {
    pub(crate) needs: Needs,
    pub(crate) routes: Vec<String>,
    pub(crate) unrouted: bool,
}

/// One thing wrong with the settings, as the plugin reports it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SettingError {
    /// JSON pointer into the settings.
    #[serde(default)]
    pub pointer: String,
    /// Byte offset into the string that `pointer` names.
    #[serde(default)]
    pub offset: Option<usize>,
    /// For people, cleaned.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum InitResult {
    Ok(InitOk),
    Err(Vec<SettingError>),
}

#[derive(Deserialize)]
struct InitOk {
    #[serde(default)]
    needs: Option<Value>,
    #[serde(default)]
    routes: Vec<String>,
    #[serde(default = "yes")]
    unrouted: bool,
}

fn yes() -> bool {
    true
}

/// Reads an init result: needs and routes, or what is wrong with the settings.
///
/// # Errors
/// What is wrong with the result itself.
pub(crate) fn init_result(text: &str) -> Result<Result<Initialised, Vec<SettingError>>, String> {
    match serde_json::from_str(text).map_err(|error| error.to_string())? {
        InitResult::Ok(ok) => {
            if ok.routes.len() > MAX_LIST || ok.routes.iter().any(|route| route.len() > 255) {
                return Err(format!("more than {MAX_LIST} routes, or one above 255 bytes"));
            }
            let needs = ok.needs.map_or(Ok(Needs::default()), |needs| Needs::parse(&needs))?;
            Ok(Ok(Initialised { needs, routes: ok.routes, unrouted: ok.unrouted }))
        }
        InitResult::Err(mut errors) => {
            errors.truncate(MAX_LIST);
            for error in &mut errors {
                error.message = crate::text::clean(&error.message, MAX_TEXT);
                error.pointer = crate::text::clean(&error.pointer, MAX_TEXT);
            }
            Ok(Err(errors))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(), &str>) {
        match (Description::parse(text.as_bytes()), expected) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            (got, _) => panic!("{got:?}"),
        }
    }

    #[test]
    fn descriptions() {
        check(r#"{"name":"a","version":"1","contract":"0.1"}"#, Ok(()));
        check(r#"{"name":"a","version":"1"}"#, Err("contract"));
        check(r#"{"name":"a b","version":"1","contract":"0.1"}"#, Err("`name`"));
        check(r#"{"name":"a","version":"1","contract":"one"}"#, Err("major.minor"));
        check(
            r#"{"name":"a","version":"1","contract":"0.1","reasons":["Bad"]}"#,
            Err("reason `Bad`"),
        );
        check(r#"{"name":"a","version":"1","contract":"0.1","max_batch":0}"#, Err("max_batch"));
        check("nonsense", Err("expected"));
    }

    #[test]
    fn init_results() {
        let ok = init_result(r#"{"ok":{"needs":{"body":true},"routes":["eu"]}}"#).unwrap().unwrap();
        assert_eq!((ok.routes, ok.unrouted), (vec!["eu".to_owned()], true));
        let errors = init_result(r#"{"err":[{"pointer":"/when","offset":3,"message":"a\u001b"}]}"#);
        let errors = errors.unwrap().unwrap_err();
        assert_eq!((errors[0].offset, errors[0].message.as_str()), (Some(3), "a\\u{1b}"));
        assert!(init_result("{}").is_err());
        assert!(init_result(r#"{"ok":{"needs":{"all":true}}}"#).is_err());
    }
}
