//! Plugins: the shipped ones, embedded; files, read once and pinned by digest where asked.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use bytes::Bytes;
use lockgate_config::{Code, Diagnostic, PluginRef, StageSpec};
use lockgate_engine::{
    Capability, Compiler, ConfigureError, Configured, Digest, Engine, EngineConfig, Grants,
    KvAccess, Limits, LoadError, MEMORY_RESERVATION, Plugin, SettingError,
};
use lockgate_message::state::Space;

use crate::assemble::Assembled;
use crate::state::State;

/// Built by build.rs: the shipped plugins by name.
static SHIPPED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// And the code that some or all of them were compiled to.
static CARRIED: &[&[u8]] = include!(concat!(env!("OUT_DIR"), "/carried.rs"));

/// The names under which plugins are shipped, built into this binary or not.
pub(crate) const NAMES: [&str; 6] =
    ["filter", "transform", "route", "spam-check", "dedupe", "throttle"];

/// Loads each module once, whatever the number of stages that use it.
pub(crate) struct Plugins {
    engine: Engine,
    loaded: Mutex<HashMap<Key, Arc<Plugin>>>,
    /// For the stages that keep state; opened when the first of them is configured.
    state: Option<Arc<State>>,
    /// Told the name of each module that is about to be loaded, which may take seconds.
    tell: Box<dyn Fn(&str)>,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    digest: Digest,
    terms: String,
}

impl Plugins {
    /// With the cache in `cache_dir`, compiling in a child process of this binary. Plugins can be
    /// configured, but for state there is none.
    pub(crate) fn new(cache_dir: Option<std::path::PathBuf>) -> anyhow::Result<Self> {
        Self::of(cache_dir, MEMORY_RESERVATION)
    }

    /// As [`Plugins::new`], reserving so many bytes of address space for each memory of a plugin.
    pub(crate) fn of(
        cache_dir: Option<std::path::PathBuf>,
        memory_reservation: u64,
    ) -> anyhow::Result<Self> {
        let exe = std::env::current_exe().context("cannot find the own binary")?;
        let compiler = Compiler::Child { exe, args: vec!["compile-module".into()] };
        let config = EngineConfig { cache_dir, compiler, memory_reservation, carried: CARRIED };
        let (engine, loaded, state) = (Engine::new(config)?, Mutex::default(), None);
        Ok(Self { engine, loaded, state, tell: Box::new(|_| {}) })
    }

    /// Calls `tell` with the name of each module that is about to be loaded. One that is not in the
    /// cache is compiled then, which takes seconds.
    pub(crate) fn telling(self, tell: impl Fn(&str) + 'static) -> Self {
        Self { tell: Box::new(tell), ..self }
    }

    /// Why the sandboxes of these pipelines, one a stage and lane, do not fit into the address space
    /// that this process may have.
    pub(crate) fn no_room(&self, pipelines: &[Assembled]) -> Option<Diagnostic> {
        let sandboxes = pipelines.iter().map(|one| {
            let parts = one.pipeline.parts();
            parts.settings.lanes * parts.chain.stages.len()
        });
        self.engine.room_for(sandboxes.sum()).err().map(|error| no_room(&error))
    }

    /// With state.
    pub(crate) fn with_state(self, state: Arc<State>) -> Self {
        Self { state: Some(state), ..self }
    }

    /// Loads and configures the plugin of a stage.
    pub(crate) fn configure(
        &self,
        pipeline: &str,
        stage: &StageSpec,
    ) -> Result<Arc<Configured>, Vec<Diagnostic>> {
        let plugin = self.load(stage).map_err(|diagnostic| vec![*diagnostic])?;
        let kv = self.kv(pipeline, stage).map_err(|error| {
            let text = format!("its state cannot be opened: {error:#}");
            vec![stage.plugin_error(Code::PluginSetting, &text)]
        })?;
        let settings = stage.config.json();
        let configured = plugin.configure_with(&stage.name, settings, kv);
        let configured = configured.map_err(|error| match error {
            ConfigureError::Settings(errors) => errors
                .iter()
                .map(|e| stage.setting_error(&e.pointer, e.offset, &e.message))
                .collect(),
            error => {
                let code = match &error {
                    ConfigureError::Result { .. } => Code::BadDescription,
                    ConfigureError::Machine(_) => Code::NoRoom,
                    _ => Code::PluginSetting,
                };
                let found = stage.plugin_error(code, &error.to_string());
                vec![match error.way_out() {
                    Some(way_out) => found.help(way_out),
                    None => found,
                }]
            }
        })?;
        Ok(configured)
    }

    /// The state of a stage that may keep any.
    fn kv(&self, pipeline: &str, stage: &StageSpec) -> anyhow::Result<Option<KvAccess>> {
        let granted = crate::assemble::grants(stage).has(Capability::Kv);
        let Some(state) = self.state.as_ref().filter(|_| granted) else { return Ok(None) };
        let space = Space { pipeline: pipeline.into(), stage: stage.name.as_str().into() };
        Ok(Some(KvAccess::new(state.store()?, space)))
    }

    /// The shipped plugin `name` with these settings, outside of any pipeline.
    pub(crate) fn shipped(
        &self,
        name: &str,
        settings: &serde_json::Value,
        limits: &Limits,
    ) -> anyhow::Result<Result<Arc<Configured>, Vec<SettingError>>> {
        let plugin = self.engine.load(&shipped(name)?, Grants::default(), limits)?;
        match plugin.configure(name, settings) {
            Ok(configured) => Ok(Ok(configured)),
            Err(ConfigureError::Settings(errors)) => Ok(Err(errors)),
            Err(error) => Err(error.into()),
        }
    }

    fn load(&self, stage: &StageSpec) -> Result<Arc<Plugin>, Box<Diagnostic>> {
        let refuse = |code, text: &str| Box::new(stage.plugin_error(code, text));
        let bytes = match &stage.plugin {
            PluginRef::Shipped(name) => {
                shipped(name).map_err(|e| refuse(Code::MissingPlugin, &e.to_string()))?
            }
            PluginRef::File(path) => read(path, stage.limits.module)
                .map_err(|e| refuse(Code::MissingPlugin, &format!("{e:#}")))?,
        };
        let digest = Digest::of(&bytes);
        let pinned = stage.sha256.map(|pin| pin.map(|byte| format!("{byte:02x}")).concat());
        if pinned.is_some_and(|pinned| pinned != digest.to_string()) {
            let text = format!("the module's sha256 is {digest}, not the one that is pinned");
            return Err(refuse(Code::BadModule, &text));
        }
        let (grants, limits) = (crate::assemble::grants(stage), crate::assemble::limits(stage));
        let key = Key { digest, terms: format!("{grants:?} {limits:?}") };
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plugin) = loaded.get(&key) {
            return Ok(plugin.clone());
        }
        (self.tell)(&stage.plugin.to_string());
        let plugin = self.engine.load(&bytes, grants, &limits).map_err(|error| {
            let code = match &error {
                LoadError::ContractVersion { .. } => Code::BadContract,
                LoadError::Denied { .. } | LoadError::UnknownImports { .. } => Code::NotGranted,
                LoadError::Describe(_) => Code::BadDescription,
                LoadError::Machine(_) => Code::NoRoom,
                _ => Code::BadModule,
            };
            Box::new(stage.plugin_error(code, &error.to_string()).help(error.way_out()))
        })?;
        loaded.insert(key, plugin.clone());
        Ok(plugin)
    }
}

/// The machine's refusal, which is about no file.
pub(crate) fn no_room(error: &LoadError) -> Diagnostic {
    Diagnostic::new(Code::NoRoom, error.to_string()).help(error.way_out())
}

/// A plugin as people know it: name, version and digest.
pub(crate) fn identity(plugin: &Plugin) -> String {
    let description = plugin.description();
    format!("{} {} sha256:{}", description.name, description.version, plugin.digest())
}

/// The bytes of a shipped plugin.
pub(crate) fn shipped(name: &str) -> anyhow::Result<Bytes> {
    if let Some((_, bytes)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
        return Ok(Bytes::from_static(bytes));
    }
    if NAMES.contains(&name) {
        bail!("this binary was built without the shipped plugins; build it with `make build`");
    }
    bail!("no plugin is shipped as `{name}`; there are {}", NAMES.join(", "))
}

/// Opens the file once and reads it whole: what is hashed is what is compiled.
pub(crate) fn read(path: &Path, limit: u64) -> anyhow::Result<Bytes> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {shown}"))?;
    if bytes.len() as u64 > limit {
        bail!("{shown} is larger than {limit} bytes");
    }
    Ok(bytes.into())
}
