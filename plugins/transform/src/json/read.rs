//! From the bytes of a body to a value. Strings without escapes stay slices of one copy of the
//! body.

use bytes::Bytes;
use hifijson::SliceLexer;
use hifijson::num::LexWrite;
use hifijson::str::LexAlloc;
use hifijson::token::{Expect, Lex};
use jaq_json::{Map, Num, Val};
use thiserror::Error;

use super::{MAX_DEPTH, plain_run};

/// Digits up to which an integer is held as one. A longer one is kept as it is written, and
/// counts as a double in arithmetic: reading it as an integer takes time with its square.
const INTEGER_DIGITS: usize = 400;

/// Why a body cannot be read.
#[derive(Debug, Error)]
pub(crate) enum NotJson {
    #[error("the body is empty")]
    Empty,
    #[error("the body is not JSON: {0}")]
    Syntax(hifijson::Error),
    #[error("the body is not JSON: {0}")]
    Text(std::str::Utf8Error),
    #[error("the body is nested deeper than {MAX_DEPTH}")]
    Depth,
}

impl From<hifijson::Error> for NotJson {
    fn from(error: hifijson::Error) -> Self {
        Self::Syntax(error)
    }
}

impl From<Expect> for NotJson {
    fn from(expected: Expect) -> Self {
        Self::Syntax(expected.into())
    }
}

/// Reads a body. Of a key that comes twice the last value counts, at the first one's place.
pub(crate) fn read(body: &[u8]) -> Result<Val, NotJson> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(NotJson::Empty);
    }
    str::from_utf8(body).map_err(NotJson::Text)?;
    let shared = Bytes::copy_from_slice(body);
    let mut reader = Reader { lexer: SliceLexer::new(&shared), shared: &shared };
    let first = reader.lexer.ws_peek().ok_or(Expect::Value)?;
    let value = reader.value(first, 0)?;
    match reader.lexer.ws_peek() {
        None => Ok(value),
        Some(_) => Err(Expect::Eof.into()),
    }
}

struct Reader<'a> {
    lexer: SliceLexer<'a>,
    shared: &'a Bytes,
}

impl Reader<'_> {
    fn value(&mut self, next: u8, depth: usize) -> Result<Val, NotJson> {
        Ok(match next {
            b'"' => self.string()?,
            b'{' => self.object(depth + 1)?,
            b'[' => self.array(depth + 1)?,
            b'-' | b'0'..=b'9' => Val::Num(self.number()?),
            _ => match self.lexer.null_or_bool().ok_or(Expect::Value)? {
                None => Val::Null,
                Some(truth) => Val::Bool(truth),
            },
        })
    }

    fn object(&mut self, depth: usize) -> Result<Val, NotJson> {
        // The outermost object has room from the start for as many members as are likely. Inner
        // ones have not: there can be very many, and small.
        let room = if depth == 1 { (self.shared.len() / 24).min(64) } else { 0 };
        let mut members = Map::with_capacity_and_hasher(room, Default::default());
        self.sequence(b'}', depth, |reader, next| {
            if next != b'"' {
                return Err(Expect::String.into());
            }
            let key = reader.string()?;
            reader.lexer.expect(Lex::ws_peek, b':').ok_or(Expect::Colon)?;
            let next = reader.lexer.ws_peek().ok_or(Expect::Value)?;
            let value = reader.value(next, depth)?;
            members.insert(key, value);
            Ok(())
        })?;
        Ok(Val::obj(members))
    }

    fn array(&mut self, depth: usize) -> Result<Val, NotJson> {
        let mut elements = Vec::new();
        self.sequence(b']', depth, |reader, next| {
            elements.push(reader.value(next, depth)?);
            Ok(())
        })?;
        Ok(Val::Arr(elements.into()))
    }

    /// What stands between an opening bracket, where the lexer is, and `end`.
    fn sequence(
        &mut self,
        end: u8,
        depth: usize,
        mut item: impl FnMut(&mut Self, u8) -> Result<(), NotJson>,
    ) -> Result<(), NotJson> {
        if depth > MAX_DEPTH {
            return Err(NotJson::Depth);
        }
        let mut next = self.lexer.discarded().ws_peek().ok_or(Expect::ValueOrEnd)?;
        if next != end {
            loop {
                item(self, next)?;
                match self.lexer.ws_peek().ok_or(Expect::CommaOrEnd)? {
                    b',' => next = self.lexer.discarded().ws_peek().ok_or(Expect::Value)?,
                    byte if byte == end => break,
                    _ => return Err(Expect::CommaOrEnd.into()),
                }
            }
        }
        self.lexer.discarded();
        Ok(())
    }

    fn string(&mut self) -> Result<Val, NotJson> {
        let rest = self.lexer.discarded().as_slice();
        if let (plain, [b'"', after @ ..]) = rest.split_at(plain_run(rest)) {
            self.lexer = SliceLexer::new(after);
            return Ok(Val::utf8_str(match plain {
                [] => Bytes::new(),
                plain => self.shared.slice_ref(plain),
            }));
        }
        let text = self.lexer.str_string().map_err(hifijson::Error::Str)?;
        Ok(Val::utf8_str(text.into_owned()))
    }

    fn number(&mut self) -> Result<Num, NotJson> {
        let (text, parts) = self.lexer.num_string().validated().map_err(hifijson::Error::Num)?;
        if parts.is_int() && text.len() <= INTEGER_DIGITS && text != "-0" {
            return Ok(Num::from_str_radix(text, 10).ok_or(Expect::Value)?);
        }
        Ok(Num::Dec(text.to_owned().into()))
    }
}
