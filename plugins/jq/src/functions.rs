//! The functions that are built in; those that jq itself can express are in `prelude.jq`.

mod core;
mod format;
mod math;
mod order;
mod paths;
mod regex;
mod text;
mod time;

use crate::error::Res;
use crate::eval::Machine;
use crate::value::Val;

/// A function of its input and of values.
#[derive(Clone, Copy)]
pub(crate) struct Native {
    pub(crate) run: Run,
    /// Whether the result is the same whatever the input.
    pub(crate) ignores_input: bool,
}

pub(crate) type Run = fn(&Machine<'_>, &Val, &[Val]) -> Res<Val>;

/// Name, number of arguments, and the function.
type Entry = (&'static str, usize, Run);

impl std::fmt::Debug for Native {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Native")
    }
}

/// A function that runs its arguments itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    Empty,
    Path,
    GetPath,
    Select,
    Recurse,
    Walk,
    First,
    Last,
    IsEmpty,
    Limit,
    Range,
}

impl Form {
    pub(crate) fn is_single(self) -> bool {
        self == Self::IsEmpty
    }

    pub(crate) fn reads_input(self) -> bool {
        matches!(self, Self::Path | Self::GetPath | Self::Select | Self::Recurse | Self::Walk)
    }
}

const FORMS: [(&str, usize, Form); 13] = [
    ("empty", 0, Form::Empty),
    ("path", 1, Form::Path),
    ("getpath", 1, Form::GetPath),
    ("select", 1, Form::Select),
    ("recurse", 0, Form::Recurse),
    ("walk", 1, Form::Walk),
    ("first", 1, Form::First),
    ("last", 1, Form::Last),
    ("isempty", 1, Form::IsEmpty),
    ("limit", 2, Form::Limit),
    ("range", 2, Form::Range),
    ("range", 3, Form::Range),
    ("recurse_down", 0, Form::Recurse),
];

/// Functions whose input does not matter.
const WITHOUT_INPUT: [&str; 8] =
    ["now", "infinite", "nan", "have_decnum", "have_literal_numbers", "halt", "pow", "splits"];

fn entries() -> impl Iterator<Item = &'static Entry> {
    [
        core::FUNCTIONS,
        math::FUNCTIONS,
        math::LIBM,
        order::FUNCTIONS,
        paths::FUNCTIONS,
        regex::FUNCTIONS,
        text::FUNCTIONS,
        time::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
}

/// The native function of this name.
pub(crate) fn native(name: &str, arity: usize) -> Option<Native> {
    let (_, _, run) = entries().find(|entry| (entry.0, entry.1) == (name, arity))?;
    Some(Native { run: *run, ignores_input: WITHOUT_INPUT.contains(&name) })
}

/// The form of this name.
pub(crate) fn form(name: &str, arity: usize) -> Option<Form> {
    FORMS.iter().find(|form| (form.0, form.1) == (name, arity)).map(|form| form.2)
}

/// The function that `@name` is.
pub(crate) fn format(name: &str) -> Option<Native> {
    let (_, run) = format::FORMATS.iter().find(|format| format.0 == name)?;
    Some(Native { run: *run, ignores_input: false })
}

/// Whether there is a function of this name.
pub(crate) fn is_known(name: &str, arity: usize) -> bool {
    native(name, arity).is_some() || form(name, arity).is_some()
}

/// Calls a format.
pub(crate) fn call_format(machine: &Machine<'_>, name: &str, input: &Val) -> Option<Res<Val>> {
    Some((format(name)?.run)(machine, input, &[]))
}

/// The argument at a place: the compiler has counted them.
fn arg(args: &[Val], at: usize) -> &Val {
    const MISSING: &Val = &Val::Null;
    args.get(at).unwrap_or(MISSING)
}
