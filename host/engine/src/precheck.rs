//! Pre-check: what can be known of a module without compiling or running it. Linear in its
//! size, so it may run in the daemon itself; compiling may not.

mod origin;
mod vet;

use std::fmt;

use wasmparser::{
    ComponentExternalKind, ComponentTypeRef, Encoding, ExternalKind, Parser, Payload, TypeRef,
};

pub(crate) use vet::vet;

use crate::doors::Door;
use crate::error::LoadError;
use crate::text::clean;

/// Bytes of a module.
pub const MAX_MODULE: usize = 64 << 20;
/// Functions over all modules of a component. A componentised CPython has some 20,000.
const MAX_FUNCTIONS: u64 = 200_000;
/// Components in components.
const MAX_COMPONENT_DEPTH: u64 = 16;
/// Imports, exports.
const MAX_NAMES: usize = 10_000;

/// The custom section that carries the description.
pub(crate) const DESCRIBE_SECTION: &str = "lockgate:describe";

const CORE_EXPORTS: [&str; 6] = [
    "memory",
    "lockgate_abi",
    "lockgate_buffer",
    "lockgate_describe",
    "lockgate_init",
    "lockgate_batch",
];

/// What the pre-check found.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) door: Door,
    pub(crate) imports: Vec<Import>,
    /// The description as it stands in the custom section.
    pub(crate) describe: Option<Vec<u8>>,
}

/// An import of the module or component itself.
#[derive(Debug)]
pub(crate) struct Import {
    /// A component's interface, when `name` is empty.
    pub(crate) module: String,
    pub(crate) name: String,
}

/// As people read it, cleaned.
impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&clean(&self.module, 128))?;
        if !self.name.is_empty() {
            write!(f, ".{}", clean(&self.name, 128))?;
        }
        Ok(())
    }
}

/// Looks through a module or component, without its functions' bodies: quick enough for every
/// start. What compiles must pass [`vet`] too.
///
/// # Errors
/// What disqualifies it.
pub(crate) fn scan(bytes: &[u8]) -> Result<Scan, LoadError> {
    at_most("bytes", bytes.len() as u64, MAX_MODULE as u64)?;
    if !bytes.starts_with(b"\0asm") {
        return Err(LoadError::NotWasm(origin::not_wasm(bytes).to_owned()));
    }
    // Of an invalid module, that it is invalid says more than what is not found in it.
    look_through(bytes).or_else(|error| vet(bytes).and(Err(error)))
}

fn look_through(bytes: &[u8]) -> Result<Scan, LoadError> {
    let mut scanner = Scanner::default();
    for payload in Parser::new(0).parse_all(bytes) {
        scanner.payload(&payload.map_err(invalid)?)?;
    }
    scanner.finish()
}

#[derive(Default)]
struct Scanner {
    component: bool,
    depth: u64,
    functions: u64,
    imports: Vec<Import>,
    /// The first import that is no function, which no plugin may have.
    foreign: Option<String>,
    exports: Vec<String>,
    /// Names of custom sections.
    sections: Vec<String>,
    describe: Option<Vec<u8>>,
}

impl Scanner {
    fn payload(&mut self, payload: &Payload<'_>) -> Result<(), LoadError> {
        match payload {
            Payload::Version { encoding, .. } => {
                self.component |= self.depth == 0 && *encoding == Encoding::Component;
                self.depth += 1;
                at_most("levels of components", self.depth, MAX_COMPONENT_DEPTH)?;
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::FunctionSection(section) => {
                self.functions += u64::from(section.count());
                at_most("functions", self.functions, MAX_FUNCTIONS)?;
            }
            Payload::CustomSection(section)
                if section.name() == DESCRIBE_SECTION
                // The outermost one counts; a component's may stand in its inner module.
                && (self.describe.is_none() || self.depth == 1) =>
            {
                at_most(
                    "bytes of description",
                    section.data().len() as u64,
                    crate::limits::JSON_LIMIT as u64,
                )?;
                self.describe = Some(section.data().to_vec());
            }
            Payload::CustomSection(section) if self.depth == 1 => {
                at_most("custom sections", self.sections.len() as u64 + 1, MAX_NAMES as u64)?;
                self.sections.push(clean(section.name(), 64));
            }
            _ if self.depth == 1 => self.outermost(payload)?,
            _ => {}
        }
        Ok(())
    }

    /// Imports and exports of the module or component itself.
    fn outermost(&mut self, payload: &Payload<'_>) -> Result<(), LoadError> {
        match payload {
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    let import = import.map_err(invalid)?;
                    self.import(import.module, import.name)?;
                    if !matches!(import.ty, TypeRef::Func(_)) {
                        self.foreign = self
                            .foreign
                            .take()
                            .or_else(|| self.imports.last().map(Import::to_string));
                    }
                }
            }
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let export = export.map_err(invalid)?;
                    if matches!(export.kind, ExternalKind::Func | ExternalKind::Memory) {
                        self.export(export.name)?;
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    let import = import.map_err(invalid)?;
                    // A type that the component shares with the host gives it nothing.
                    if !matches!(import.ty, ComponentTypeRef::Type(_)) {
                        self.import(import.name.name, "")?;
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export.map_err(invalid)?;
                    if matches!(
                        export.kind,
                        ComponentExternalKind::Func | ComponentExternalKind::Instance
                    ) {
                        self.export(export.name.name)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, module: &str, name: &str) -> Result<(), LoadError> {
        at_most("imports", self.imports.len() as u64 + 1, MAX_NAMES as u64)?;
        self.imports.push(Import { module: module.to_owned(), name: name.to_owned() });
        Ok(())
    }

    fn export(&mut self, name: &str) -> Result<(), LoadError> {
        at_most("exports", self.exports.len() as u64 + 1, MAX_NAMES as u64)?;
        self.exports.push(name.to_owned());
        Ok(())
    }

    fn finish(self) -> Result<Scan, LoadError> {
        let has = |name: &str| self.exports.iter().any(|export| export == name);
        let door = match (self.component, has("handle-batch"), has("handle")) {
            (true, true, _) => Some(Door::Packed),
            (true, false, true) => Some(Door::Typed),
            (true, false, false) => None,
            (false, ..) => has("lockgate_abi").then_some(Door::Core),
        };
        let required: &[&str] = if self.component { &["describe", "init"] } else { &CORE_EXPORTS };
        let missing: Vec<&str> = required.iter().copied().filter(|name| !has(name)).collect();
        let Some(door) = door.filter(|_| missing.is_empty()) else {
            return Err(LoadError::NoDoor(self.what_it_is(door, &missing)));
        };
        if let Some(foreign) = self.foreign {
            return Err(LoadError::Link(format!("import `{foreign}` is not a function")));
        }
        Ok(Scan { door, imports: self.imports, describe: self.describe })
    }

    /// What a module is that is no plugin, or not all of one, and what it lacks for that.
    fn what_it_is(&self, door: Option<Door>, missing: &[&str]) -> String {
        let what = match door {
            Some(door) => format!("a {} plugin that is not complete", door.name()),
            None if self.component => origin::component(&self.imports, &self.exports),
            None => origin::core(&self.imports, &self.exports, &self.sections),
        };
        let lacks = match (self.component, door, missing) {
            (true, None, []) => "`handle-batch` or `handle`".to_owned(),
            (true, None, missing) => {
                format!("`handle-batch` or `handle`, and the exports {}", missing.join(", "))
            }
            (_, _, missing) => format!("the exports {}", missing.join(", ")),
        };
        format!("it is {what}; it lacks {lacks}")
    }
}

fn at_most(what: &'static str, found: u64, limit: u64) -> Result<(), LoadError> {
    if found > limit { Err(LoadError::TooLarge { what, found, limit }) } else { Ok(()) }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn invalid(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Invalid(clean(&error.to_string(), 512))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn damaged_modules_never_panic(damage: Vec<(prop::sample::Index, u8)>) {
            let text = r#"(module
                (import "lockgate_v0" "log" (func (param i32 i32 i32)))
                (memory (export "memory") 1) (table 3 funcref) (elem (i32.const 0) func $f)
                (func $f (export "lockgate_abi") (result i32) (local i64)
                    (block (br_if 0 (i32.const 1))) (i32.const 1)))"#;
            let mut bytes = wat::parse_str(text).unwrap();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = (scan(&bytes), vet(&bytes));
        }
    }
}
