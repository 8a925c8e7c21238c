//! Section: one table of a configuration file, to be read into a plain struct by whoever knows
//! what it means.

mod json;
mod reader;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

pub(crate) use json::to_json;

use crate::diagnostic::{Code, Diagnostic, has_errors};
use crate::document::{self, Node, Value};
use crate::file::{Place, SourceFile};

/// A table with its places. Variables and secret files in it are resolved.
#[derive(Clone)]
pub struct Section {
    file: Arc<SourceFile>,
    /// Dotted, from the file's root; for messages.
    name: String,
    node: Arc<Node>,
}

impl Section {
    /// Parses a whole file into its root table. `environment` gives variables.
    ///
    /// # Errors
    /// Every syntax error, or every value that cannot be resolved.
    pub fn from_file(
        file: &Arc<SourceFile>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut diagnostics = Vec::new();
        match Self::root(file, environment, &mut diagnostics) {
            Some(root) if !has_errors(&diagnostics) => Ok(root),
            _ => Err(diagnostics),
        }
    }

    /// The same, going on as far as it makes sense.
    pub(crate) fn root(
        file: &Arc<SourceFile>,
        environment: &dyn Fn(&str) -> Option<String>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let node = document::parse(file, environment, diagnostics)?;
        Some(Self { file: file.clone(), name: String::new(), node: Arc::new(node) })
    }

    /// Reads the table into `T`.
    ///
    /// What `T` does not name is an error, whether or not it denies unknown fields, in nested
    /// structs as well; in an untagged or flattened part nothing is known to be unknown. A field
    /// that takes a string takes `{ secret_file = "path" }` too; a newtype that deserializes itself
    /// under the name `SecretWithFile` is given a map of `text` and `file` then. Use [`crate::Time`],
    /// [`crate::TimeRange`], [`crate::ByteSize`] and [`crate::Secret`] for what they are for.
    ///
    /// # Errors
    /// All unknown keys and wrong types, each at its place; of several missing keys of one table
    /// the first. Credentials are left out of the messages. There may be none: what could not be
    /// resolved, such as a variable that is not set, has been reported before.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Vec<Diagnostic>> {
        let mut diagnostics = Vec::new();
        match reader::read(self, &mut diagnostics) {
            (Some(value), true) => Ok(value),
            _ => Err(diagnostics),
        }
    }

    /// The same, with what is wrong left out of the value where it has a default.
    pub(crate) fn read<'a, T: Deserialize<'a>>(
        &'a self,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<T> {
        reader::read(self, diagnostics).0
    }

    /// An error about the value at `path`: keys and array indices, as in `bindings[0].routing_key`
    /// or `bindings.0.routing_key`, and nothing for the table itself. Where the path ends early, the
    /// error is at the deepest part of it that exists.
    pub fn diagnostic_at(&self, path: &str, message: impl AsRef<str>) -> Diagnostic {
        self.diagnostic(Code::BadSetting, path, message)
    }

    /// An error of a code about the value at `path`.
    pub fn diagnostic(&self, code: Code, path: &str, message: impl AsRef<str>) -> Diagnostic {
        let node = self.deepest(steps(path));
        let message = without_private(node, message.as_ref());
        Diagnostic::new(code, message).at(self.place_of(node.span.clone()))
    }

    /// Where the value at `path` stands, or the deepest part of the path that exists.
    pub fn place(&self, path: &str) -> Place {
        self.place_of(self.deepest(steps(path)).span.clone())
    }

    /// Where the key at the end of `path` stands, or what [`Self::place`] gives.
    pub(crate) fn key_place(&self, path: &str) -> Place {
        let (table, key) = path.rsplit_once('.').unwrap_or(("", path));
        match self.deepest(steps(table)).entry(key) {
            Some(entry) => self.place_of(entry.key_span.clone()),
            None => self.place(path),
        }
    }

    /// The table or other value of a key.
    pub(crate) fn child(&self, key: &str) -> Option<Self> {
        let node = self.node.child(key)?;
        let name = match (&self.node.value, self.name.as_str()) {
            (_, "") => key.to_owned(),
            (Value::Array(_), list) => list.to_owned(),
            (_, table) => format!("{table}.{key}"),
        };
        Some(Self { file: self.file.clone(), name, node: Arc::new(node.clone()) })
    }

    /// The table's keys in the file's order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.node.entries().iter().map(|entry| entry.key.as_str())
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    pub(crate) fn file(&self) -> &Arc<SourceFile> {
        &self.file
    }

    /// For messages: "`source.amqp`", or the file.
    pub(crate) fn title(&self) -> String {
        if self.name.is_empty() { "the file".into() } else { format!("`{}`", self.name) }
    }

    pub(crate) fn place_of(&self, range: Range<usize>) -> Place {
        Place::new(&self.file, range)
    }

    pub(crate) fn deepest<'s>(&self, steps: impl Iterator<Item = &'s str>) -> &Node {
        let mut node = self.node.as_ref();
        for step in steps {
            match node.child(step) {
                Some(child) => node = child,
                None => break,
            }
        }
        node
    }
}

/// Shows no values: there may be credentials among them.
impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place("").to_string();
        f.debug_struct("Section").field("name", &self.name).field("place", &place).finish()
    }
}

/// The way out for a key of the whole file that stands in a table: whatever follows a `[table]` is
/// in it.
pub(crate) fn misplaced(key: &str) -> Option<String> {
    let of_file = ["version", "name", "description", "lanes"].contains(&key);
    of_file.then(|| {
        format!(
            "`{key}` of the whole file stands at its top: below a `[table]` it is one of its keys"
        )
    })
}

fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split(['.', '[', ']']).filter(|step| !step.is_empty())
}

/// `message` without what variables and secret files put into `node` or anything in it. What a
/// variable put there in less than four bytes is no credential, and would tear the message apart.
pub(crate) fn without_private(node: &Node, message: &str) -> String {
    let mut message = message.to_owned();
    hide(node, &mut message);
    message
}

fn hide(node: &Node, message: &mut String) {
    match &node.value {
        Value::Text(text) if text.secret && !text.value.is_empty() => {
            *message = message.replace(&text.value, "***");
        }
        Value::Text(text) => {
            for one in &text.substitutions {
                let value = text.value.get(one.value.clone()).unwrap_or_default();
                if value.len() >= 4 && message.contains(value) {
                    *message = message.replace(value, "***");
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| hide(element, message)),
        Value::Table(entries) => entries.iter().for_each(|entry| hide(&entry.node, message)),
        _ => {}
    }
}
