//! Plugin: what an author writes, and what its settings turn out to need.

use serde::de::DeserializeOwned;
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::{Description, Message, SettingError, Verdict};

/// A plugin: one value per sandbox, called for one message at a time.
///
/// Its memory is a cache that may vanish between two messages (recycling, a trap, a swap).
pub trait Plugin: Sized {
    /// The stage's `config` table. Derive `Deserialize`, with `deny_unknown_fields` so that a
    /// misspelt key is refused.
    type Settings: DeserializeOwned;

    /// Name, version, reasons, schema: what tools show without running the plugin.
    const DESCRIPTION: Description;

    /// Reads the settings, once per sandbox and before any message.
    ///
    /// # Errors
    /// What is wrong with the settings; the pipeline is then not loaded.
    fn init(settings: Self::Settings) -> Result<(Self, Init), Vec<SettingError>>;

    /// Judges one message.
    fn handle(&mut self, message: &Message<'_>) -> Verdict;
}

/// The settings of a plugin that has none: an empty table.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// What these settings need from the host and may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Init {
    /// The parts of a message to hand over; the others take neither time nor memory.
    pub needs: Needs,
    /// Route names that a verdict may use with these settings.
    pub routes: Vec<String>,
    /// Whether a message can leave the stage without a route.
    pub unrouted: bool,
}

impl Default for Init {
    fn default() -> Self {
        Self { needs: Needs::default(), routes: Vec::new(), unrouted: true }
    }
}

/// The parts of a message that a plugin reads. Head fields (attempt, priority, length of the
/// body …) are always there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Exchange and routing key.
    pub origin: bool,
    /// The short-string properties.
    pub properties: bool,
    /// Headers.
    pub headers: Headers,
    /// Body.
    pub body: Body,
}

/// Which headers to hand over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Headers {
    /// None.
    #[default]
    None,
    /// All of them.
    All,
    /// Those of these names.
    Names(Vec<String>),
}

/// How much of the body to hand over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// Nothing of it; [`Message::body_len`] is known all the same.
    #[default]
    None,
    /// The whole body.
    All,
    /// At most this many bytes from its start.
    Prefix(u32),
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_bool(false),
            Self::All => serializer.serialize_bool(true),
            Self::Names(names) => names.serialize(serializer),
        }
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_bool(false),
            Self::All => serializer.serialize_bool(true),
            Self::Prefix(length) => serializer.serialize_u32(*length),
        }
    }
}
