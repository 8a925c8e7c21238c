//! Errors of loading and configuring a plugin, each with the way out.

use std::fmt;

use lockgate_message::Fault;
use thiserror::Error;

use crate::describe::{CONTRACT, SettingError};

/// Why a plugin cannot be loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    #[error("this is not a WebAssembly binary: {0}")]
    NotWasm(String),
    #[error("the module is too large: {found} {what}, at most {limit} are accepted")]
    TooLarge { what: &'static str, found: u64, limit: u64 },
    #[error(
        "the module is not valid: {0}; plugins have no threads, garbage collection, \
             exceptions or 64-bit memory"
    )]
    Invalid(String),
    /// None of the three doors, or one that lacks exports.
    #[error("the module offers no door of the plugin contract: {0}")]
    NoDoor(String),
    #[error("the plugin speaks contract {}.{}, this host speaks {}.{}; rebuild the plugin with \
             the matching SDK, or use a matching host", plugin.0, plugin.1, host.0, host.1)]
    ContractVersion { plugin: (u16, u16), host: (u16, u16) },
    #[error(
        "the plugin asks for what it was not granted: {}; grant it in the pipeline file, or \
             use another plugin",
        List(imports)
    )]
    Denied { imports: Vec<String> },
    #[error(
        "the plugin imports what no plugin gets: {}; there are no files, sockets or clocks \
             beyond the plugin contract",
        List(imports)
    )]
    UnknownImports { imports: Vec<String> },
    #[error("the module does not compile: {0}")]
    CompileFailed(String),
    #[error(
        "compiling the module was stopped at its limits: {0}; split very large functions, \
             or strip the module"
    )]
    CompileLimits(String),
    #[error("the module's imports or exports do not match the contract: {0}")]
    Link(String),
    #[error("the plugin does not start: {0}")]
    Start(Fault),
    #[error("the plugin's description is wrong: {0}")]
    Describe(String),
    #[error("the sandbox cannot be set up: {0}")]
    Engine(String),
}

impl LoadError {
    pub(crate) fn contract(plugin: (u16, u16)) -> Self {
        Self::ContractVersion { plugin, host: CONTRACT }
    }
}

/// Why a plugin does not take its settings.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigureError {
    #[error("the plugin refuses its settings: {}", List(&.0.iter().map(SettingText).collect::<Vec<_>>()))]
    Settings(Vec<SettingError>),
    #[error("the plugin's init failed: {0}")]
    Init(Fault),
    #[error("the plugin's init result is wrong: {0}")]
    Result(String),
    #[error("sample {index} of the plugin went wrong: {text}")]
    Sample { index: usize, text: String },
}

struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, item) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{item}")?;
        }
        Ok(())
    }
}

struct SettingText<'a>(&'a SettingError);

impl fmt::Display for SettingText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.pointer.is_empty() {
            write!(f, "{}: ", self.0.pointer)?;
        }
        f.write_str(&self.0.message)
    }
}
