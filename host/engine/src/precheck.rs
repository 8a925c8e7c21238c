//! Pre-check: what can be known of a module without compiling or running it. Linear in its
//! size, so it may run in the daemon itself; compiling may not.

use std::fmt;

use wasmparser::{
    ComponentExternalKind, ComponentTypeRef, Encoding, ExternalKind, FuncValidatorAllocations,
    Parser, Payload, TypeRef, ValidPayload, Validator, WasmFeatures,
};

use crate::doors::Door;
use crate::error::LoadError;
use crate::text::clean;

/// Bytes of a module.
pub const MAX_MODULE: usize = 64 << 20;
/// Functions over all modules of a component. A componentised CPython has some 20,000.
const MAX_FUNCTIONS: u64 = 200_000;
/// Bytes of one function. The largest of CPython and QuickJS stay below 300 KiB.
const MAX_BODY: u64 = 2 << 20;
/// Locals of one function.
const MAX_LOCALS: u64 = 20_000;
/// Blocks in blocks; a `switch` of n cases is n deep.
const MAX_NESTING: u64 = 5_000;
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

/// The proposals a plugin may use; the sandbox is configured the same.
pub(crate) fn features() -> WasmFeatures {
    WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::CALL_INDIRECT_OVERLONG
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::BULK_MEMORY_OPT
        | WasmFeatures::SIMD
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::FLOATS
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL
        | WasmFeatures::GC_TYPES
}

/// Looks through a module or component.
///
/// # Errors
/// What disqualifies it.
pub(crate) fn scan(bytes: &[u8]) -> Result<Scan, LoadError> {
    at_most("bytes", bytes.len() as u64, MAX_MODULE as u64)?;
    if !bytes.starts_with(b"\0asm") {
        return Err(LoadError::NotWasm(not_wasm(bytes)));
    }
    let mut scanner = Scanner::default();
    let mut validator = Validator::new_with_features(features());
    let mut allocations = FuncValidatorAllocations::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        scanner.payload(&payload)?;
        match validator.payload(&payload).map_err(invalid)? {
            ValidPayload::Func(function, body) => {
                let mut function = function.into_validator(allocations);
                scanner.body(&mut function, &body)?;
                allocations = function.into_allocations();
            }
            ValidPayload::Ok | ValidPayload::Parser(_) | ValidPayload::End(_) => {}
        }
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

    /// Validates one function and bounds what makes compiling it dear.
    fn body(
        &mut self,
        validator: &mut wasmparser::FuncValidator<wasmparser::ValidatorResources>,
        body: &wasmparser::FunctionBody<'_>,
    ) -> Result<(), LoadError> {
        let range = body.range();
        at_most("bytes in one function", range.end - range.start, MAX_BODY)?;
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader).map_err(invalid)?;
        at_most("locals in one function", validator.len_locals().into(), MAX_LOCALS)?;
        let mut deepest = 0;
        while !reader.eof() {
            reader
                .visit_operator(&mut validator.visitor(reader.original_position()))
                .map_err(invalid)?
                .map_err(invalid)?;
            deepest = deepest.max(validator.control_stack_height());
        }
        at_most("blocks in blocks", deepest.into(), MAX_NESTING)?;
        reader.finish_expression(&validator.visitor(reader.original_position())).map_err(invalid)
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
