//! Document: TOML text into a tree of owned, spanned nodes, with variables and secret files
//! resolved. Everything that reads a configuration reads this tree.

mod build;
mod interpolate;
mod offset;

pub(crate) use build::parse;

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct Node {
    /// A scalar's own bytes, quotes included; a table's header or braces.
    pub(crate) span: Range<usize>,
    pub(crate) value: Value,
}

#[derive(Clone)]
pub(crate) enum Value {
    Text(Text),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Array(Vec<Node>),
    /// In the file's order.
    Table(Vec<Entry>),
    /// Something is wrong with it, and that has been reported already.
    Broken,
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) node: Node,
}

/// A string after interpolation.
#[derive(Clone, Default)]
pub(crate) struct Text {
    pub(crate) value: String,
    /// Where variables were put in, in order.
    pub(crate) substitutions: Vec<Substitution>,
    /// Read from a secret file.
    pub(crate) secret: bool,
    /// That file.
    pub(crate) file: Option<PathBuf>,
}

/// A part of a string that came from a variable, its default, or `$$`.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Substitution {
    /// Bytes of the value.
    pub(crate) value: Range<usize>,
    /// Bytes of the string as it is in the file, unescaped.
    pub(crate) written: Range<usize>,
}

/// Shows no value: it may be a credential.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({:?})", self.span)
    }
}

impl Text {
    /// Whether the value holds something that the file does not show, so that it must not be
    /// repeated in a message.
    pub(crate) fn is_private(&self) -> bool {
        self.secret || !self.substitutions.is_empty()
    }
}

impl Node {
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// What a table calls `step`, or the element of an array that it numbers.
    pub(crate) fn child(&self, step: &str) -> Option<&Self> {
        match &self.value {
            Value::Array(elements) => elements.get(step.parse::<usize>().ok()?),
            _ => self.entry(step).map(|entry| &entry.node),
        }
    }

    /// As a message calls it: "a string", "the number `5`".
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Text(_) => "a string".into(),
            Value::Integer(number) => format!("the number `{number}`"),
            Value::Float(number) => format!("the number `{number:?}`"),
            Value::Boolean(flag) => format!("`{flag}`"),
            Value::Array(_) => "an array".into(),
            Value::Table(_) => "a table".into(),
            Value::Broken => "nothing".into(),
        }
    }

    /// Bytes of the file where byte `at` of this string's value comes from: to the string's end,
    /// or all of the reference where a variable put it there. All of the node where this cannot
    /// be told.
    pub(crate) fn span_at(&self, text: &str, at: usize) -> Range<usize> {
        let all = self.span.clone();
        let (Value::Text(string), Some(raw)) = (&self.value, text.get(all.clone())) else {
            return all;
        };
        if string.secret {
            return all;
        }
        let mut shift = 0..0;
        for one in &string.substitutions {
            if one.value.contains(&at) {
                let from = offset::in_source(raw, one.written.start);
                let to = offset::in_source(raw, one.written.end);
                let (Some(from), Some(to)) = (from, to) else { return all };
                return all.start + from..all.start + to;
            }
            if one.value.end <= at {
                shift = one.value.end..one.written.end;
            }
        }
        match offset::in_source(raw, at.saturating_sub(shift.start).saturating_add(shift.end)) {
            Some(found) => {
                let start = all.start + found;
                let rest = text.get(start..all.end).unwrap_or_default();
                let quoted = rest.trim_end_matches(['"', '\'']).len();
                // At the string's very end there is nothing to mark but the closing quote.
                start..start + if quoted > 0 { quoted } else { rest.len().min(1) }
            }
            None => all,
        }
    }
}
