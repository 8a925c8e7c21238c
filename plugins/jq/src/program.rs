//! Program: compiled once, run on one value after another.

use thiserror::Error;

use crate::compile::{self, Compiled, GLOBALS};
use crate::env::{Bound, Env};
use crate::error::Stop;
use crate::eval::{Log, Machine};
use crate::json::to_json;
use crate::parse::CompileError;
use crate::value::Val;

/// Results of one run at most, as the host allows for one message.
pub const MAX_RESULTS: usize = 1000;

/// A compiled program.
pub struct Program {
    compiled: Compiled,
    reads_input: bool,
}

/// Why a run has no results.
#[derive(Debug, Error, PartialEq)]
pub enum RunError {
    /// An error that nothing caught.
    #[error("{0}")]
    Raised(String),
    /// `halt_error`, with its status and what it said.
    #[error("the program halted with status {0}{1}")]
    Halted(i32, String),
    /// More results than [`MAX_RESULTS`].
    #[error("the program has more than {MAX_RESULTS} results")]
    Results,
}

impl Program {
    /// Compiles a program.
    ///
    /// # Errors
    /// What is wrong, each with its place.
    pub fn compile(source: &str) -> Result<Self, Vec<CompileError>> {
        let compiled = compile::compile(source)?;
        let mut asked = vec![false; compiled.bodies.len()];
        let reads_input = reads_input(&compiled, &mut asked);
        Ok(Self { compiled, reads_input })
    }

    /// Whether the result can depend on the input.
    pub fn reads_input(&self) -> bool {
        self.reads_input
    }

    /// Whether the program names this one of [`GLOBALS`].
    pub fn reads_global(&self, name: &str) -> bool {
        let named = GLOBALS.iter().zip(self.compiled.globals);
        named.into_iter().any(|(global, used)| *global == name && used)
    }

    /// Runs the program to its end, or to the first error. `globals` gives those that the program
    /// names; `now_micros` is the time since the Unix epoch for `now`. `halt` is an end, with another
    /// status than 0 an error.
    ///
    /// # Errors
    /// Why there are no results.
    pub fn run(
        &self,
        input: Val,
        globals: impl Fn(&str) -> Val,
        now_micros: u64,
        log: &dyn Fn(Log, &str),
    ) -> Result<Vec<Val>, RunError> {
        let mut env = Env::default();
        for (name, used) in GLOBALS.iter().zip(self.compiled.globals) {
            env = env.bind(Bound::Value(if used { globals(name) } else { Val::Null }));
        }
        let machine = Machine::new(&self.compiled.bodies, now_micros, log);
        let mut results = Vec::new();
        let end = machine.eval(&self.compiled.main, &env, input, &mut |value| {
            if results.len() == MAX_RESULTS {
                return Err(Stop::Limit(TOO_MANY));
            }
            results.push(value);
            Ok(())
        });
        match end {
            Ok(()) | Err(Stop::Halt(0, _)) => Ok(results),
            Err(Stop::Error(value)) => Err(RunError::Raised(describe(&value))),
            Err(Stop::Break(_)) => Err(RunError::Raised("break".to_owned())),
            Err(Stop::Halt(status, said)) => {
                let said = said.filter(|said| !matches!(said, Val::Null));
                let said = said.map(|said| format!(": {}", describe(&said).trim_end()));
                Err(RunError::Halted(status, said.unwrap_or_default()))
            }
            Err(Stop::Limit(TOO_MANY)) => Err(RunError::Results),
            Err(Stop::Limit(why)) => Err(RunError::Raised(why.to_owned())),
        }
    }
}

const TOO_MANY: &str = "too many results";

fn reads_input(compiled: &Compiled, asked: &mut Vec<bool>) -> bool {
    fn body(compiled: &Compiled, id: usize, asked: &mut Vec<bool>) -> bool {
        match asked.get_mut(id) {
            Some(asked) if !*asked => *asked = true,
            // It is being looked at, or was, and did not: one answer is enough.
            _ => return false,
        }
        let Some(found) = compiled.bodies.get(id) else { return true };
        found.node.reads_input(&mut |id| body(compiled, id, asked))
    }
    compiled.main.reads_input(&mut |id| body(compiled, id, asked))
}

/// The text of an error: of `error("text")` the text itself.
fn describe(error: &Val) -> String {
    match error {
        Val::Str(text) => text.to_string(),
        value => format!("{} (not a string)", to_json(value)),
    }
}
