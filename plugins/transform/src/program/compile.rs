//! Compiling, and where its errors stand in the program.

use jaq_core::load::{self, Arena, File, Loader, lex, parse};
use jaq_core::{Compiler, Filter, compile};

use super::Jq;
use super::functions::functions;

/// One thing that is wrong with a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CompileError {
    /// Bytes from the program's start.
    pub(crate) offset: usize,
    /// What is wrong, as one sentence.
    pub(crate) message: String,
}

pub(super) fn compile(source: &str) -> Result<Filter<Jq>, Vec<CompileError>> {
    let prelude = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let arena = Arena::default();
    let modules = Loader::new(prelude)
        .load(&arena, File { code: source, path: () })
        .map_err(|errors| flatten(source, errors, load_errors))?;
    Compiler::default()
        .with_funs(functions())
        .compile(modules)
        .map_err(|errors| flatten(source, errors, undefined))
}

fn flatten<'s, E>(
    source: &str,
    errors: load::Errors<&'s str, (), E>,
    each: impl Fn(E) -> Vec<(&'s str, String)>,
) -> Vec<CompileError> {
    let placed = |(place, message): (&str, String)| {
        // The place is a slice of the source; of anything else the offset is the end.
        let offset = (place.as_ptr() as usize).wrapping_sub(source.as_ptr() as usize);
        CompileError { offset: offset.min(source.len()), message }
    };
    errors.into_iter().flat_map(|(_file, error)| each(error)).map(placed).collect()
}

fn load_errors(error: load::Error<&str>) -> Vec<(&str, String)> {
    match error {
        load::Error::Io(errors) => {
            let module = |(path, _)| (path, "modules cannot be imported".to_owned());
            errors.into_iter().map(module).collect()
        }
        load::Error::Lex(errors) => errors.into_iter().map(unlexed).collect(),
        load::Error::Parse(errors) => errors.into_iter().map(unparsed).collect(),
    }
}

fn unlexed((expected, found): lex::Error<&str>) -> (&str, String) {
    (found, format!("expected {}", expected.as_str()))
}

fn unparsed((expected, found): parse::Error<&str>) -> (&str, String) {
    let found_text = if found.is_empty() { "the end".to_owned() } else { format!("`{found}`") };
    (found, format!("expected {}, found {found_text}", expected.as_str()))
}

fn undefined(errors: Vec<compile::Error<&str>>) -> Vec<(&str, String)> {
    errors.into_iter().map(unknown).collect()
}

fn unknown((name, kind): compile::Error<&str>) -> (&str, String) {
    let arity = match &kind {
        compile::Undefined::Filter(arity) if *arity > 0 => format!("/{arity}"),
        _ => String::new(),
    };
    (name, format!("undefined {} `{name}{arity}`", kind.as_str()))
}
