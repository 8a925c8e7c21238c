//! Limits: what is refused before the parser sees it. Parser, interpreter and destructors recurse,
//! and a sandbox has a small stack; so the nesting of an expression is bounded by its tokens.

use crate::CompileError;

/// Bytes of an expression at most.
pub const MAX_LENGTH: usize = 16 * 1024;

/// Brackets within each other at most.
const MAX_BRACKETS: usize = 32;

/// Operators of one chain, counted with those of the chains around it, at most. Each can nest the
/// syntax tree one deeper (`a.b.c`, `1 + 1 + 1`); commas, `&&` and `||` begin a new chain.
const MAX_CHAIN: usize = 256;

/// An identifier of the source, for pointing at it later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word<'s> {
    pub(crate) text: &'s str,
    pub(crate) at: usize,
    /// It follows a dot.
    pub(crate) member: bool,
    /// A parenthesis follows it.
    pub(crate) call: bool,
}

/// Checks length and nesting; returns the identifiers and the offsets of string literals.
pub(crate) fn check(source: &str) -> Result<Tokens<'_>, CompileError> {
    if source.len() > MAX_LENGTH {
        let message = format!("the expression is longer than {MAX_LENGTH} bytes");
        return Err(CompileError::new(MAX_LENGTH, message));
    }
    if source.trim().is_empty() {
        return Err(CompileError::new(0, "the expression is empty"));
    }
    let mut tokens = Tokens::default();
    let mut chains = vec![0_usize];
    let mut at = 0;
    let mut after_dot = false;
    while let Some(token) = next_token(source, at) {
        at = token.at + token.text.len();
        let first = token.text.as_bytes().first().copied().unwrap_or_default();
        match first {
            b'(' | b'[' | b'{' => {
                bump(&mut chains);
                chains.push(0);
            }
            b')' | b']' | b'}' if chains.len() > 1 => drop(chains.pop()),
            _ if matches!(token.text, "," | "&&" | "||") => {
                if let Some(chain) = chains.last_mut() {
                    *chain = 0;
                }
            }
            _ if token.is_word => {
                let call = source.get(at..).is_some_and(|rest| rest.trim_start().starts_with('('));
                tokens.words.push(Word { text: token.text, at: token.at, member: after_dot, call });
                if token.text == "in" {
                    bump(&mut chains);
                }
            }
            _ if token.is_string => tokens.strings.push((token.text, token.at)),
            b'0'..=b'9' => {}
            _ => bump(&mut chains),
        }
        after_dot = token.text == ".";
        if chains.len() > MAX_BRACKETS + 1 || chains.iter().sum::<usize>() > MAX_CHAIN {
            return Err(CompileError::new(token.at, "the expression is nested too deeply"));
        }
    }
    Ok(tokens)
}

fn bump(chains: &mut [usize]) {
    if let Some(chain) = chains.last_mut() {
        *chain += 1;
    }
}

/// What [`check`] found.
#[derive(Debug, Default)]
pub(crate) struct Tokens<'s> {
    pub(crate) words: Vec<Word<'s>>,
    /// String literals as written, with their quotes.
    pub(crate) strings: Vec<(&'s str, usize)>,
}

struct Token<'s> {
    text: &'s str,
    at: usize,
    is_word: bool,
    is_string: bool,
}

/// The first token at or after `at`, past white space and comments.
fn next_token(source: &str, mut at: usize) -> Option<Token<'_>> {
    loop {
        let rest = source.get(at..)?;
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        if !trimmed.starts_with("//") {
            break;
        }
        at += trimmed.find('\n').unwrap_or(trimmed.len());
    }
    let rest = source.get(at..)?;
    let first = rest.chars().next()?;
    let (mut is_word, mut is_string) = (false, false);
    let length = if let Some(length) = string_literal(rest) {
        is_string = true;
        length
    } else if first.is_ascii_alphanumeric() || first == '_' {
        is_word = !first.is_ascii_digit();
        rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())
    } else if rest.starts_with("&&") || rest.starts_with("||") {
        2
    } else {
        first.len_utf8()
    };
    Some(Token { text: rest.get(..length)?, at, is_word, is_string })
}

/// Length of the string or bytes literal that the text begins with; to the end if it is not closed.
fn string_literal(text: &str) -> Option<usize> {
    let prefix =
        text.bytes().take(2).take_while(|b| matches!(b, b'r' | b'R' | b'b' | b'B')).count();
    let raw = text.get(..prefix)?.contains(['r', 'R']);
    let body = text.get(prefix..)?;
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| body.starts_with(quote))?;
    let mut at = quote.len();
    while let Some(rest) = body.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(quote) {
            return Some(prefix + at + quote.len());
        }
        let step = if !raw && rest.starts_with('\\') { 2 } else { 1 };
        at += rest.chars().take(step).map(char::len_utf8).sum::<usize>();
    }
    Some(text.len())
}
