//! From the text of a program to its words.

/// A word of a program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Token<'s> {
    /// A name or a keyword.
    Word(&'s str),
    /// `.name`
    Field(&'s str),
    /// `$name`
    Var(&'s str),
    /// `@name`
    Format(&'s str),
    Number(&'s str),
    /// The quote that begins a string.
    Quote,
    Op(&'static str),
    End,
    /// What begins no word.
    Unknown(char),
}

/// Operators, the longer ones first.
const OPS: [&str; 34] = [
    "?//", "//=", "|=", "+=", "-=", "*=", "/=", "%=", "==", "!=", "<=", ">=", "//", "..", "|", ",",
    "=", "<", ">", "+", "-", "*", "/", "%", ".", "?", "(", ")", "[", "]", "{", "}", ":", ";",
];

/// The next word from a place on: where it begins, the word, and where it ends.
pub(crate) fn token(source: &str, at: usize) -> (usize, Token<'_>, usize) {
    let start = skip_spaces(source, at);
    let rest = source.get(start..).unwrap_or_default();
    let Some(first) = rest.chars().next() else { return (start, Token::End, start) };
    let word = |prefix: usize| {
        let name = name(rest.get(prefix..).unwrap_or_default());
        (!name.is_empty()).then_some((name, start + prefix + name.len()))
    };
    let number = number(rest);
    if number > 0 {
        return (start, Token::Number(rest.get(..number).unwrap_or_default()), start + number);
    }
    let found = match first {
        '.' => {
            word(1).map(|(name, end)| (Token::Field(name.split(':').next().unwrap_or(name)), end))
        }
        '$' => word(1).map(|(name, end)| (Token::Var(name), end)),
        '@' => word(1).map(|(name, end)| (Token::Format(name), end)),
        '"' => Some((Token::Quote, start + 1)),
        _ => word(0).map(|(name, end)| (Token::Word(name), end)),
    };
    if let Some((token, end)) = found {
        return (start, token, end);
    }
    match OPS.iter().find(|op| rest.starts_with(**op)) {
        Some(op) => (start, Token::Op(op), start + op.len()),
        None => (start, Token::Unknown(first), start + first.len_utf8()),
    }
}

/// Past spaces and comments. A backslash at the end of a comment's line continues it.
fn skip_spaces(source: &str, mut at: usize) -> usize {
    let bytes = source.as_bytes();
    let mut comment = false;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if comment => at += 1,
            b'\n' if comment => comment = false,
            _ if comment => {}
            b'#' => comment = true,
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => break,
        }
        at += 1;
    }
    at.min(bytes.len())
}

/// A name at the start of a text, with `::` between its parts; empty if there is none.
fn name(text: &str) -> &str {
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let bytes = text.as_bytes();
    let mut end = 0;
    while bytes.get(end).is_some_and(|byte| is_first(*byte)) {
        while bytes.get(end).is_some_and(|byte| is_first(*byte) || byte.is_ascii_digit()) {
            end += 1;
        }
        let more = bytes.get(end..end + 2) == Some(b"::")
            && bytes.get(end + 2).is_some_and(|byte| is_first(*byte));
        if !more {
            break;
        }
        end += 2;
    }
    text.get(..end).unwrap_or_default()
}

/// Length of the number at the start of a text; 0 if there is none.
fn number(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        bytes
            .get(from..)
            .unwrap_or_default()
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let whole = digits(0);
    let mut end = whole;
    if bytes.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if whole == 0 && fraction == 0 {
            return 0;
        }
        end += 1 + fraction;
    } else if whole == 0 {
        return 0;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}
