//! Predicates: the API. Several expressions share one pass over the body.

use std::cell::OnceCell;
use std::sync::Arc;

use cel::Env;
use lockgate_plugin::{Message, Needs};

use crate::compile::{Compiled, compile};
use crate::eval::{Frame, Stop, condition};
use crate::node::{Const, Node};
use crate::paths::Paths;
use crate::{CompileError, EvalError};

/// Expressions that are asked about the same messages.
pub struct Predicates {
    compiled: Vec<Compiled>,
    paths: Paths,
    env: OnceCell<Arc<Env>>,
}

impl Predicates {
    /// Compiles expressions; their order is the one that [`On::eval`] counts by.
    ///
    /// # Errors
    /// For each expression that cannot be used its position and the first thing that is wrong.
    pub fn compile<'s>(
        sources: impl IntoIterator<Item = &'s str>,
    ) -> Result<Self, Vec<(usize, CompileError)>> {
        let mut paths = Paths::new();
        let (mut compiled, mut errors) = (Vec::new(), Vec::new());
        for (at, source) in sources.into_iter().enumerate() {
            match compile(source, &mut paths) {
                Ok(one) => compiled.push(one),
                Err(error) => errors.push((at, error)),
            }
        }
        if errors.is_empty() {
            Ok(Self { compiled, paths, env: OnceCell::new() })
        } else {
            Err(errors)
        }
    }

    /// The parts of a message that the expressions read.
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for one in &self.compiled {
            one.whole.reads().add_to(&mut needs);
        }
        needs
    }

    /// The answer of the expression at this position, if it is the literal `true` or `false`.
    pub fn constant(&self, at: usize) -> Option<bool> {
        match self.compiled.get(at)?.node {
            Node::Const(Const::Bool(answer)) => Some(answer),
            _ => None,
        }
    }

    /// The expressions, on this message. Its body is read when the first of them asks for it.
    pub fn on<'a>(&'a self, message: &Message<'a>) -> On<'a> {
        On { predicates: self, frame: Frame::new(*message, &self.paths, &self.env) }
    }
}

/// [`Predicates`] on one message.
pub struct On<'a> {
    predicates: &'a Predicates,
    frame: Frame<'a>,
}

impl On<'_> {
    /// The answer of the expression at this position; [`EvalError::Missing`] if there is none.
    ///
    /// # Errors
    /// Why the expression has no answer for this message.
    pub fn eval(&self, at: usize) -> Result<bool, EvalError> {
        let one = self.predicates.compiled.get(at).ok_or(EvalError::Missing)?;
        match condition(&one.node, &self.frame) {
            Ok(answer) => Ok(answer),
            Err(Stop::Error(error)) => Err(error),
            Err(Stop::Interpret) => one.whole.eval(&self.frame),
        }
    }
}

/// One expression.
pub struct Predicate(Predicates);

impl Predicate {
    /// Compiles an expression.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn compile(source: &str) -> Result<Self, CompileError> {
        Predicates::compile([source]).map(Self).map_err(|mut errors| {
            errors.pop().map_or_else(|| CompileError::new(0, "not usable"), |(_, error)| error)
        })
    }

    /// The parts of a message that the expression reads.
    pub fn needs(&self) -> Needs {
        self.0.needs()
    }

    /// The answer for this message.
    ///
    /// # Errors
    /// Why there is none.
    pub fn eval(&self, message: &Message<'_>) -> Result<bool, EvalError> {
        self.0.on(message).eval(0)
    }
}

/// The answers of the compiled form and of the interpreter; `None` for what is no expression.
#[cfg(feature = "fuzzing")]
pub fn both(source: &str, message: &Message<'_>) -> Option<(Option<bool>, Option<bool>)> {
    let set = Predicates::compile([source]).ok()?;
    let on = set.on(message);
    let interpreted = set.compiled.first()?.whole.eval(&on.frame).ok();
    Some((on.eval(0).ok(), interpreted))
}

#[cfg(test)]
mod tests;
