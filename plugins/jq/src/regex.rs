//! Regular expressions of Oniguruma's kind, which jq's are: with look-around, back references and
//! named groups. They backtrack, within a bound of steps.

mod class;
mod parse;
mod run;

use class::Set;

/// Instructions of an expression at most: `(a{1000}){1000}` is refused.
const MAX_LENGTH: usize = 20_000;

/// Where a match and its groups stand, in characters.
pub(crate) type Found = Vec<Option<(usize, usize)>>;

/// What jq's flags switch on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) ignore_case: bool,
    /// Spaces and comments do not count.
    pub(crate) extended: bool,
    /// `.` is a line's end as well.
    pub(crate) dot_all: bool,
    /// `^` and `$` stand at lines; only from within an expression, as `(?m)`.
    pub(crate) lines: bool,
    pub(crate) not_empty: bool,
    pub(crate) longest: bool,
}

/// A compiled expression.
pub(crate) struct Regex {
    program: Vec<Step>,
    /// The groups' names, by their number; 0 is the whole match.
    names: Vec<Option<String>>,
    options: Options,
}

/// An instruction.
#[derive(Clone, Debug)]
enum Step {
    Char(char),
    /// A character in any case, folded.
    Folded(char),
    Any,
    NotNewline,
    Set(Set, bool),
    At(Place),
    /// Goes on at the first; at the second if that fails.
    Split(usize, usize),
    Jump(usize),
    /// Keeps the position.
    Save(usize),
    /// Fails if nothing was read since this was saved: an endless loop.
    Progress(usize),
    Back(usize, bool),
    /// Runs a part of its own, which ends with [`Step::Match`], and goes on behind it.
    Look {
        ahead: bool,
        negate: bool,
        end: usize,
    },
    Atomic {
        end: usize,
    },
    Match,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    TextStart,
    TextEnd,
    /// At the end, or before a newline there.
    LastLineEnd,
    LineStart,
    LineEnd,
    WordEdge,
    NoWordEdge,
    /// Where the search began.
    Search,
}

impl Regex {
    /// Compiles an expression.
    pub(crate) fn new(pattern: &str, options: Options) -> Result<Self, &'static str> {
        let (program, names) = parse::compile(pattern, options)?;
        Ok(Self { program, names, options })
    }

    /// The name of a group.
    pub(crate) fn name(&self, group: usize) -> Option<&str> {
        self.names.get(group)?.as_deref()
    }

    /// The first match at or after a place.
    pub(crate) fn find(&self, text: &[char], from: usize) -> Result<Option<Found>, &'static str> {
        run::find(self, text, from)
    }
}

fn fold(character: char) -> char {
    character.to_lowercase().next().unwrap_or(character)
}

#[cfg(test)]
mod tests;
