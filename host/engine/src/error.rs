//! Errors of loading and configuring a plugin, each with the way out.

use std::borrow::Cow;
use std::fmt;

use lockgate_message::Fault;
use thiserror::Error;

use crate::describe::{CONTRACT, SettingError};
use crate::fault::Crash;
use crate::machine;

/// Why a plugin cannot be loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    #[error("this is not a WebAssembly binary: {0}")]
    NotWasm(String),
    #[error("the module is too large: {found} {what}, at most {limit} are accepted")]
    TooLarge { what: &'static str, found: u64, limit: u64 },
    #[error("the module is not valid: {0}")]
    Invalid(String),
    /// None of the three doors, or one that lacks exports.
    #[error("this is no Lockgate plugin: {0}")]
    NoDoor(String),
    #[error("the plugin speaks contract {}.{}, this host speaks {}.{}", plugin.0, plugin.1, host.0, host.1)]
    ContractVersion { plugin: (u16, u16), host: (u16, u16) },
    #[error("the plugin asks for what it was not granted: {}", List(imports))]
    Denied {
        imports: Vec<String>,
        /// The line of the stage that would grant it; `None` for what this host does not have.
        grant: Option<String>,
    },
    #[error("the plugin imports what no plugin gets: {}", List(imports))]
    UnknownImports { imports: Vec<String> },
    #[error("the module does not compile: {0}")]
    CompileFailed(String),
    #[error("compiling the module was stopped at its limits: {0}")]
    CompileLimits(String),
    #[error("the module's imports or exports do not match the contract: {0}")]
    Link(String),
    #[error("the plugin does not start: {0}")]
    Start(Fault),
    #[error("the plugin's description is wrong: {0}")]
    Describe(String),
    #[error("the sandbox cannot be set up: {0}")]
    Engine(String),
    /// Neither the plugin nor its file is at fault.
    #[error("this machine refuses what the plugin's sandbox needs: {0}")]
    Machine(String),
}

/// What to do where the machine refuses.
pub(crate) const MACHINE: &str = "raise the limit (`ulimit -v`, `LimitAS=` of systemd, the memory of the container), or \
     set `[engine] memory_reservation` in the host settings: plugins then take less address space \
     and are slower";

impl LoadError {
    /// What wasmtime reports, as `kind`, unless it is the machine's refusal.
    pub(crate) fn of(error: &wasmtime::Error, kind: impl FnOnce(String) -> Self) -> Self {
        match machine::refusal(error) {
            Some(refusal) => Self::Machine(refusal),
            None => kind(format!("{error:#}")),
        }
    }

    /// A thread or a process that cannot be made.
    pub(crate) fn io(what: &str, error: &std::io::Error) -> Self {
        match machine::io_refusal(error) {
            Some(refusal) => Self::Machine(format!("{what}: {refusal}")),
            None => Self::Engine(format!("{what}: {error}")),
        }
    }

    pub(crate) fn contract(plugin: (u16, u16)) -> Self {
        Self::ContractVersion { plugin, host: CONTRACT }
    }

    /// What to do about it.
    pub fn way_out(&self) -> Cow<'static, str> {
        let text = match self {
            Self::NotWasm(_) => "name the `.wasm` file that your toolchain built",
            Self::TooLarge { .. } => "build it for size, strip it, or leave out what it never uses",
            Self::Invalid(_) => {
                "plugins have no threads, garbage collection, exceptions or 64-bit memory; build \
                 the module without them"
            }
            Self::NoDoor(_) | Self::Link(_) => {
                "build it with an SDK of this contract; `lockgate plugin inspect` shows what it has"
            }
            Self::ContractVersion { .. } => {
                "rebuild the plugin with the matching SDK, or use a matching host"
            }
            Self::Denied { grant: Some(line), .. } => {
                return format!("write `{line}` in this stage, or use another plugin").into();
            }
            Self::Denied { grant: None, .. } => {
                "this host does not have it; use a host that does, or another plugin"
            }
            Self::UnknownImports { .. } => {
                "there are no files, sockets or clocks beyond the plugin contract; build the \
                 plugin for it, with an SDK"
            }
            Self::CompileFailed(_) => "if other tools take the module, report this as a bug",
            Self::CompileLimits(_) => "split very large functions, or strip the module",
            Self::Start(_) => "the plugin's own code failed before its first message; mend it",
            Self::Describe(_) => "mend the description that the plugin gives of itself",
            Self::Engine(_) => "the machine refuses what the sandbox needs; see its limits",
            Self::Machine(_) => MACHINE,
        };
        text.into()
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
    #[error("plugin `{plugin}`: its init result is wrong: {text}")]
    Result { plugin: String, text: String },
    #[error("sample {index} of the plugin went wrong: {text}")]
    Sample { index: usize, text: String },
    /// Neither the plugin nor its settings are at fault.
    #[error("this machine refuses what the plugin's sandbox needs: {0}")]
    Machine(String),
}

impl ConfigureError {
    /// Of a sandbox that did not take its settings.
    pub(crate) fn init(crash: Crash) -> Self {
        match crash.starved {
            true => Self::Machine(crash.text),
            false => Self::Init(crash.into()),
        }
    }

    /// What to do about it, where the message does not say it.
    pub fn way_out(&self) -> Option<&'static str> {
        matches!(self, Self::Machine(_)).then_some(MACHINE)
    }
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
