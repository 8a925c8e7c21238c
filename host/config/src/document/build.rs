//! Builds the tree out of what the TOML parser recovers.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::interpolate::{Problem, interpolate};
use super::{Entry, Node, Text, Value, offset};
use crate::diagnostic::{Code, Diagnostic};
use crate::file::{Place, SourceFile};
use crate::read::{is_readable_by_others, read_text};

/// Bytes that variables and secret files may put into one file.
const EXPANDED_MAX: usize = 1 << 20;
/// Bytes of one secret file: certificates with their chains fit.
const SECRET_FILE_MAX: u64 = 64 << 10;

/// Parses a file. `None` on syntax errors, all of which are reported; a value that cannot be
/// resolved is reported and becomes [`Value::Broken`]. `environment` gives variables.
///
/// Depth is bounded by the parser (80), so that recursion over the tree is safe.
pub(crate) fn parse(
    file: &Arc<SourceFile>,
    environment: &dyn Fn(&str) -> Option<String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Node> {
    let (table, errors) = DeTable::parse_recoverable(file.text());
    if !errors.is_empty() {
        diagnostics.extend(errors.iter().map(|error| syntax(file, error)));
        return None;
    }
    let span = table.span();
    let mut builder = Builder { file, environment, allowance: EXPANDED_MAX, diagnostics };
    let value = builder.table(table.into_inner());
    Some(Node { span, value })
}

fn syntax(file: &Arc<SourceFile>, error: &toml::de::Error) -> Diagnostic {
    let diagnostic =
        Diagnostic::new(Code::Syntax, error.message()).help("TOML is described at https://toml.io");
    match error.span() {
        Some(range) => diagnostic.at(Place::new(file, range)),
        None => diagnostic.at(Place::file(file)),
    }
}

struct Builder<'a> {
    file: &'a Arc<SourceFile>,
    environment: &'a dyn Fn(&str) -> Option<String>,
    allowance: usize,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Builder<'_> {
    fn node(&mut self, spanned: Spanned<DeValue<'_>>) -> Node {
        let span = spanned.span();
        let value = match spanned.into_inner() {
            DeValue::String(text) => self.text(text.into_owned(), &span),
            DeValue::Boolean(flag) => Value::Boolean(flag),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Value::Integer(number),
                    Err(_) => self.broken(&span, number_too_large()),
                }
            }
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(value) if value.is_finite() || !number.as_str().contains('e') => {
                    Value::Float(value)
                }
                _ => self.broken(&span, number_too_large()),
            },
            DeValue::Datetime(_) => {
                let diagnostic =
                    Diagnostic::new(Code::Datetime, "a date or time means nothing here");
                self.broken(&span, diagnostic.help("write it as a string"))
            }
            DeValue::Array(elements) => {
                Value::Array(elements.into_iter().map(|element| self.node(element)).collect())
            }
            DeValue::Table(table) => self.table(table),
        };
        Node { span, value }
    }

    fn table(&mut self, table: DeTable<'_>) -> Value {
        let mut entries: Vec<Entry> = Vec::with_capacity(table.len());
        for (key, value) in table {
            let (key_span, key) = (key.span(), key.into_inner().into_owned());
            entries.push(Entry { key, key_span, node: self.node(value) });
        }
        if let [only] = entries.as_slice()
            && only.key == "secret_file"
            && let Value::Text(path) = &only.node.value
        {
            return self.secret_file(&path.value, &only.node.span);
        }
        Value::Table(entries)
    }

    fn text(&mut self, written: String, span: &Range<usize>) -> Value {
        if lacks_braces(&written) {
            let message = "a variable stands between braces; this is a plain dollar sign";
            let help = "write `${NAME}`; for a plain dollar sign, `$$`";
            let diagnostic = Diagnostic::new(Code::NoBraces, message).help(help);
            self.diagnostics.push(diagnostic.at(Place::new(self.file, span.clone())));
        }
        match interpolate(written, self.environment, &mut self.allowance) {
            Ok(text) => Value::Text(text),
            Err(problems) => {
                for problem in problems {
                    self.interpolation(problem, span);
                }
                Value::Broken
            }
        }
    }

    fn interpolation(&mut self, problem: Problem, span: &Range<usize>) {
        let (diagnostic, written) = match problem {
            Problem::Malformed(written) => {
                let message = "`${` must be followed by the name of a variable and `}`";
                let help = "write `$${` for a plain `${`";
                (Diagnostic::new(Code::BadInterpolation, message).help(help), written)
            }
            Problem::Unset(name, written) => {
                let message = format!("the variable `{name}` is not set");
                let help = format!("set it, or give it a default: `${{{name}:-…}}`");
                (Diagnostic::new(Code::UnsetVariable, message).help(help), written)
            }
            Problem::TooLarge(written) => (too_large(), written),
        };
        let raw = self.file.text().get(span.clone()).unwrap_or_default();
        let start = offset::in_source(raw, written.start);
        let end = offset::in_source(raw, written.end);
        let range = match (start, end) {
            (Some(start), Some(end)) => span.start + start..span.start + end,
            _ => span.clone(),
        };
        self.diagnostics.push(diagnostic.at(Place::new(self.file, range)));
    }

    /// Reads a credential, without the line ends that editors put behind it.
    fn secret_file(&mut self, path: &str, span: &Range<usize>) -> Value {
        let path = self.file.folder().join(path);
        let reason = match read_text(&path, SECRET_FILE_MAX) {
            Ok(value) if value.len() > self.allowance => return self.broken(span, too_large()),
            Ok(mut value) => {
                self.allowance -= value.len();
                value.truncate(value.trim_end_matches(['\n', '\r']).len());
                if is_readable_by_others(&path) {
                    let text = format!("anybody on this machine can read `{}`", path.display());
                    let help = format!("`chmod o= {}`", path.display());
                    let warning = Diagnostic::new(Code::SecretReadable, text).help(help);
                    self.diagnostics.push(warning.at(Place::new(self.file, span.clone())));
                }
                let (secret, file) = (true, Some(path));
                return Value::Text(Text { value, secret, file, ..Text::default() });
            }
            Err(error) => error,
        };
        let message = format!("the secret file `{}` cannot be read: {reason}", path.display());
        self.broken(
            span,
            Diagnostic::new(Code::SecretFile, message)
                .help("the path starts from the folder of the file that names it"),
        )
    }

    fn broken(&mut self, span: &Range<usize>, diagnostic: Diagnostic) -> Value {
        self.diagnostics.push(diagnostic.at(Place::new(self.file, span.clone())));
        Value::Broken
    }
}

/// Whether a string is `$NAME` and nothing else, or a URL that holds such a thing: it was meant to be a
/// variable. Elsewhere a dollar sign may mean anything.
fn lacks_braces(written: &str) -> bool {
    let named = |rest: &str| {
        let name = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
        name.unwrap_or_default().len()
    };
    let starts = |rest: &str| rest.starts_with(|c: char| c.is_ascii_uppercase() || c == '_');
    let alone = |rest: &str| starts(rest) && named(rest) == rest.len();
    if written.strip_prefix('$').is_some_and(alone) {
        return true;
    }
    let plain = written.replace("$$", "");
    plain.contains("://") && plain.split('$').skip(1).any(|rest| starts(rest) && named(rest) > 1)
}

fn too_large() -> Diagnostic {
    Diagnostic::new(Code::ExpandedTooLarge, "variables and secret files put in more than 1 MiB")
}

fn number_too_large() -> Diagnostic {
    Diagnostic::new(Code::BadValue, "this number is too large")
}
