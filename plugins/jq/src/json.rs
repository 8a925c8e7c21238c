//! JSON in and out of values: strict (RFC 8259), and bounded in depth.

mod read;
mod write;

#[cfg(test)]
mod tests;

pub use read::{NotJson, read};
pub(crate) use read::{from_json, unescape};
pub(crate) use write::to_json;
pub use write::{TooDeep, write};

/// Arrays and objects within each other, on the way in and on the way out. `serde_json` and jq's
/// usual clients draw the line at the same depth.
pub const MAX_DEPTH: usize = 128;

/// Length of the run of bytes that a JSON string holds as they are: up to a quote, a backslash or a
/// control character. Eight bytes at a time ("Bit Twiddling Hacks", S. E. Anderson: determine if a
/// word has a byte less than n); the lowest bit found is exact, those above it need not be.
fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = zero_in(word ^ (ONES * u64::from(b'"')));
        let backslash = zero_in(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | backslash | control) & (ONES << 7);
        if found != 0 {
            return 8 * at + (found.trailing_zeros() / 8) as usize;
        }
    }
    let is_special = |byte: &u8| matches!(byte, 0..0x20 | b'"' | b'\\');
    8 * words.len() + rest.iter().position(is_special).unwrap_or(rest.len())
}
