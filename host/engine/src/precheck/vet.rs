//! The whole check before compiling: valid under the proposals that plugins may use, and no
//! function so large or deep that compiling it is sure to be dear.

use wasmparser::{
    FuncValidator, FuncValidatorAllocations, FunctionBody, Parser, ValidPayload, Validator,
    ValidatorResources, WasmFeatures,
};

use super::{at_most, invalid};
use crate::error::LoadError;

/// Bytes of one function. The largest of CPython and QuickJS stay below 300 KiB.
const MAX_BODY: u64 = 2 << 20;
/// Locals of one function.
const MAX_LOCALS: u64 = 20_000;
/// Blocks in blocks; a `switch` of n cases is n deep.
const MAX_NESTING: u64 = 5_000;

/// The proposals a plugin may use; the sandbox is configured the same.
fn features() -> WasmFeatures {
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

/// Validates a module or component with all its functions.
pub(crate) fn vet(bytes: &[u8]) -> Result<(), LoadError> {
    let mut validator = Validator::new_with_features(features());
    let mut allocations = FuncValidatorAllocations::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        match validator.payload(&payload).map_err(invalid)? {
            ValidPayload::Func(function, body) => {
                let mut function = function.into_validator(allocations);
                vet_function(&mut function, &body)?;
                allocations = function.into_allocations();
            }
            ValidPayload::Ok | ValidPayload::Parser(_) | ValidPayload::End(_) => {}
        }
    }
    Ok(())
}

fn vet_function(
    validator: &mut FuncValidator<ValidatorResources>,
    body: &FunctionBody<'_>,
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
