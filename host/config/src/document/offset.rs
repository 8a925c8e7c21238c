//! Offset: from a byte of a string's value to the byte of the TOML text that wrote it.

/// The byte of `raw`, a TOML string with its quotes, that wrote byte `at` of the unescaped string.
/// `None` beyond its end.
pub(crate) fn in_source(raw: &str, at: usize) -> Option<usize> {
    let (quotes, escapes) = match raw.as_bytes() {
        [b'"', b'"', b'"', ..] if raw.len() >= 6 => (3, true),
        [b'\'', b'\'', b'\'', ..] if raw.len() >= 6 => (3, false),
        [b'"', ..] => (1, true),
        [b'\'', ..] => (1, false),
        _ => return None,
    };
    let end = raw.len().checked_sub(quotes)?;
    let mut source = quotes;
    if quotes == 3 {
        source += newline(raw.get(source..end)?);
    }
    let mut value = 0;
    // Where bytes that no value came from (a folded line) begin, they belong to what follows.
    while source < end {
        let rest = raw.get(source..end)?;
        let (taken, made) = if escapes && rest.starts_with('\\') {
            escape(rest)?
        } else {
            let first = rest.chars().next()?.len_utf8();
            (first, first)
        };
        if at < value + made {
            return Some(source);
        }
        source += taken;
        value += made;
    }
    (at == value).then_some(source)
}

/// Bytes that an escape takes in the source, and bytes that it makes.
fn escape(rest: &str) -> Option<(usize, usize)> {
    let digits = match rest.as_bytes().get(1)? {
        b'x' => 2,
        b'u' => 4,
        b'U' => 8,
        b'\n' | b'\r' | b' ' | b'\t' => {
            let folded = rest.get(1..)?.trim_start_matches([' ', '\t', '\n', '\r']);
            return Some((rest.len() - folded.len(), 0));
        }
        _ => return Some((2, 1)),
    };
    let code = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
    Some((2 + digits, char::from_u32(code)?.len_utf8()))
}

fn newline(text: &str) -> usize {
    if text.starts_with("\r\n") { 2 } else { usize::from(text.starts_with('\n')) }
}

#[cfg(test)]
mod tests {
    use toml::de::DeValue;

    use super::*;

    /// Walks every byte: each must come from a place further on, and the end from the end.
    fn check(raw: &str) {
        let parsed = DeValue::parse(raw).unwrap().into_inner();
        let value = parsed.as_str().unwrap();
        let mut last = 0;
        for (at, c) in value.char_indices() {
            let source = in_source(raw, at).unwrap();
            assert!(source > last, "{raw:?} at {at}");
            last = source;
            if !c.is_control() && c.is_ascii() && raw.as_bytes()[source] != b'\\' {
                assert_eq!(raw.as_bytes()[source], c as u8, "{raw:?} at {at}");
            }
        }
        assert!(in_source(raw, value.len()).is_some(), "{raw:?}");
        assert_eq!(in_source(raw, value.len() + 1), None, "{raw:?}");
    }

    #[test]
    fn every_kind_of_string() {
        for raw in [
            "\"\"",
            "''",
            "\"plain\"",
            "'li\\teral'",
            r#""a\tb\\c\"d\u00e9e\U0001F600f\x41\eg""#,
            "\"\"\"\nfirst\nsecond \\\n   folded\\u00e9\"\"\"",
            "\"\"\"\r\na\"\"b\"\"\"\"",
            "'''\na'b''c'''",
            "'é→x'",
        ] {
            check(raw);
        }
    }
}
