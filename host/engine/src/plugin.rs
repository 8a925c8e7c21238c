//! Plugin: a module that was checked, compiled, linked to its grants and asked what it is.

use std::fmt;
use std::sync::Arc;

use lockgate_message::Reason;
use wasmtime::Linker;

use crate::cache::Artifact;
use crate::capabilities::kv::KvAccess;
use crate::capabilities::{Capability, Grants};
use crate::compile::Kind;
use crate::configured::Configured;
use crate::describe::{Description, speaks};
use crate::doors::{Door, component, core, wasi};
use crate::engine::{Digest, Engine};
use crate::error::{ConfigureError, LoadError};
use crate::fault::Crash;
use crate::host::{Host, Shared};
use crate::limits::Limits;
use crate::precheck::{Import, Scan, scan};
use crate::sandbox::{Linked, Sandbox};

/// A plugin that can be configured, once for each stage that uses it.
pub struct Plugin {
    pub(crate) engine: Engine,
    pub(crate) linked: Linked,
    /// Held so that the engine finds the code for the next plugin of the same bytes.
    _artifact: Arc<Artifact>,
    pub(crate) limits: Limits,
    pub(crate) grants: Grants,
    pub(crate) reasons: Vec<Reason>,
    digest: Digest,
    door: Door,
    description: Description,
}

impl Engine {
    /// Checks, compiles (or takes from the cache), links, instantiates once and describes.
    ///
    /// Slow: call it off the message path, on a thread with [`MIN_THREAD_STACK`].
    ///
    /// [`MIN_THREAD_STACK`]: crate::MIN_THREAD_STACK
    ///
    /// # Errors
    /// What is wrong with the module, in words for the one who configured it.
    pub fn load(
        &self,
        bytes: &[u8],
        grants: Grants,
        limits: &Limits,
    ) -> Result<Arc<Plugin>, LoadError> {
        let scan = scan(bytes)?;
        if let Some(section) = &scan.describe {
            let stated = Description::parse(section).map_err(LoadError::Describe)?;
            admit(&stated, grants)?;
        }
        check_imports(&scan, grants)?;
        let digest = Digest::of(bytes);
        let artifact = self.artifact(&digest, Kind::of(scan.door), bytes)?;
        let linked =
            link(scan.door, &artifact).map_err(|error| LoadError::of(&error, LoadError::Link))?;
        let description = describe(self, &linked, &scan, grants, limits, digest)?;
        Ok(Arc::new(Plugin {
            engine: self.clone(),
            linked,
            _artifact: artifact,
            limits: limits.clone(),
            grants,
            reasons: description.reason_words(),
            digest,
            door: scan.door,
            description,
        }))
    }
}

impl Plugin {
    /// What it says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The digest of its module.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Which way it is called.
    pub fn door(&self) -> Door {
        self.door
    }

    /// Gives it the settings of the stage named `stage`. State, if it may use any, is not
    /// available to it.
    ///
    /// # Errors
    /// What is wrong with the settings, or with the plugin's init.
    pub fn configure(
        self: &Arc<Self>,
        stage: &str,
        settings: &serde_json::Value,
    ) -> Result<Arc<Configured>, ConfigureError> {
        self.configure_with(stage, settings, None)
    }

    /// [`Plugin::configure`] with the state that the stage's messages use.
    ///
    /// # Errors
    /// As there.
    pub fn configure_with(
        self: &Arc<Self>,
        stage: &str,
        settings: &serde_json::Value,
        kv: Option<KvAccess>,
    ) -> Result<Arc<Configured>, ConfigureError> {
        Configured::new(self.clone(), stage, settings, kv).map(Arc::new)
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Description { name, version, .. } = &self.description;
        write!(f, "Plugin({name} {version}, {}, sha256 {})", self.door.name(), self.digest)
    }
}

/// Checks contract and capabilities of a description.
pub(crate) fn admit(description: &Description, grants: Grants) -> Result<(), LoadError> {
    let contract = description.contract().unwrap_or_default();
    if !speaks(contract) {
        return Err(LoadError::contract(contract));
    }
    let (mut denied, mut wanted) = (Vec::new(), Some(grants));
    // Settings come through init, without a grant.
    for name in description.capabilities.iter().filter(|name| *name != "config") {
        let capability = Capability::from_name(name);
        if !capability.is_some_and(|capability| grants.has(capability)) {
            denied.push(format!("capability `{}`", crate::text::clean(name, 64)));
            wanted = wanted.zip(capability).map(|(wanted, capability)| wanted.with(capability));
        }
    }
    refuse(denied, wanted)
}

/// The error for what is denied, if anything is; `wanted` is what would be enough.
fn refuse(denied: Vec<String>, wanted: Option<Grants>) -> Result<(), LoadError> {
    match denied.is_empty() {
        true => Ok(()),
        false => Err(LoadError::Denied { imports: denied, grant: wanted.map(Grants::line) }),
    }
}

fn capability_of(door: Door, import: &Import) -> Result<Option<Capability>, ()> {
    match door {
        Door::Core => core::capability_of(&import.module, &import.name),
        Door::Packed | Door::Typed => component::capability_of(&import.module),
    }
}

/// The capabilities that its imports take.
pub(crate) fn capabilities(scan: &Scan) -> impl Iterator<Item = Capability> {
    scan.imports.iter().filter_map(|import| capability_of(scan.door, import).ok().flatten())
}

/// Checks every import against the grants.
pub(crate) fn check_imports(scan: &Scan, grants: Grants) -> Result<(), LoadError> {
    let (mut denied, mut unknown, mut wanted) = (Vec::new(), Vec::new(), grants);
    for import in &scan.imports {
        match capability_of(scan.door, import) {
            Ok(Some(capability)) if !grants.has(capability) => {
                denied.push(format!("`{import}` (capability `{capability}`)"));
                wanted = wanted.with(capability);
            }
            Ok(_) => {}
            Err(()) => unknown.push(format!("`{import}`")),
        }
    }
    if !unknown.is_empty() {
        return Err(LoadError::UnknownImports { imports: unknown });
    }
    refuse(denied, Some(wanted))
}

fn link(door: Door, artifact: &Artifact) -> wasmtime::Result<Linked> {
    match artifact {
        Artifact::Module(module) => {
            let mut linker = Linker::new(module.engine());
            core::link(&mut linker)?;
            wasi::link(&mut linker, module)?;
            Ok(Linked::Core(linker.instantiate_pre(module)?))
        }
        Artifact::Component(code) => {
            let mut linker = wasmtime::component::Linker::new(code.engine());
            component::link(&mut linker)?;
            let pre = linker.instantiate_pre(code)?;
            Ok(if door == Door::Typed { Linked::Typed(pre) } else { Linked::Packed(pre) })
        }
    }
}

/// Instantiates once and asks what the plugin is.
fn describe(
    engine: &Engine,
    linked: &Linked,
    scan: &Scan,
    grants: Grants,
    limits: &Limits,
    digest: Digest,
) -> Result<Description, LoadError> {
    let start = |crash: Crash| match crash.starved {
        true => LoadError::Machine(crash.text),
        false => LoadError::Start(crash.into()),
    };
    let shared = Arc::new(Shared::new("describe", grants, limits, digest.seed()));
    let host = Host::new(engine, shared, limits, 0);
    let mut sandbox = Sandbox::open(engine, linked, host, limits).map_err(start)?;
    if let Some(contract) = sandbox.abi(limits).map_err(start)?.filter(|abi| !speaks(*abi)) {
        return Err(LoadError::contract(contract));
    }
    let text = sandbox.describe(limits).map_err(start)?;
    let description = Description::parse(text.as_bytes()).map_err(LoadError::Describe)?;
    admit(&description, grants)?;
    if let Some(stated) = &scan.describe
        && Description::parse(stated).as_ref() != Ok(&description)
    {
        return Err(LoadError::Describe(
            "the custom section `lockgate:describe` says something else than the code".into(),
        ));
    }
    Ok(description)
}
