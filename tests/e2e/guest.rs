//! A plugin in the text format, as a core module.

use anyhow::Result;

/// Of contract version `abi`, described as `contract`, with `capabilities` asked for, around
/// `code`, which has the function `$batch`.
pub(crate) fn guest(abi: &str, contract: &str, capabilities: &str, code: &str) -> Result<Vec<u8>> {
    let describe = format!(
        r#"{{"name":"fixture","version":"0.1.0","contract":"{contract}","capabilities":[{capabilities}],"reasons":["odd"]}}"#
    );
    let init = r#"{"ok":{"needs":{"body":true}}}"#;
    let (describe_at, init_at) = (1024_u64, 4096_u64);
    let described = describe_at << 32 | describe.len() as u64;
    let inited = init_at << 32 | init.len() as u64;
    let module = format!(
        r#"(module
            (@custom "lockgate:describe" {describe:?})
            (memory (export "memory") 2)
            (data (i32.const {describe_at}) {describe:?})
            (data (i32.const {init_at}) {init:?})
            (func (export "lockgate_abi") (result i32) i32.const {abi})
            (func (export "lockgate_describe") (result i64) i64.const {described})
            (func (export "lockgate_init") (param i32 i32) (result i64) i64.const {inited})
            ;; What does not fit above the first page gets pages of its own.
            (func (export "lockgate_buffer") (param $size i32) (result i32)
                (drop (memory.grow (i32.div_u (local.get $size) (i32.const 65536))))
                (i32.const 65536))
            (export "lockgate_batch" (func $batch))
            {code})"#
    );
    Ok(wat::parse_str(module)?)
}
