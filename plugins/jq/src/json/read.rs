//! From the bytes of a body to a value.

use std::rc::Rc;

use thiserror::Error;

use super::{MAX_DEPTH, plain_run};
use crate::map::Map;
use crate::number::Num;
use crate::value::Val;

/// Why a body cannot be read.
#[derive(Debug, Error, PartialEq)]
pub enum NotJson {
    /// Nothing, or only spaces.
    #[error("the body is empty")]
    Empty,
    /// Not JSON; what was expected, and the byte where it was not.
    #[error("the body is not JSON: {0} expected at byte {1}")]
    Syntax(&'static str, usize),
    /// Not text.
    #[error("the body is not JSON: {0}")]
    Text(std::str::Utf8Error),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the body is nested deeper than {MAX_DEPTH}")]
    Depth,
}

/// Reads a body. A byte order mark before it is skipped, half a surrogate pair reads as U+FFFD. Of a
/// key that comes twice the last value counts, at the first one's place.
///
/// # Errors
/// Why it is not one JSON value from its first to its last byte.
pub fn read(body: &[u8]) -> Result<Val, NotJson> {
    let text = str::from_utf8(body).map_err(NotJson::Text)?;
    let skipped = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut reader = Reader { text, at: skipped };
    if reader.peek().is_none() {
        return Err(NotJson::Empty);
    }
    let value = reader.value(0)?;
    reader.end()?;
    Ok(value)
}

/// Reads text as jq's `fromjson` does: it takes NaN as well.
pub(crate) fn from_json(text: &str) -> Result<Val, NotJson> {
    match text.trim_matches([' ', '\t', '\r', '\n']) {
        "nan" | "NaN" => Ok(Val::from(f64::NAN)),
        _ => read(text.as_bytes()),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next byte that is no space; the reader stands there.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let spaces = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        self.at += spaces.unwrap_or(rest.len());
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn expected(&self, what: &'static str) -> NotJson {
        NotJson::Syntax(what, self.at)
    }

    fn end(&mut self) -> Result<(), NotJson> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end")),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Val, NotJson> {
        match self.peek() {
            Some(b'"') => self.string().map(Val::Str),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Val, NotJson> {
        let words = [("null", Val::Null), ("true", Val::Bool(true)), ("false", Val::Bool(false))];
        for (word, value) in words {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.expected("a value"))
    }

    fn object(&mut self, depth: usize) -> Result<Val, NotJson> {
        // The outermost object has room from the start for as many members as are likely. Inner
        // ones have not: there can be very many, and small.
        let room = if depth == 1 { (self.text.len() / 24).min(64) } else { 0 };
        let mut members = Map::with_capacity(room);
        self.sequence(b'}', depth, |reader| {
            if reader.peek() != Some(b'"') {
                return Err(reader.expected("a string"));
            }
            let key = reader.string()?;
            if reader.peek() != Some(b':') {
                return Err(reader.expected("a colon"));
            }
            reader.at += 1;
            let value = reader.value(depth)?;
            members.insert(key, value);
            Ok(())
        })?;
        Ok(Val::from(members))
    }

    fn array(&mut self, depth: usize) -> Result<Val, NotJson> {
        let mut elements = Vec::new();
        self.sequence(b']', depth, |reader| {
            elements.push(reader.value(depth)?);
            Ok(())
        })?;
        Ok(Val::from(elements))
    }

    /// What stands between an opening bracket, where the reader is, and `end`.
    fn sequence(
        &mut self,
        end: u8,
        depth: usize,
        mut item: impl FnMut(&mut Self) -> Result<(), NotJson>,
    ) -> Result<(), NotJson> {
        if depth > MAX_DEPTH {
            return Err(NotJson::Depth);
        }
        self.at += 1;
        if self.peek() != Some(end) {
            loop {
                item(self)?;
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(byte) if byte == end => break,
                    _ => return Err(self.expected("a comma or a closing bracket")),
                }
            }
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<Rc<str>, NotJson> {
        self.at += 1;
        let rest = self.rest();
        let plain = plain_run(rest.as_bytes());
        if rest.as_bytes().get(plain) == Some(&b'"') {
            self.at += plain + 1;
            return Ok(rest.get(..plain).unwrap_or_default().into());
        }
        let mut out = String::new();
        loop {
            let rest = self.rest();
            let plain = plain_run(rest.as_bytes());
            out.push_str(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match rest.as_bytes().get(plain) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out.into());
                }
                Some(b'\\') => {
                    let (character, length) =
                        unescape(self.rest()).ok_or_else(|| self.expected("an escape"))?;
                    out.push(character);
                    self.at += length;
                }
                _ => return Err(self.expected("the end of a string")),
            }
        }
    }

    fn number(&mut self) -> Result<Val, NotJson> {
        let rest = self.rest();
        let is_part = |byte: u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let end = rest.bytes().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        let number = Num::from_json(rest.get(..end).unwrap_or_default());
        let number = number.ok_or_else(|| self.expected("a number"))?;
        self.at += end;
        Ok(Val::Num(number))
    }
}

/// The character of the escape at the start of `text`, and the bytes that it takes. Half a surrogate
/// pair is U+FFFD.
pub(crate) fn unescape(text: &str) -> Option<(char, usize)> {
    let simple = |character| Some((character, 2));
    match text.as_bytes().get(1)? {
        b'"' => simple('"'),
        b'\\' => simple('\\'),
        b'/' => simple('/'),
        b'b' => simple('\u{8}'),
        b'f' => simple('\u{c}'),
        b'n' => simple('\n'),
        b'r' => simple('\r'),
        b't' => simple('\t'),
        b'u' => {
            let unit = unit(text, 2)?;
            let low = || text.get(6..8).filter(|escape| *escape == "\\u").and(self::unit(text, 8));
            match (unit, low) {
                (0xd800..0xdc00, low) => match low() {
                    Some(low @ 0xdc00..0xe000) => {
                        let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                        Some((char::from_u32(code)?, 12))
                    }
                    _ => Some((char::REPLACEMENT_CHARACTER, 6)),
                },
                (unit, _) => Some((char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 6)),
            }
        }
        _ => None,
    }
}

/// Four hexadecimal digits.
fn unit(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(digits, 16).ok())?
}
