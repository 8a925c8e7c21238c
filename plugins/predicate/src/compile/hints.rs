//! Hints: what was probably meant by an expression that is none of ours, and how that is written.

use cel::common::ast::{CallExpr, Expr, operators};
use cel::parser::Expression;

use super::names::VARIABLES;
use super::path::path;
use super::reads::property;
use super::suggest::did_you_mean;
use crate::limits::{Tokens, Word};
use crate::paths::Step;

/// Names that other tools and languages have for ours.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("this", "body"),
    ("payload", "body"),
    ("message", "body"),
    ("msg", "body"),
    ("data", "body"),
    ("json", "body"),
    ("content", "body"),
    ("text", "body_text"),
    ("raw", "body_text"),
    ("header", "headers"),
    ("props", "properties"),
    ("topic", "routing_key"),
    ("subject", "routing_key"),
    ("key", "routing_key"),
    ("attempts", "attempt"),
];

/// What is wrong with a variable that there is not, and what to write for it.
pub(super) fn variable(root: &str, steps: &[Step], scope: &[&str]) -> String {
    let unknown = format!("unknown variable `{root}`");
    match root {
        "True" | "TRUE" | "False" | "FALSE" => {
            return format!("{unknown}; write `{}`", root.to_ascii_lowercase());
        }
        "None" | "nil" | "NULL" | "Null" | "undefined" => {
            return format!("{unknown}; write `null`");
        }
        _ => {}
    }
    let inside = !matches!(steps, []);
    if let Some((_, ours)) = OTHER_NAMES.iter().find(|(name, _)| {
        *name == root && (inside || matches!(*name, "header" | "props" | "attempts"))
    }) {
        return format!("{unknown}; write `{ours}`");
    }
    let near = did_you_mean(root, VARIABLES.into_iter().chain(scope.iter().copied()));
    if !near.is_empty() {
        return format!("{unknown}{near}");
    }
    if property(root).is_some() {
        return format!(
            "{unknown}; write `properties.{root}` for the property, `body.{root}` for the body's key"
        );
    }
    if root.starts_with("x_") || root == "x" {
        return format!(
            "{unknown}; a header is written `headers[\"name\"]`, a key of the body `body.name`"
        );
    }
    format!("{unknown}; a key of the body is written `body.{root}`, and a text in quotes")
}

/// What is wrong with `headers.x-tenant` or `body.order-id`, which are subtractions of what is named
/// like no variable; and where.
pub(super) fn dash(
    call: &CallExpr,
    tokens: &Tokens<'_>,
    scope: &[&str],
) -> Option<(usize, String)> {
    let Dashed { at, container, name, .. } = dashed(call, tokens, scope)?;
    let subtraction = format!("`{container}.{name}` is a subtraction");
    let message = match container.as_str() {
        "properties" => format!(
            "{subtraction}; names of properties have underscores: `properties.{}`",
            name.replace('-', "_")
        ),
        _ => format!("{subtraction}; a name with a dash is written `{container}[\"{name}\"]`"),
    };
    Some((at, message))
}

struct Dashed {
    at: usize,
    /// Where the name ends.
    end: usize,
    container: String,
    name: String,
}

fn dashed(call: &CallExpr, tokens: &Tokens<'_>, scope: &[&str]) -> Option<Dashed> {
    let [left, right] = call.args.as_slice() else { return None };
    let word = first_name(right)?;
    if call.func_name != operators::SUBSTRACT || VARIABLES.contains(&word) || scope.contains(&word)
    {
        return None;
    }
    let begun = match &left.expr {
        Expr::Call(left) => dashed(left, tokens, scope),
        _ => None,
    };
    let begun = begun.or_else(|| {
        let (root, steps) = last_path(left)?;
        let (Step::Key(last), before) = steps.split_last()? else { return None };
        let known = matches!(root, "headers" | "body" | "properties") || scope.contains(&root);
        let container = before.iter().fold(root.to_owned(), |container, step| match step {
            Step::Key(key) => format!("{container}.{key}"),
            Step::Index(index) => format!("{container}[{index}]"),
        });
        let follows = |first: &&Word<'_>| {
            let end = first.at + first.text.len();
            tokens.words.iter().any(|next| next.text == word && next.at == end + 1)
        };
        let mut words = tokens.words.iter();
        let first = words.find(|first| first.member && first.text == last && follows(first))?;
        let end = first.at + last.len();
        known.then(|| Dashed { at: first.at, end, container, name: last.clone() })
    })?;
    // With spaces around the dash a subtraction was meant.
    let at = begun.end + 1;
    tokens.words.iter().find(|next| next.text == word && next.at == at)?;
    Some(Dashed { end: at + word.len(), name: format!("{}-{word}", begun.name), ..begun })
}

/// The path that an expression ends with: of `1 + body.a` that is `body.a`.
fn last_path(expr: &Expression) -> Option<(&str, Vec<Step>)> {
    match (path(expr), &expr.expr) {
        (Some(found), _) => Some(found),
        (None, Expr::Call(call)) if call.target.is_none() => last_path(call.args.last()?),
        _ => None,
    }
}

/// The name that an expression begins with: of `tenant.x * 2` that is `tenant`.
fn first_name(expr: &Expression) -> Option<&str> {
    match &expr.expr {
        Expr::Ident(name) => Some(name),
        Expr::Select(select) if !select.test => first_name(&select.operand),
        Expr::Call(call) => first_name(call.target.as_deref().or(call.args.first())?),
        _ => None,
    }
}
