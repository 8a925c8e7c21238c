//! Inspection: what can be said of a module without running or compiling it.

use crate::capabilities::{Capability, Grants};
use crate::describe::Description;
use crate::doors::Door;
use crate::engine::Digest;
use crate::error::LoadError;
use crate::plugin::{admit, capabilities, check_imports};
use crate::precheck::{scan, vet};

/// What a module shows to tools.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    pub door: Door,
    pub digest: Digest,
    /// Bytes of the module.
    pub size: usize,
    /// What it imports, as `module.name` or, of a component, by interface.
    pub imports: Vec<String>,
    /// The line of a stage that grants what it asks for beyond what every plugin gets.
    pub grant: Option<String>,
    /// From the custom section `lockgate:describe`; the plugin says it when it runs, too.
    pub description: Option<Description>,
}

/// Reads a module.
///
/// # Errors
/// What keeps it from being a plugin, as [`Engine::load`](crate::Engine::load) would say it.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    let scan = scan(bytes)?;
    vet(bytes)?;
    let description = scan.describe.as_deref().map(Description::parse).transpose();
    let description = description.map_err(LoadError::Describe)?;
    // With every grant there is, for what it asks for is the pipeline file's to decide.
    let all: Grants = Capability::ALL.into_iter().collect();
    check_imports(&scan, all)?;
    if let Some(description) = &description {
        admit(description, all)?;
    }
    let asked = description.iter().flat_map(|description| &description.capabilities);
    let asked = asked.filter_map(|name| Capability::from_name(name));
    let wanted = asked.chain(capabilities(&scan)).fold(Grants::default(), Grants::with);
    Ok(Inspection {
        door: scan.door,
        digest: Digest::of(bytes),
        size: bytes.len(),
        imports: scan.imports.iter().map(|import| import.to_string()).collect(),
        grant: (wanted != Grants::default()).then(|| wanted.line()),
        description,
    })
}
