//! A jq program, compiled once and run on one value after another.

mod compile;
mod functions;

use jaq_core::data::HasLut;
use jaq_core::{Ctx, DataT, Lut, Vars};
use jaq_json::Val;
use thiserror::Error;

pub(crate) use compile::CompileError;

/// Results of one run at most, as the host allows for one message.
pub(crate) const MAX_RESULTS: usize = 1000;

/// A compiled program.
pub(crate) struct Program(jaq_core::Filter<Jq>);

/// Why a run has no results.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    #[error("{0}")]
    Raised(String),
    #[error("the program halted with status {0}")]
    Halted(i32),
    #[error("the program has more than {MAX_RESULTS} results")]
    Results,
}

impl Program {
    /// Compiles a program.
    ///
    /// # Errors
    /// Every error that was found, with its place.
    pub(crate) fn compile(source: &str) -> Result<Self, Vec<CompileError>> {
        compile::compile(source).map(Self)
    }

    /// Runs the program to its end, or to the first error. `halt` is an end, with another status
    /// than 0 an error.
    pub(crate) fn run(&self, input: Val, received_micros: u64) -> Result<Vec<Val>, RunError> {
        let data = Data { lut: &self.0.lut, received_micros };
        let context = Ctx::<Jq>::new(data, Vars::new([]));
        let mut results = Vec::new();
        for result in self.0.id.run((context, input)) {
            match result.map_err(jaq_core::Exn::get_err) {
                Ok(_) if results.len() == MAX_RESULTS => return Err(RunError::Results),
                Ok(value) => results.push(value),
                Err(Ok(error)) => return Err(RunError::Raised(describe(error))),
                Err(Err(exception)) => match exception.get_halt() {
                    Ok(0) => break,
                    Ok(status) => return Err(RunError::Halted(status)),
                    Err(_) => return Err(RunError::Halted(-1)),
                },
            }
        }
        Ok(results)
    }
}

/// The text of an error: of `error("text")` the text itself.
fn describe(error: jaq_core::Error<Val>) -> String {
    match error.into_val() {
        Val::TStr(text) => String::from_utf8_lossy(&text).into_owned(),
        value => value.to_string(),
    }
}

/// What jq's functions can reach.
struct Jq;

#[derive(Clone)]
struct Data<'a> {
    lut: &'a Lut<Jq>,
    received_micros: u64,
}

impl DataT for Jq {
    type V<'a> = Val;
    type Data<'a> = Data<'a>;
}

impl<'a> HasLut<'a, Jq> for Data<'a> {
    fn lut(&self) -> &'a Lut<Jq> {
        self.lut
    }
}
