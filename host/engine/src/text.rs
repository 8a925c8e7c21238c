//! Guest text made safe to show: control characters neutralised, length bounded.

/// Bytes of guest text kept in a fault, a reject or a retry.
pub(crate) const FAULT_TEXT: usize = 1024;

/// `text` without anything that could steer a terminal or reorder a line, at most `max` bytes.
///
/// Line feeds, carriage returns and tabs become `\n`, `\r`, `\t`; other control characters and
/// the bidirectional overrides become `\u{…}`, as Rust writes them.
pub fn clean(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        let before = out.len();
        match c {
            _ if steers(c) => out.extend(c.escape_default()),
            _ => out.push(c),
        }
        if out.len() > max {
            out.truncate(before);
            break;
        }
    }
    out
}

/// Text for whoever escapes it later: at most `max` bytes, what is no UTF-8 is U+FFFD.
pub(crate) fn lossy(bytes: &[u8], max: usize) -> String {
    let mut text = String::from_utf8_lossy(bytes.get(..max + 4).unwrap_or(bytes)).into_owned();
    text.truncate(text.floor_char_boundary(max));
    text
}

/// [`clean`] for bytes that may not be UTF-8; what is not becomes U+FFFD.
pub(crate) fn clean_bytes(bytes: &[u8], max: usize) -> String {
    // Cut before the lossy copy, so that a large text costs no large allocation; not within the
    // last character that could still fit.
    clean(&String::from_utf8_lossy(bytes.get(..max + 4).unwrap_or(bytes)), max)
}

/// Whether a character could steer a terminal or reorder a line.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, max: usize, expected: &str) {
        assert_eq!(clean(text, max), expected);
        assert!(clean(text, max).len() <= max);
    }

    #[test]
    fn text_cannot_steer_a_terminal() {
        check("plain – ünï", 64, "plain – ünï");
        check("a\x1b[31mb", 64, "a\\u{1b}[31mb");
        check("two\nlines\t", 64, "two\\nlines\\t");
        check("\u{202e}evil\u{9b}", 64, "\\u{202e}evil\\u{9b}");
    }

    #[test]
    fn text_is_cut_between_characters() {
        check("abc", 2, "ab");
        check("aéé", 2, "a");
        check("a\x1b", 3, "a");
        assert_eq!(clean_bytes("aé€€€".as_bytes(), 4), "aé");
        assert_eq!(clean_bytes(&[b'a', 0xff], 64), "a\u{fffd}");
    }
}
