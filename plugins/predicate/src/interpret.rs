//! Interpret: the interpreter of the `cel` crate, for what the compact form does not cover. It is
//! given only the variables that an expression reads, and of those only the keys.

mod functions;
mod numbers;
mod variables;

use cel::common::types::CelBool;
use cel::parser::Expression;
use cel::{Context, ExecutionError, Value};

pub(crate) use functions::environment;

use crate::EvalError;
use crate::compile::Reads;
use crate::eval::Frame;
use crate::paths::Paths;

/// Values of one message that the interpreter is given at most: elements and members of the body
/// and of headers, each of which takes some 100 bytes of the sandbox's memory.
pub const MAX_VALUES: usize = 50_000;

/// An expression for the interpreter.
#[derive(Debug)]
pub(crate) struct Interpreted {
    expr: Expression,
    reads: Reads,
}

impl Interpreted {
    pub(crate) fn new(mut expr: Expression, mut reads: Reads, paths: &mut Paths) -> Self {
        functions::widen_operators(&mut expr);
        reads.locate(paths);
        Self { expr, reads }
    }

    pub(crate) fn reads(&self) -> &Reads {
        &self.reads
    }

    /// True or false, or why neither.
    pub(crate) fn eval(&self, frame: &Frame<'_>) -> Result<bool, EvalError> {
        let mut context = Context::with_env(frame.env());
        variables::add(&mut context, frame, &self.reads)?;
        let value = Value::resolve_val(&self.expr, &context).map_err(|error| reason(&error))?;
        value.downcast_ref::<CelBool>().map(|answer| *answer.inner()).ok_or(EvalError::NotBool)
    }
}

impl Interpreted {
    /// The value as a text, if it is a text, a number or a boolean.
    pub(crate) fn text(&self, frame: &Frame<'_>) -> Result<String, EvalError> {
        let mut context = Context::with_env(frame.env());
        variables::add(&mut context, frame, &self.reads)?;
        let value = Value::resolve_val(&self.expr, &context).map_err(|error| reason(&error))?;
        numbers::text_of(value.as_ref())
    }
}

/// The kind of an error, without its text: that can hold whole values of the message.
fn reason(error: &ExecutionError) -> EvalError {
    match error {
        ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_) => EvalError::Missing,
        ExecutionError::DivisionByZero(_)
        | ExecutionError::RemainderByZero(_)
        | ExecutionError::Overflow(..) => EvalError::Arithmetic,
        ExecutionError::FunctionError { function, .. } if function == numbers::INEXACT => {
            EvalError::Number
        }
        ExecutionError::FunctionError { function, .. } if function == numbers::TOO_LONG => {
            EvalError::Arithmetic
        }
        ExecutionError::FunctionError { .. } => EvalError::Function,
        _ => EvalError::Type,
    }
}
