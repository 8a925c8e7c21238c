//! One step of the chain: which plugin, with which settings, rights and limits.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::diagnostic::{Code, Diagnostic};
use crate::document::{Node, Value};
use crate::file::Place;
use crate::section::{Section, without_private};
use crate::spec::RetryPolicy;

/// `[[stage]]`
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StageSpec {
    /// Unique in its pipeline; as a pipeline's name.
    pub name: String,
    pub plugin: PluginRef,
    /// The module that it must be.
    pub sha256: Option<[u8; 32]>,
    /// Its `config` table, empty where there is none.
    pub config: Settings,
    /// What it may do besides `log` and `metrics`, which every plugin may. No duplicates.
    pub grant: Vec<Capability>,
    pub limits: LimitsSpec,
    pub isolation: Isolation,
    pub on_error: OnError,
    /// How often it lets a message be tried: the pipeline's, where it says nothing itself.
    pub retry: RetryPolicy,
    /// Its table.
    pub section: Section,
}

/// Where a plugin's module comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginRef {
    /// Within the daemon, by name.
    Shipped(String),
    /// A file that existed when the pipeline was loaded; relative paths are resolved already.
    File(PathBuf),
}

/// As the file names it.
impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped(name) => f.write_str(name),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What a plugin may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    Log,
    Metrics,
    Kv,
    Clock,
    Random,
}

/// How long an instance keeps its memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    #[default]
    Instance,
    Batch,
    Message,
}

/// What becomes of a message that the stage fails on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    #[default]
    DeadLetter,
    Retry,
    Drop,
    Pass,
}

/// `limits`, with defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitsSpec {
    /// For one message: 100 ms by default, 1 ms to 60 s.
    pub time: Duration,
    /// Bytes of linear memory: 64 MiB by default, 64 KiB to 4 GiB.
    pub memory: u64,
    /// The most bytes that one message may become: 16 MiB by default, 1 KiB to 64 MiB. Below it
    /// four times the input, or 1 MiB if that is more, is the limit.
    pub output: u64,
    /// The most messages that one may become: 1,000 by default, 1 to 1,000.
    pub emitted: u32,
    /// Lines of log in a second: 100 by default, up to 10,000.
    pub log_lines: u32,
    /// Bytes of the module: 64 MiB by default, up to 256 MiB.
    pub module: u64,
}

impl Default for LimitsSpec {
    fn default() -> Self {
        Self {
            time: Duration::from_millis(100),
            memory: 64 << 20,
            output: 16 << 20,
            emitted: 1_000,
            log_lines: 100,
            module: 64 << 20,
        }
    }
}

impl Capability {
    /// As in `grant = ["clock"]`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Metrics => "metrics",
            Self::Kv => "kv",
            Self::Clock => "clock",
            Self::Random => "random",
        }
    }
}

/// A stage's settings as the plugin gets them.
#[derive(Clone, PartialEq)]
pub struct Settings(pub(crate) Json);

impl Settings {
    /// Always an object. May hold credentials: not for people.
    pub fn json(&self) -> &Json {
        &self.0
    }
}

/// Shows no values: there may be credentials among them.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Settings(…)")
    }
}

impl StageSpec {
    /// Where the value that a JSON pointer into `config` names stands in the file, or the deepest
    /// part of it that does; and within a string, where its byte `offset` stands.
    pub fn locate(&self, pointer: &str, offset: Option<usize>) -> Place {
        let node = self.setting(pointer);
        let text = self.section.file().text();
        self.section.place_of(match offset {
            Some(offset) => node.span_at(text, offset),
            None => node.span.clone(),
        })
    }

    /// The error for a setting that the plugin refuses.
    pub fn setting_error(&self, pointer: &str, offset: Option<usize>, message: &str) -> Diagnostic {
        let message = without_private(self.setting(pointer), message);
        let (name, place) = (&self.name, self.locate(pointer, offset));
        let plugin = match &self.plugin {
            PluginRef::Shipped(name) => name.as_str().into(),
            PluginRef::File(path) => path.to_string_lossy(),
        };
        Diagnostic::new(Code::PluginSetting, format!("stage `{name}`: {message}"))
            .at(place)
            .help(format!("`lockgate plugin inspect {plugin}` shows the settings that it takes"))
    }

    /// An error about the stage's plugin as a whole.
    pub fn plugin_error(&self, code: Code, message: &str) -> Diagnostic {
        let message = format!("stage `{}`: {message}", self.name);
        self.section.diagnostic(code, "plugin", message)
    }

    fn setting(&self, pointer: &str) -> &Node {
        let steps: Vec<String> = pointer
            .split('/')
            .skip(1)
            .map(|step| step.replace("~1", "/").replace("~0", "~"))
            .collect();
        let config = std::iter::once("config");
        self.section.deepest(config.chain(steps.iter().map(String::as_str)))
    }

    /// Where the settings mention `route` by itself or as `route:<name>`, else the plugin.
    pub(crate) fn route_place(&self, route: &str) -> Place {
        let config = self.section.node().child("config");
        let node = config.and_then(|config| mention(config, route));
        match node {
            Some(node) => self.section.place_of(node.span.clone()),
            None => self.section.place("plugin"),
        }
    }
}

/// The first string in `node` that is a route's name.
fn mention<'a>(node: &'a Node, route: &str) -> Option<&'a Node> {
    match &node.value {
        Value::Text(text) => {
            let value = text.value.strip_prefix("route:").unwrap_or(&text.value);
            (value == route).then_some(node)
        }
        Value::Array(elements) => elements.iter().find_map(|element| mention(element, route)),
        Value::Table(entries) => entries.iter().find_map(|entry| mention(&entry.node, route)),
        _ => None,
    }
}
