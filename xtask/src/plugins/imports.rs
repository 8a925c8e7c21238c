//! What a module imports: shipped plugins get nothing but the functions of the contract.
//!
//! Reads just the import section (WebAssembly core specification 1.0, 5.5.5); the engine
//! validates the whole module when it loads it.

use anyhow::{Context, Result, bail, ensure};

const CONTRACT: &str = "lockgate_v0";
const IMPORT_SECTION: u8 = 2;
const FUNCTION: u8 = 0;

/// Fails unless `module` is a core module whose every import is a function of the contract.
pub(crate) fn check(module: &[u8]) -> Result<()> {
    let mut rest =
        module.strip_prefix(b"\0asm\x01\0\0\0").context("not a WebAssembly 1.0 core module")?;
    while let Some((id, after)) = rest.split_first() {
        rest = after;
        let size = number(&mut rest)?;
        let mut section = take(&mut rest, size)?;
        if *id == IMPORT_SECTION {
            for _ in 0..number(&mut section)? {
                import(&mut section)?;
            }
        }
    }
    Ok(())
}

fn import(section: &mut &[u8]) -> Result<()> {
    let from = name(section)?;
    let what = name(section)?;
    let kind = take(section, 1)?;
    ensure!(
        from == CONTRACT && kind == [FUNCTION],
        "it imports `{from}` `{what}`; only functions of `{CONTRACT}` are allowed"
    );
    number(section).map(drop) // the function's type
}

fn name(bytes: &mut &[u8]) -> Result<String> {
    let length = number(bytes)?;
    Ok(String::from_utf8(take(bytes, length)?.to_vec())?)
}

/// An unsigned LEB128 number of at most 32 bits.
fn number(bytes: &mut &[u8]) -> Result<usize> {
    let mut value = 0_u64;
    for shift in [0, 7, 14, 21, 28] {
        let (byte, after) = bytes.split_first().context("cut off")?;
        *bytes = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(usize::try_from(value)?);
        }
    }
    bail!("a number of more than 32 bits")
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
    let (head, after) = bytes.split_at_checked(count).context("cut off")?;
    *bytes = after;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::check;

    const HEADER: &[u8] = b"\0asm\x01\0\0\0";

    /// An import section with one import.
    fn importing(from: &str, kind: u8) -> Vec<u8> {
        let mut entry = vec![1, from.len() as u8];
        entry.extend(from.as_bytes());
        entry.extend([3, b'l', b'o', b'g', kind, 0]);
        let mut module = HEADER.to_vec();
        module.extend([2, entry.len() as u8]);
        module.extend(entry);
        module
    }

    #[test]
    fn only_functions_of_the_contract_pass() {
        let cut = importing("lockgate_v0", 0);
        let cases: [(&str, &[u8], bool); 6] = [
            ("no imports", HEADER, true),
            ("contract", &importing("lockgate_v0", 0), true),
            ("a memory", &importing("lockgate_v0", 2), false),
            ("WASI", &importing("wasi_snapshot_preview1", 0), false),
            ("cut off", &cut[..cut.len() - 3], false),
            ("no module", b"#!/bin/sh", false),
        ];
        for (case, module, good) in cases {
            assert_eq!(check(module).is_ok(), good, "{case}");
        }
    }
}
