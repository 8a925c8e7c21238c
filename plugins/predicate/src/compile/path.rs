//! Path: expressions that are a variable and constant steps into it.

use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};
use cel::parser::Expression;

use crate::paths::Step;

/// The variable and the steps of `a.b["c"][0]`.
pub(super) fn path(expr: &Expression) -> Option<(&str, Vec<Step>)> {
    match &expr.expr {
        Expr::Ident(name) => Some((name, Vec::new())),
        Expr::Select(select) if !select.test => {
            let (root, mut steps) = path(&select.operand)?;
            steps.push(Step::Key(select.field.clone()));
            Some((root, steps))
        }
        Expr::Call(call) if call.func_name == operators::INDEX => indexed(call),
        _ => None,
    }
}

/// Likewise where the last step is optional (`a.?b`, `a[?"b"]`): what it reads is the same.
pub(super) fn read_path(expr: &Expression) -> Option<(&str, Vec<Step>)> {
    match &expr.expr {
        Expr::Call(call)
            if matches!(call.func_name.as_str(), operators::OPT_INDEX | operators::OPT_SELECT) =>
        {
            indexed(call)
        }
        Expr::Select(select) if select.test => {
            let (root, mut steps) = path(&select.operand)?;
            steps.push(Step::Key(select.field.clone()));
            Some((root, steps))
        }
        _ => path(expr),
    }
}

fn indexed(call: &CallExpr) -> Option<(&str, Vec<Step>)> {
    let (None, [container, index]) = (&call.target, call.args.as_slice()) else { return None };
    let step = step(index)?;
    let (root, mut steps) = path(container)?;
    steps.push(step);
    Some((root, steps))
}

fn step(index: &Expression) -> Option<Step> {
    match &index.expr {
        Expr::Literal(LiteralValue::String(key)) => Some(Step::Key(key.inner().to_owned())),
        Expr::Literal(LiteralValue::Int(at)) => u32::try_from(*at.inner()).ok().map(Step::Index),
        Expr::Literal(LiteralValue::UInt(at)) => u32::try_from(*at.inner()).ok().map(Step::Index),
        _ => None,
    }
}

/// The text of a string literal.
pub(super) fn text(expr: &Expression) -> Option<&str> {
    match &expr.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}
