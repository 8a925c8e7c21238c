//! The frame format of `docs/reference/frame.md`: batches in, verdicts out. Byte for byte that
//! page; nothing here knows of wasm.

pub(crate) mod decode;
pub(crate) mod encode;

/// `LGB1`, little-endian: what a batch starts with.
const BATCH_MAGIC: u32 = 0x3142_474C;
/// `LGV1`: what an output starts with.
const OUTPUT_MAGIC: u32 = 0x3156_474C;
const VERSION: u16 = 1;

/// Levels of nesting of header values, the headers part itself being the first.
pub(crate) const MAX_DEPTH: usize = 32;

/// Changes and values that one verdict may hold in all. A change is one byte in the output and
/// some eighty on the host.
pub(crate) const MAX_NODES: usize = 65_536;

const PART_ORIGIN: u32 = 1;
const PART_PROPERTIES: u32 = 2;
const PART_HEADERS: u32 = 3;
const PART_BODY: u32 = 4;

#[cfg(test)]
mod tests;
