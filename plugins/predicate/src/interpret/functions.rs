//! Functions: the interpreter's environment, and what is added to it.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, operators};
use cel::common::types::{CelBool, CelDouble, CelInt, CelString, CelUInt, DYN_TYPE, STRING_TYPE};
use cel::common::value::{CowVal, Val};
use cel::parser::Expression;
use cel::{DeclarationError, Env, ExecutionError, extensions};
use regex::Regex;

use super::numbers::{self, CelDecimal, DECIMAL_TYPE, ordered};
use crate::compile::regex;
use crate::eval::doubles;
use crate::node::Operator;

/// Operators that are ours, under names that no source can spell: arithmetic takes an integer
/// beside a double, and numbers are compared by their exact values.
const WIDENED: [(&str, &str); 11] = [
    (operators::ADD, "@add"),
    (operators::SUBSTRACT, "@subtract"),
    (operators::MULTIPLY, "@multiply"),
    (operators::DIVIDE, "@divide"),
    (operators::EQUALS, "@equals"),
    (operators::NOT_EQUALS, "@differs"),
    (operators::LESS, "@less"),
    (operators::LESS_EQUALS, "@at_most"),
    (operators::GREATER, "@greater"),
    (operators::GREATER_EQUALS, "@at_least"),
    (operators::IN, "@contained"),
];

/// Regular expressions kept, for those that a macro matches with every element of a list.
const KEPT: usize = 8;

/// The standard library, the string functions, `matches`, and the operators above.
pub(crate) fn environment() -> Arc<Env> {
    let mut env = Env::stdlib();
    let added = declare(&mut env);
    // A name that is taken would be a defect that every test of the function shows.
    debug_assert!(added.is_ok(), "{added:?}");
    Arc::new(env)
}

fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    let two = || vec![DYN_TYPE, DYN_TYPE];
    env.add_overload("@add", "add", two(), |args| widened(Operator::Add, &args))?;
    env.add_overload("@subtract", "subtract", two(), |args| widened(Operator::Subtract, &args))?;
    env.add_overload("@multiply", "multiply", two(), |args| widened(Operator::Multiply, &args))?;
    env.add_overload("@divide", "divide", two(), |args| widened(Operator::Divide, &args))?;
    env.add_overload("@equals", "equals", two(), numbers::equals)?;
    env.add_overload("@differs", "differs", two(), numbers::differs)?;
    env.add_overload("@less", "less", two(), |args| ordered(&args, Ordering::is_lt))?;
    env.add_overload("@at_most", "at_most", two(), |args| ordered(&args, Ordering::is_le))?;
    env.add_overload("@greater", "greater", two(), |args| ordered(&args, Ordering::is_gt))?;
    env.add_overload("@at_least", "at_least", two(), |args| ordered(&args, Ordering::is_ge))?;
    env.add_overload("@contained", "contained", two(), numbers::contained)?;
    let decimal = vec![DECIMAL_TYPE.to_owned()];
    env.add_overload("double", "decimal_to_double", decimal, numbers::to_double)?;
    env.add_overload("@string", "to_text", vec![DYN_TYPE], numbers::to_text)?;
    env.add_overload("matches", "matches", vec![STRING_TYPE, STRING_TYPE], matches)?;
    let pattern = vec![STRING_TYPE];
    env.add_member_overload("matches", "string_matches", STRING_TYPE, pattern, matches)?;
    extensions::strings(env)
}

fn widened<'b, 'v>(
    operator: Operator,
    args: &[CowVal<'b, 'v>],
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [left, right] = numbers::two(args)?;
    if let Some(left) = left.downcast_ref::<CelDecimal>() {
        let left = CowVal::owned(numbers::approximate(left)?);
        return widened(operator, &[left, CowVal::Owned(right.clone_as_boxed())]);
    }
    if let Some(right) = right.downcast_ref::<CelDecimal>() {
        let right = CowVal::owned(numbers::approximate(right)?);
        return widened(operator, &[CowVal::Owned(left.clone_as_boxed()), right]);
    }
    if let (Some(a), Some(b)) = (double_beside(left, right), double_beside(right, left)) {
        return doubles(operator, a, b)
            .map(|result| CowVal::owned(CelDouble::from(result)))
            .map_err(|error| ExecutionError::function_error("arithmetic", error));
    }
    let result = match operator {
        Operator::Add => left.as_adder().map(|left| left.add(right)),
        Operator::Subtract => left.as_subtractor().map(|left| left.sub(right)),
        Operator::Multiply => left.as_multiplier().map(|left| left.mul(right)),
        Operator::Divide => left.as_divider().map(|left| left.div(right)),
        Operator::Remainder => left.as_modder().map(|left| left.modulo(right)),
    };
    match result {
        Some(result) => Ok(CowVal::Owned(result?.into_owned())),
        None => Err(ExecutionError::no_such_overload("arithmetic", Vec::new())),
    }
}

/// The value as a double, if it is one or a number beside one.
fn double_beside(value: &dyn Val, other: &dyn Val) -> Option<f64> {
    if let Some(value) = value.downcast_ref::<CelDouble>() {
        return Some(*value.inner());
    }
    other.downcast_ref::<CelDouble>()?;
    if let Some(value) = value.downcast_ref::<CelInt>() {
        return Some(*value.inner() as f64);
    }
    value.downcast_ref::<CelUInt>().map(|value| *value.inner() as f64)
}

fn matches<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    thread_local! {
        static LATEST: RefCell<Vec<Regex>> = const { RefCell::new(Vec::new()) };
    }
    let text_of =
        |arg: &CowVal<'b, 'v>| arg.downcast_ref::<CelString>().map(|text| text.inner().to_owned());
    let [Some(text), Some(pattern)] = [args.first(), args.get(1)].map(|arg| arg.and_then(text_of))
    else {
        return Err(ExecutionError::no_such_overload("matches", Vec::new()));
    };
    LATEST.with_borrow_mut(|latest| {
        if !latest.iter().any(|regex| regex.as_str() == pattern) {
            let regex = regex(&pattern)
                .map_err(|error| ExecutionError::function_error("matches", error))?;
            latest.truncate(KEPT - 1);
            latest.insert(0, regex);
        }
        let found = latest.iter().find(|regex| regex.as_str() == pattern);
        let answer = found.is_some_and(|regex| regex.is_match(&text));
        Ok(CowVal::owned(CelBool::from(answer)))
    })
}

/// Puts our operators for CEL's. What the parser made of `map` and `filter` stays as it
/// is: the interpreter knows that pattern and appends in place.
pub(super) fn widen_operators(expr: &mut Expression) {
    match &mut expr.expr {
        Expr::Call(call) => {
            let appends = matches!(
                call.args.first().map(|first| &first.expr),
                Some(Expr::Ident(name)) if name.starts_with('@')
            );
            let widened = WIDENED.iter().find(|(name, _)| *name == call.func_name);
            if let (Some((_, name)), 2, false) = (widened, call.args.len(), appends) {
                call.func_name = (*name).to_owned();
            }
            if call.func_name == "string" && call.target.is_none() && call.args.len() == 1 {
                call.func_name = "@string".to_owned();
            }
            call.target.iter_mut().for_each(|target| widen_operators(target));
            call.args.iter_mut().for_each(widen_operators);
        }
        Expr::Select(select) => widen_operators(&mut select.operand),
        Expr::List(list) => list.elements.iter_mut().for_each(widen_operators),
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| match &mut entry.expr {
            EntryExpr::MapEntry(entry) => {
                widen_operators(&mut entry.key);
                widen_operators(&mut entry.value);
            }
            EntryExpr::StructField(field) => widen_operators(&mut field.value),
        }),
        Expr::Comprehension(loop_) => {
            widen_operators(&mut loop_.iter_range);
            widen_operators(&mut loop_.accu_init);
            widen_operators(&mut loop_.loop_cond);
            widen_operators(&mut loop_.loop_step);
            widen_operators(&mut loop_.result);
        }
        Expr::Struct(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}
