//! Pre-check: what can be known of a module without compiling or running it. Linear in its
//! size, so it may run in the daemon itself; compiling may not.

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
        return Err(LoadError::NotWasm(not_wasm(bytes)));
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
    exports: Vec<String>,
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
                    if !matches!(import.ty, TypeRef::Func(_)) {
                        return Err(LoadError::Link(format!(
                            "import `{}.{}` is not a function",
                            import.module, import.name
                        )));
                    }
                    self.import(import.module, import.name)?;
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
                    if export.kind == ComponentExternalKind::Func {
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
        let door = if self.component {
            match (has("handle-batch"), has("handle")) {
                (true, _) => Door::Packed,
                (_, true) => Door::Typed,
                _ => {
                    return Err(LoadError::NoDoor(
                        "a component exports `handle-batch` or `handle`, this one neither".into(),
                    ));
                }
            }
        } else if has("lockgate_abi") {
            Door::Core
        } else {
            return Err(LoadError::NoDoor(format!(
                "a core module exports {}; this one has no `lockgate_abi`",
                CORE_EXPORTS.join(", ")
            )));
        };
        let required: &[&str] =
            if door == Door::Core { &CORE_EXPORTS } else { &["describe", "init"] };
        let missing: Vec<&str> = required.iter().copied().filter(|name| !has(name)).collect();
        if !missing.is_empty() {
            return Err(LoadError::NoDoor(format!(
                "this {} lacks the exports {}",
                door.name(),
                missing.join(", ")
            )));
        }
        Ok(Scan { door, imports: self.imports, describe: self.describe })
    }
}

fn at_most(what: &'static str, found: u64, limit: u64) -> Result<(), LoadError> {
    if found > limit { Err(LoadError::TooLarge { what, found, limit }) } else { Ok(()) }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn invalid(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Invalid(clean(&error.to_string(), 512))
}

fn not_wasm(bytes: &[u8]) -> String {
    match bytes {
        [] => "it is empty",
        [0x7f, b'E', b'L', b'F', ..] => {
            "it is machine code; precompiled modules are never loaded, give the .wasm"
        }
        _ if bytes.trim_ascii_start().starts_with(b"(") => {
            "it looks like WebAssembly text; assemble it first"
        }
        _ => "it does not start with the bytes `\\0asm`",
    }
    .to_owned()
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
