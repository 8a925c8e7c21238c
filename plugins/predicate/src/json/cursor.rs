//! Cursor: a position in a JSON text, and the tokens of RFC 8259.

/// A position in a text that is known to be UTF-8. Methods return `None` where the text is not
/// JSON; the position is then of no more use.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES << 7;

/// The highest bit of each byte that is zero, exact up to the first such byte, which is all that
/// is looked at ("Bit Twiddling Hacks", S. E. Anderson: determine if a word has a zero byte). What
/// the other bits hold is of no meaning.
#[inline]
fn zero(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}

/// Likewise each byte that is this one.
#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    zero(word ^ (ONES * u64::from(byte)))
}

/// Likewise each bracket and brace. A bracket is a brace without the bit 0x20.
#[inline]
fn brackets(word: u64) -> u64 {
    let folded = word | (ONES * 0x20);
    equal(folded, b'{') | equal(folded, b'}')
}

/// Likewise each byte that ends a run of plain characters in a string: a quote, a backslash or a
/// control character.
#[inline]
fn special(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    equal(word, b'"') | equal(word, b'\\') | control
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str, at: usize) -> Self {
        Self { bytes: text.as_bytes(), at }
    }

    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn slice(&self, start: usize, end: usize) -> &'a [u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub(super) fn skip(&mut self, count: usize) {
        self.at += count;
    }

    /// The next byte that is not white space, which it stays before.
    #[inline]
    pub(super) fn next_token(&mut self) -> Option<u8> {
        loop {
            let byte = self.peek()?;
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Whether only white space is left.
    pub(super) fn is_done(&mut self) -> bool {
        self.next_token().is_none()
    }

    #[inline]
    pub(super) fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest().starts_with(word).then(|| self.at += word.len())
    }

    /// A string after its opening quote: where its text ends, and whether it has escapes. Stays
    /// after the closing quote.
    #[inline]
    pub(super) fn string(&mut self) -> Option<(usize, bool)> {
        let mut escaped = false;
        loop {
            while let Some(chunk) = self.rest().first_chunk() {
                let hits = special(u64::from_le_bytes(*chunk)) & HIGHS;
                if hits != 0 {
                    self.at += (hits.trailing_zeros() / 8) as usize;
                    break;
                }
                self.at += 8;
            }
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some((self.at - 1, escaped));
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                0..=0x1f => return None,
                _ => self.at += 1,
            }
        }
    }

    /// One escape sequence. A surrogate may stand without its other half, as in many readers.
    #[cold]
    fn escape(&mut self) -> Option<()> {
        match self.bytes.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => {
                self.hex4(self.at + 2)?;
                self.at += 6;
            }
            _ => return None,
        }
        Some(())
    }

    fn hex4(&self, at: usize) -> Option<u32> {
        self.bytes
            .get(at..at + 4)?
            .iter()
            .try_fold(0, |code, &byte| Some(code << 4 | char::from(byte).to_digit(16)?))
    }

    /// A number; stays after it.
    #[inline]
    pub(super) fn number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek()? == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        match self.peek() {
            Some(b'.' | b'e' | b'E') => self.fraction(),
            _ => Some(()),
        }
    }

    /// What can follow the integer part of a number.
    fn fraction(&mut self) -> Option<()> {
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// One digit or more.
    #[inline]
    fn digits(&mut self) -> Option<()> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(())
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Stays after the next comma that is in no string, array or object, in a text that is known
    /// to be JSON.
    pub(super) fn pass_comma(&mut self) -> Option<()> {
        loop {
            match self.seek(|word| brackets(word) | equal(word, b',') | equal(word, b'"'))? {
                b'"' => {
                    self.at += 1;
                    self.string()?;
                }
                b',' => {
                    self.at += 1;
                    return Some(());
                }
                _ => self.pass_nested()?,
            }
        }
    }

    /// Passes an array or object with all that is in it, in a text that is known to be JSON.
    pub(super) fn pass_nested(&mut self) -> Option<()> {
        let mut open = 0_usize;
        loop {
            let byte = self.seek(|word| brackets(word) | equal(word, b'"'))?;
            self.at += 1;
            match byte {
                b'"' => drop(self.string()?),
                b'{' | b'[' => open += 1,
                _ => {
                    open -= 1;
                    if open == 0 {
                        return Some(());
                    }
                }
            }
        }
    }

    /// The next byte that `hits` marks in the word of it and the bytes after it, and stays before
    /// it.
    #[inline]
    fn seek(&mut self, hits: impl Fn(u64) -> u64) -> Option<u8> {
        loop {
            let rest = self.rest();
            let chunk = rest.first_chunk().copied();
            let word = chunk.unwrap_or_else(|| {
                let mut padded = [b' '; 8];
                padded.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                padded
            });
            let found = hits(u64::from_le_bytes(word)) & HIGHS;
            if found != 0 {
                self.at += (found.trailing_zeros() / 8) as usize;
                return self.peek();
            }
            chunk?;
            self.at += 8;
        }
    }
}
