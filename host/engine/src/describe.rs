//! Description and init result: the JSON that a plugin says of itself.

use lockgate_message::Reason;
use serde_json::Value;

use crate::json::{self, Fields};
use crate::needs::Needs;

/// The contract that this host speaks, major and minor. Minors only add.
pub const CONTRACT: (u16, u16) = (0, 1);

/// Reasons that one plugin may register; they become metric labels.
const MAX_REASONS: usize = 64;
/// Route names, samples and settings errors that are read.
const MAX_LIST: usize = 256;
const MAX_TEXT: usize = 1024;

/// The keys of a description, and of what `init` returns: those of every minor version up to
/// [`CONTRACT`].
const DESCRIPTION: [&str; 8] = [
    "name",
    "version",
    "contract",
    "max_batch",
    "capabilities",
    "reasons",
    "settings_schema",
    "samples",
];
const INIT_OK: [&str; 3] = ["needs", "routes", "unrouted"];
const INIT_ERROR: [&str; 3] = ["pointer", "offset", "message"];

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// As metrics and logs show it; 1 to 64 visible ASCII characters, as the version.
    pub name: String,
    /// The plugin's own.
    pub version: String,
    /// `major.minor` of the contract it was built for.
    pub contract: String,
    /// Messages it takes at once.
    pub max_batch: u32,
    /// What it asks for, by name.
    pub capabilities: Vec<String>,
    /// Words that its drops and rejects may give, at most 64.
    pub reasons: Vec<String>,
    /// JSON Schema of its settings; the host does not apply it, `init` decides.
    pub settings_schema: Value,
    /// Messages to try before it goes live: `exchange`, `routing_key`, `headers`, `body`, each
    /// optional.
    pub samples: Vec<Value>,
}

impl Description {
    /// Reads and checks a description. A key that the contract does not have is refused, unless
    /// the plugin states a contract that this host does not speak: a newer minor version may have
    /// added it, and that such a plugin cannot be run is for the caller to say.
    ///
    /// # Errors
    /// What is wrong with it, for people, and whose it is.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let value = json::parse(text)?;
        let named =
            value.get("name").and_then(Value::as_str).map(|name| crate::text::clean(name, 64));
        Self::read(value).map_err(|error| match named {
            Some(name) if !name.is_empty() => format!("plugin `{name}`: {error}"),
            _ => error,
        })
    }

    fn read(value: Value) -> Result<Self, String> {
        let contract = value.get("contract").and_then(Value::as_str).and_then(version);
        let mut fields = match contract {
            Some(other) if !speaks(other) => Fields::any(value, "")?,
            _ => Fields::of(value, "", &DESCRIPTION)?,
        };
        let any_object = || serde_json::json!({ "type": "object" });
        let description = Self {
            name: fields.need("name", "a text")?,
            version: fields.need("version", "a text")?,
            contract: fields.need("contract", "a text")?,
            max_batch: fields.take("max_batch", "a number of messages")?.unwrap_or(64),
            capabilities: fields.take("capabilities", "a list of texts")?.unwrap_or_default(),
            reasons: fields.take("reasons", "a list of texts")?.unwrap_or_default(),
            settings_schema: fields.take("settings_schema", "JSON")?.unwrap_or_else(any_object),
            samples: fields.take("samples", "a list")?.unwrap_or_default(),
        };
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
        version(&self.contract)
    }

    pub(crate) fn reason_words(&self) -> Vec<Reason> {
        self.reasons.iter().map(|reason| Reason::from(reason.as_str())).collect()
    }
}

/// `major.minor`
fn version(text: &str) -> Option<(u16, u16)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    /// JSON pointer into the settings.
    pub pointer: String,
    /// Byte offset into the string that `pointer` names.
    pub offset: Option<usize>,
    /// For people, cleaned.
    pub message: String,
}

/// Reads an init result: needs and routes, or what is wrong with the settings.
///
/// # Errors
/// What is wrong with the result itself.
pub(crate) fn init_result(text: &str) -> Result<Result<Initialised, Vec<SettingError>>, String> {
    let mut fields = Fields::of(json::parse(text.as_bytes())?, "", &["ok", "err"])?;
    match (fields.take("ok", "JSON")?, fields.take("err", "a list")?) {
        (Some(ok), None) => initialised(ok).map(Ok),
        (None, Some(errors)) => setting_errors(errors).map(Err),
        (Some(_), Some(_)) => Err("it has both `ok` and `err`".into()),
        (None, None) => Err("it has neither `ok` nor `err`".into()),
    }
}

fn initialised(ok: Value) -> Result<Initialised, String> {
    let mut ok = Fields::of(ok, "ok", &INIT_OK)?;
    let needs: Option<Value> = ok.take("needs", "an object")?;
    let routes: Vec<String> = ok.take("routes", "a list of texts")?.unwrap_or_default();
    let unrouted = ok.take("unrouted", "true or false")?.unwrap_or(true);
    if routes.len() > MAX_LIST || routes.iter().any(|route| route.len() > 255) {
        return Err(format!("more than {MAX_LIST} routes, or one above 255 bytes"));
    }
    let needs = needs.map_or(Ok(Needs::default()), |needs| Needs::parse(&needs))?;
    Ok(Initialised { needs, routes, unrouted })
}

fn setting_errors(errors: Vec<Value>) -> Result<Vec<SettingError>, String> {
    let read = |error| {
        let mut error = Fields::of(error, "err", &INIT_ERROR)?;
        let text = |text: String| crate::text::clean(&text, MAX_TEXT);
        let offset: Option<Option<usize>> = error.take("offset", "a byte offset")?;
        Ok(SettingError {
            pointer: error.take("pointer", "a text")?.map(text).unwrap_or_default(),
            offset: offset.flatten(),
            message: text(error.need("message", "a text")?),
        })
    };
    errors.into_iter().take(MAX_LIST).map(read).collect()
}

#[cfg(test)]
mod tests;
