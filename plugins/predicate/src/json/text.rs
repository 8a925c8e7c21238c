//! Text: the characters that a string with escapes stands for.

/// Decodes a string that the scan has found well formed.
pub(crate) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let (decoded, length) = match escape.as_bytes().first() {
            Some(b'b') => ('\u{8}', 1),
            Some(b'f') => ('\u{c}', 1),
            Some(b'n') => ('\n', 1),
            Some(b'r') => ('\r', 1),
            Some(b't') => ('\t', 1),
            Some(b'u') => code_point(escape),
            Some(&other) => (char::from(other), 1),
            None => return out,
        };
        out.push(decoded);
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// From `uXXXX`, or from `uXXXX\uXXXX` where the two are a pair, and its length. Half of a pair
/// alone is no character: U+FFFD stands for it.
fn code_point(escape: &str) -> (char, usize) {
    let hex = |at: usize| {
        escape.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0)
    };
    let second = match escape.get(5..7) {
        Some("\\u") => hex(7),
        _ => 0,
    };
    let (code, length) = match (hex(1), second) {
        (high @ 0xd800..=0xdbff, low @ 0xdc00..=0xdfff) => {
            (0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), 11)
        }
        (code, _) => (code, 5),
    };
    (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), length)
}
