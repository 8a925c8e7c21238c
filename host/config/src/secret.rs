//! Secrets: a string that does not print itself, and finding credentials in a TOML text.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use toml_parser::Source;
use toml_parser::lexer::{Token, TokenKind};

use crate::suggest::nearest;

/// A credential. Its `Debug` shows nothing, and it has no `Display`.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The credential itself, to be handed to what needs it and to nothing that prints.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Parts of a key's name that make its value a credential.
const TELLTALES: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "private_key",
    "access_key",
    "credential",
];

/// The byte ranges of a TOML text that hold credentials, in order and not overlapping: values of
/// keys that are named like one, and in URLs, wherever they stand, what is between the scheme and
/// the last `@`. Works on text that does not parse as well, since that is shown too.
pub(crate) fn ranges(text: &str) -> Vec<Range<usize>> {
    let tokens = Source::new(text).lex().into_vec();
    let mut found = Scan { text, ..Scan::default() }.run(&tokens);
    found.extend(credentials_in_strings(text, &tokens));
    // A plain reference is no credential, and people need to see which it is.
    found.retain(|range| !is_reference(text.get(range.clone()).unwrap_or_default()));
    found.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(found.len());
    for range in found {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Whether a character in the user name or password of a URL ends it there, so that its rest would
/// be taken for the host, and shown; or there are two `@`, and nobody knows which is meant.
pub(crate) fn is_unescaped_url(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let userinfo = rest.rsplit_once('@').map_or("", |(before, _)| before);
    userinfo.contains(['@', '/', '?', '#'])
}

/// `text` with the user names and passwords of its URLs masked.
pub(crate) fn mask_urls(text: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut at = 0;
    for range in credentials(text) {
        masked.push_str(text.get(at..range.start).unwrap_or_default());
        masked.push_str("***");
        at = range.end;
    }
    if at == 0 {
        return Cow::Borrowed(text);
    }
    masked.push_str(text.get(at..).unwrap_or_default());
    Cow::Owned(masked)
}

fn is_secret(key: &str) -> bool {
    let key = key.trim_matches(['"', '\'']).to_ascii_lowercase().replace('-', "_");
    key != "secret_file"
        && (TELLTALES.iter().any(|part| key.contains(part))
            || matches!(key.as_str(), "pass" | "pwd")
            // A slip in the name is what gets a line shown.
            || nearest(&key, ["password", "passphrase", "secret", "token"]).is_some())
}

/// Whether this is `${NAME}` and nothing else.
fn is_reference(text: &str) -> bool {
    let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// What of `range` is no plain reference, which people need to see.
fn literals(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let (mut found, mut at) = (Vec::new(), range.start);
    while let Some(rest) = text.get(at..range.end)
        && let Some(open) = rest.find("${")
    {
        let end = rest.get(open..).and_then(|rest| rest.find('}')).map(|close| open + close + 1);
        let reference = end.and_then(|end| rest.get(open..end)).filter(|text| is_reference(text));
        if reference.is_none() {
            break;
        }
        found.push(at..at + open);
        at += end.unwrap_or(rest.len());
    }
    found.push(at..range.end);
    // The colon between two of them.
    found.retain(|range| !matches!(text.get(range.clone()), None | Some("" | ":")));
    found
}

/// In `scheme://user:password@host` what is between the scheme and the last `@` before the text
/// ends, since people forget to escape.
fn credentials(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(scheme) = text.get(at..).and_then(|rest| rest.find("://")) {
        let start = at + scheme + 3;
        let rest = text.get(start..).unwrap_or_default();
        let end = rest.find(|c: char| c.is_whitespace() || "\"'`<>".contains(c));
        let url = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        found.extend(url.rfind('@').map(|host| start..start + host));
        at = start + url.len();
    }
    found
}

/// The same in a TOML text, where a string says itself where it ends: whatever stands in it before
/// its last `@` may be of the password. What is no string, or is one that a quote in the password
/// has ended, goes to the end of its line.
fn credentials_in_strings(text: &str, tokens: &[Token]) -> Vec<Range<usize>> {
    use TokenKind as T;
    let mut found = Vec::new();
    for (n, token) in tokens.iter().enumerate() {
        let (start, end) = (token.span().start(), token.span().end());
        let Some(scheme) = text.get(start..end).and_then(|token| token.find("://")) else {
            continue;
        };
        let whole = match token.kind() {
            T::Comment => true,
            T::LiteralString | T::BasicString | T::MlLiteralString | T::MlBasicString => {
                tokens.get(n + 1).is_none_or(|next| {
                    matches!(
                        next.kind(),
                        T::Whitespace
                            | T::Newline
                            | T::Comma
                            | T::Comment
                            | T::RightSquareBracket
                            | T::RightCurlyBracket
                            | T::Eof
                    )
                })
            }
            _ => false,
        };
        let line = text.get(end..).and_then(|rest| rest.find('\n')).map_or(text.len(), |n| end + n);
        let from = start + scheme + 3;
        let url = text.get(from..if whole { end } else { line }).unwrap_or_default();
        found.extend(url.rfind('@').iter().flat_map(|host| literals(text, from..from + host)));
    }
    found
}

/// One pass over the tokens of a text.
#[derive(Default)]
struct Scan<'a> {
    text: &'a str,
    found: Vec<Range<usize>>,
    /// The token that would be the key if `=` came next.
    key: Option<Token>,
    /// Inside a table whose header is named like a credential.
    secret_table: bool,
    /// Inside a value to mask: how many brackets deep, and whether the value has begun.
    masking: Option<(usize, bool)>,
    /// Skip the next value: the path after `secret_file =`.
    spare: bool,
}

impl<'a> Scan<'a> {
    fn run(mut self, tokens: &[Token]) -> Vec<Range<usize>> {
        let mut line_begins = true;
        let mut header = false;
        for token in tokens.iter().copied() {
            if self.masking.is_some() {
                self.mask(token);
            } else if token.kind() == TokenKind::Equals {
                let key = self.key.map(|key| self.get(key)).unwrap_or_default();
                if !header && key != "secret_file" && (self.secret_table || is_secret(key)) {
                    self.masking = Some((0, false));
                }
            } else if token.kind() == TokenKind::LeftSquareBracket && line_begins {
                header = true;
                self.secret_table = false;
            } else if is_word(token.kind()) {
                self.key = Some(token);
                self.secret_table |= header && is_secret(self.get(token));
            }
            if token.kind() == TokenKind::Newline {
                (line_begins, header) = (true, false);
            } else if token.kind() != TokenKind::Whitespace {
                line_begins = false;
            }
        }
        self.found
    }

    /// Masks what belongs to the value, and notices its end.
    fn mask(&mut self, token: Token) {
        let Some((depth, begun)) = self.masking else { return };
        use TokenKind as T;
        self.masking = match token.kind() {
            T::LeftSquareBracket | T::LeftCurlyBracket => Some((depth + 1, true)),
            T::RightSquareBracket | T::RightCurlyBracket if depth > 0 => Some((depth - 1, true)),
            T::RightSquareBracket | T::RightCurlyBracket | T::Comma | T::Newline if depth == 0 => {
                None
            }
            T::Equals if depth > 0 => {
                // What looked like a value was a key.
                let key = self.found.pop().and_then(|range| self.text.get(range));
                self.spare = key == Some("secret_file");
                Some((depth, true))
            }
            T::Comment if begun => Some((depth, begun)),
            T::Whitespace | T::Comma | T::Newline | T::Eof => Some((depth, begun)),
            T::LiteralString | T::BasicString | T::MlLiteralString | T::MlBasicString => {
                let range = self.inner(token);
                self.push(range);
                Some((depth, true))
            }
            _ if depth == 0 => {
                // Not a string: a syntax error most likely. All of the line is suspect.
                let start = token.span().start();
                let line = self.text.get(start..).unwrap_or_default();
                self.push(start..start + line.find('\n').unwrap_or(line.len()));
                Some((depth, true))
            }
            _ => {
                self.push(token.span().start()..token.span().end());
                Some((depth, true))
            }
        };
    }

    fn push(&mut self, range: Range<usize>) {
        if std::mem::take(&mut self.spare) || range.is_empty() {
            return;
        }
        self.found.push(range);
    }

    /// A string without its quotes, so that the excerpt still looks like one.
    fn inner(&self, token: Token) -> Range<usize> {
        let raw = self.get(token);
        let body = raw.trim_start_matches(['"', '\'']);
        let start = token.span().start() + (raw.len() - body.len());
        start..start + body.trim_end_matches(['"', '\'']).len()
    }

    fn get(&self, token: Token) -> &'a str {
        self.text.get(token.span().start()..token.span().end()).unwrap_or_default()
    }
}

fn is_word(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::Atom | TokenKind::BasicString | TokenKind::LiteralString)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let mut shown = String::new();
        let mut at = 0;
        for range in ranges(text) {
            shown.push_str(&text[at..range.start]);
            shown.push_str("***");
            at = range.end;
        }
        shown.push_str(&text[at..]);
        assert_eq!(shown, expected);
    }

    #[test]
    fn found_in_text() {
        check("password = \"abc\"\nx = \"abc\"", "password = \"***\"\nx = \"abc\"");
        check("a.db-Password = 'abc' # c", "a.db-Password = '***' # c");
        check("x = { token = 'a', y = 'b' }", "x = { token = '***', y = 'b' }");
        check("token = ['a',\n'b']\ny = 'c'", "token = ['***',\n'***']\ny = 'c'");
        check("token = { secret_file = 'a' }", "token = { secret_file = 'a' }");
        check("secret_file = 'a'", "secret_file = 'a'");
        check("token = { x = 'a', secret_file = 'p' }", "token = { x = '***', secret_file = 'p' }");
        check("[a.secrets]\nx = 'a'\n[b]\nx = 'a'", "[a.secrets]\nx = '***'\n[b]\nx = 'a'");
        check("password = \"\"\"\na\nb\"\"\"\n", "password = \"\"\"***\"\"\"\n");
        check("password = '${A}'", "password = '${A}'");
        check("password = '${A:-b}'", "password = '***'");
        check("pasword = 'a'", "pasword = '***'");
        check("password = \"abc", "password = \"***");
        check("password = ab#c d\nx = 1", "password = ***\nx = 1");
        check("[[password", "[[password");
        check("x = [[1]]\npassword", "x = [[1]]\npassword");
    }

    #[test]
    fn found_in_urls() {
        check("u = 'amqp://user:p@ss/w@host/%2f'", "u = 'amqp://***@host/%2f'");
        check("u = '${U:-amqp://a:b@h}' # x@y", "u = '${U:-amqp://***@h}' # x@y");
        check("u = 'amqp://h:5672/' ", "u = 'amqp://h:5672/' ");
        check("u = 'amqp://h:5672/' # x@y", "u = 'amqp://h:5672/' # x@y");
        check("u = 'amqp://token@h:5672/' ", "u = 'amqp://***@h:5672/' ");
        check("u = \"amqp://u:a b'c<d>`e\\\"f@h\"", "u = \"amqp://***@h\"");
        check("u = 'amqp://u:pa'ss@h/'", "u = 'amqp://***@h/'");
        check("u = amqp://u:pa ss@h/", "u = amqp://***@h/");
        check("u = 'amqp://u:a://b@h/'", "u = 'amqp://***@h/'");
        check("u = 'amqp://${U}:${P}@h'", "u = 'amqp://${U}:${P}@h'");
        check("u = 'amqp://guest:${P}@h'", "u = 'amqp://***${P}@h'");
        check("u = 'amqp://guest:${P:-x}@h'", "u = 'amqp://***@h'");
        check("u = 'amqp://${U}x${P@h'", "u = 'amqp://${U}***@h'");
        assert_eq!(mask_urls("no url"), "no url");
        assert_eq!(
            mask_urls("at http://a:b@c, and x://d:e@f; home node 'rabbit@b'"),
            "at http://***@c, and x://***@f; home node 'rabbit@b'"
        );
    }

    #[test]
    fn a_url_must_say_where_its_password_ends() {
        for (url, unescaped) in [
            ("redis://h:6379/0", false),
            ("redis://u:p@h", false),
            ("redis://u:p%40ss%2F@h", false),
            ("redis://:p:w@h", false),
            ("redis://u:/p@h", true),
            ("redis://u:12/p@h", true),
            ("redis://u:p#q@h", true),
            ("redis://u:p?q@h", true),
            ("redis://u:p@q@h", true),
        ] {
            assert_eq!(is_unescaped_url(url), unescaped, "{url}");
        }
    }

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret("hunter2".into())), "***");
    }
}
