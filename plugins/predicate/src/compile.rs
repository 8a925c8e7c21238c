//! Compile: from the text of an expression to its compact form.

mod functions;
mod hints;
mod lower;
mod names;
mod path;
mod reads;
mod suggest;

use cel::parser::{Expression, ParseError, PrattParser};

pub(crate) use reads::{Filter, HeaderReads, PROPERTIES, Reads};

use crate::CompileError;
use crate::interpret::Interpreted;
use crate::limits;
use crate::node::Node;
use crate::paths::Paths;

/// Bytes of compiled form that one regular expression may take.
pub(crate) const MAX_REGEX: usize = 256 * 1024;

/// One expression, ready.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) node: Node,
    /// The whole of it, for messages that the compact form cannot answer.
    pub(crate) whole: Interpreted,
}

/// Compiles one expression; the places in the body that it reads go into `paths`.
pub(crate) fn compile(source: &str, paths: &mut Paths) -> Result<Compiled, CompileError> {
    let tokens = limits::check(source)?;
    let expr = parse(source)?;
    let reads = names::check(&expr, &tokens)?;
    let node = lower::lower(&expr, &tokens, paths)?;
    if let Some(what) = lower::never_bool(&node) {
        let message = format!("the expression gives {what}, not true or false");
        return Err(CompileError::new(0, message));
    }
    Ok(Compiled { node, whole: Interpreted::new(expr, reads, paths) })
}

/// An expression whose value counts, ready.
#[derive(Debug)]
pub(crate) struct CompiledValue {
    /// Where the compact form covers it.
    pub(crate) node: Option<Node>,
    pub(crate) whole: Interpreted,
}

/// Compiles one expression that may give any value.
pub(crate) fn compile_value(
    source: &str,
    paths: &mut Paths,
) -> Result<CompiledValue, CompileError> {
    let tokens = limits::check(source)?;
    let expr = parse(source)?;
    let reads = names::check(&expr, &tokens)?;
    let node = lower::lower_value(&expr, &tokens, paths)?;
    Ok(CompiledValue { node, whole: Interpreted::new(expr, reads, paths) })
}

/// A regular expression within its limits. In the crate's dialect: no look-around, no
/// back-references, time linear in the text.
pub(crate) fn regex(pattern: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(pattern)
        .size_limit(MAX_REGEX)
        .dfa_size_limit(MAX_REGEX)
        .nest_limit(64)
        .build()
}

pub(crate) fn parse(source: &str) -> Result<Expression, CompileError> {
    let parser = PrattParser::new().enable_optional_syntax(true);
    parser.parse(source).map_err(|errors| match errors.errors.first() {
        Some(error) => describe(source, error),
        None => CompileError::new(0, "syntax error"),
    })
}

/// The parser's error, with a way out for the mistakes that other languages suggest.
fn describe(source: &str, error: &ParseError) -> CompileError {
    let (line, column) = error.pos;
    let line_start: usize = source
        .split_inclusive('\n')
        .take(usize::try_from(line - 1).unwrap_or(0))
        .map(str::len)
        .sum();
    let offset = (line_start + usize::try_from(column - 1).unwrap_or(0)).min(source.len());
    let rest = source.get(offset..).unwrap_or_default();
    let word = rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    let message = match word.to_ascii_lowercase().as_str() {
        "and" => "write `&&` for `and`".to_owned(),
        "or" => "write `||` for `or`".to_owned(),
        "not" => "write `!` for `not`; `!(x in list)` for `x not in list`".to_owned(),
        "is" => "write `==` for `is`".to_owned(),
        "like" | "contains" | "startswith" | "endswith" | "matches" => {
            "write `text.contains(\"part\")`; likewise `startsWith`, `endsWith` and `matches`"
                .to_owned()
        }
        _ if before_word(source, offset) == "not" => {
            "write `!` for `not`; `!(x in list)` for `x not in list`".to_owned()
        }
        _ if rest.trim().is_empty() => "the expression ends too early".to_owned(),
        _ if rest.starts_with("===")
            || source.get(..offset).is_some_and(|s| s.ends_with("==")) && rest.starts_with('=') =>
        {
            "write `==` for `===`, and `!=` for `!==`".to_owned()
        }
        _ if source.get(..offset).is_some_and(|s| s.ends_with("!=")) && rest.starts_with('=') => {
            "write `==` for `===`, and `!=` for `!==`".to_owned()
        }
        _ if rest.starts_with("=~") => "write `text.matches(\"pattern\")` for `=~`".to_owned(),
        _ if rest.starts_with('=') && !rest.starts_with("==") => "write `==` to compare".to_owned(),
        _ if rest.starts_with("<>")
            || rest.starts_with('>') && source.get(..offset).is_some_and(|s| s.ends_with('<')) =>
        {
            "write `!=` for `<>`".to_owned()
        }
        _ if rest.starts_with('&') => "write `&&`; CEL has no `&`".to_owned(),
        _ if rest.starts_with('|') => "write `||`; CEL has no `|`".to_owned(),
        _ if rest.starts_with('$') || rest.starts_with("{{") => {
            "a value of the message is written without signs around it: `body.name`".to_owned()
        }
        _ if rest.starts_with(['\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}']) => {
            "a text stands in straight quotes: `\"text\"`".to_owned()
        }
        _ => {
            let text = error.msg.lines().next().unwrap_or_default();
            let text = text.strip_prefix("Syntax error: ").unwrap_or(text);
            format!("syntax error: {text}")
        }
    };
    CompileError::new(offset, message)
}

/// The word that ends before `offset`, whatever white space is between.
fn before_word(source: &str, offset: usize) -> &str {
    let before = source.get(..offset).unwrap_or_default().trim_end();
    before.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
