//! Names: looks up every variable and function of an expression, and gathers what it reads.

use cel::common::ast::{CallExpr, EntryExpr, Expr, operators};
use cel::parser::Expression;

use super::functions;
use super::hints;
use super::path::{path, read_path, text};
use super::reads::{HeaderReads, PROPERTIES, Reads, property};
use super::suggest::did_you_mean;
use crate::CompileError;
use crate::limits::Tokens;
use crate::paths::Step;

pub(super) const VARIABLES: [&str; 8] = [
    "body",
    "body_text",
    "headers",
    "properties",
    "exchange",
    "routing_key",
    "redelivered",
    "attempt",
];

/// Types are values too: `type(body.n) == int`.
const TYPES: [&str; 11] = [
    "bool",
    "bytes",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
    "optional_type",
];

/// What the expression reads.
///
/// # Errors
/// The first name that is not known, or that is not used as what it is.
pub(super) fn check(expr: &Expression, tokens: &Tokens<'_>) -> Result<Reads, CompileError> {
    let mut names = Names { tokens, scope: Vec::new(), reads: Reads::default() };
    names.visit(expr)?;
    Ok(names.reads)
}

struct Names<'e> {
    tokens: &'e Tokens<'e>,
    /// Variables of the macros that are open.
    scope: Vec<&'e str>,
    reads: Reads,
}

impl<'e> Names<'e> {
    fn visit(&mut self, expr: &'e Expression) -> Result<(), CompileError> {
        if let Some((root, steps)) = read_path(expr) {
            return self.variable(root, &steps);
        }
        match &expr.expr {
            Expr::Call(call) => self.call(call),
            Expr::Select(select) => self.visit(&select.operand),
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.visit(element)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key)?;
                    self.visit(&entry.value)
                }
                EntryExpr::StructField(field) => self.visit(&field.value),
            }),
            Expr::Comprehension(loop_) => {
                self.visit(&loop_.iter_range)?;
                let outer = self.scope.len();
                self.scope.push(&loop_.iter_var);
                self.scope.push(&loop_.accu_var);
                self.scope.extend(loop_.iter_var2.as_deref());
                self.visit(&loop_.accu_init)?;
                self.visit(&loop_.loop_cond)?;
                self.visit(&loop_.loop_step)?;
                self.visit(&loop_.result)?;
                self.scope.truncate(outer);
                Ok(())
            }
            Expr::Struct(message) => {
                let name = &message.type_name;
                let at = self.offset(name, |_| true);
                Err(CompileError::new(at, format!("there is no message type `{name}`")))
            }
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Ok(()),
        }
    }

    fn call(&mut self, call: &'e CallExpr) -> Result<(), CompileError> {
        let name = call.func_name.as_str();
        if name == operators::IN
            && let [key, container] = call.args.as_slice()
            && let (Some(key), Some((root, steps))) = (text(key), path(container))
            && steps.is_empty()
        {
            return self.variable(root, &[Step::Key(key.to_owned())]).or_else(|error| {
                // `"x" in exchange`: the variable is fine, and the operator will say no.
                if VARIABLES.contains(&root) && root != "properties" { Ok(()) } else { Err(error) }
            });
        }
        if let Some((at, message)) = hints::dash(call, self.tokens, &self.scope) {
            return Err(CompileError::new(at, message));
        }
        let operator = name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let mut target = call.target.as_deref();
        if !operator {
            let qualified = target.and_then(path).map(|(root, _)| format!("{root}.{name}"));
            let (full, member) = match qualified {
                Some(full) if functions::is_qualified(&full) => {
                    target = None;
                    (full, false)
                }
                _ => (name.to_owned(), target.is_some()),
            };
            functions::check(&full, member, call.args.len()).map_err(|message| {
                CompileError::new(self.offset(name, |word| word.call), message)
            })?;
        }
        if let Some(target) = target {
            self.visit(target)?;
        }
        call.args.iter().try_for_each(|argument| self.visit(argument))
    }

    fn variable(&mut self, root: &str, steps: &[Step]) -> Result<(), CompileError> {
        if self.scope.contains(&root) || steps.is_empty() && TYPES.contains(&root) {
            return Ok(());
        }
        let flag = match root {
            "body" => {
                self.reads.read_body(steps);
                return Ok(());
            }
            "headers" => return self.header(steps),
            "properties" => return self.property(steps),
            "body_text" => &mut self.reads.body_text,
            "exchange" => &mut self.reads.exchange,
            "routing_key" => &mut self.reads.routing_key,
            "redelivered" => &mut self.reads.redelivered,
            "attempt" => &mut self.reads.attempt,
            _ => {
                let at = self.offset(root, |word| !word.member && !word.call);
                return Err(CompileError::new(at, hints::variable(root, steps, &self.scope)));
            }
        };
        *flag = true;
        if steps.is_empty() {
            return Ok(());
        }
        let at = self.offset(root, |word| !word.member);
        Err(CompileError::new(at, format!("`{root}` is a plain value; nothing is inside it")))
    }

    fn header(&mut self, steps: &[Step]) -> Result<(), CompileError> {
        match steps.first() {
            None => self.reads.headers = HeaderReads::All,
            Some(Step::Key(name)) => self.reads.read_header(name),
            Some(Step::Index(_)) => {
                let at = self.offset("headers", |word| !word.member);
                return Err(CompileError::new(at, "headers are read by name: `headers[\"name\"]`"));
            }
        }
        Ok(())
    }

    fn property(&mut self, steps: &[Step]) -> Result<(), CompileError> {
        self.reads.properties = true;
        let at = self.offset("properties", |word| !word.member);
        match steps {
            [] => self.reads.text_properties = true,
            [Step::Key(name)] => match property(name) {
                Some(property) => self.reads.text_properties |= property.is_text(),
                None => {
                    let hint = did_you_mean(name, PROPERTIES.iter().map(|(name, _)| *name));
                    let at = self.offset(name, |word| word.member);
                    return Err(CompileError::new(at, format!("unknown property `{name}`{hint}")));
                }
            },
            [Step::Key(name), ..] => {
                let message = format!("property `{name}` is a plain value; nothing is inside it");
                return Err(CompileError::new(at, message));
            }
            [Step::Index(_), ..] => {
                return Err(CompileError::new(at, "properties are read by name"));
            }
        }
        Ok(())
    }

    /// Where `name` first stands in such a place; as a quoted key otherwise.
    fn offset(&self, name: &str, place: impl Fn(&crate::limits::Word<'_>) -> bool) -> usize {
        let word = self.tokens.words.iter().find(|word| word.text == name && place(word));
        let quoted =
            || self.tokens.strings.iter().find(|(text, _)| text.trim_matches(['"', '\'']) == name);
        word.map(|word| word.at).or_else(|| quoted().map(|&(_, at)| at)).unwrap_or(0)
    }
}
