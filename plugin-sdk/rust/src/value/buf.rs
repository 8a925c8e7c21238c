//! Owned arrays and tables, for plugins that write nested headers.

use super::{Array, Table, Value, put_str8};

/// An array being built.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArrayBuf(Vec<u8>);

/// A table being built.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableBuf(Vec<u8>);

impl ArrayBuf {
    /// An empty array.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends a value. False, and nothing appended, when it is 4 GiB or longer.
    pub fn push(&mut self, value: Value<'_>) -> bool {
        let start = self.0.len();
        let written = value.write(&mut self.0).is_some();
        if !written {
            self.0.truncate(start);
        }
        written
    }

    /// The array as a value.
    pub fn as_value(&self) -> Value<'_> {
        Value::Array(Array(&self.0))
    }
}

impl TableBuf {
    /// An empty table.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends an entry, without looking for the name. False, and nothing appended, when the
    /// name is longer than 255 bytes or the value 4 GiB or longer.
    pub fn push(&mut self, name: &str, value: Value<'_>) -> bool {
        let start = self.0.len();
        let written = put_str8(&mut self.0, name).and_then(|()| value.write(&mut self.0)).is_some();
        if !written {
            self.0.truncate(start);
        }
        written
    }

    /// The table as a value.
    pub fn as_value(&self) -> Value<'_> {
        Value::Table(self.as_table())
    }

    /// The table itself.
    pub fn as_table(&self) -> Table<'_> {
        Table(&self.0)
    }
}
