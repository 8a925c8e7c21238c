//! The jq language, as version 1.8 has it, for programs that run on messages: numbers keep all their
//! digits, nothing is read but what is handed over, and what comes out is JSON.
//!
//! In reading order: a text becomes words and expressions, names become places, and a [`Program`]
//! runs on a [`Val`].

mod json;
mod map;
mod number;
mod value;

mod ast;
mod lex;
mod parse;

mod compile;
mod node;

mod env;
mod error;
mod eval;
mod functions;
mod ops;
mod regex;
mod track;

mod program;

pub use compile::GLOBALS;
pub use eval::Log;
pub use json::{MAX_DEPTH, NotJson, TooDeep, read, write};
pub use map::Map;
pub use number::Num;
pub use parse::CompileError;
pub use program::{MAX_RESULTS, Program, RunError};
pub use value::Val;
