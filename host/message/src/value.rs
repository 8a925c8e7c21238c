//! Typed header values: every field type of AMQP 0-9-1 as RabbitMQ speaks it.

/// One header value. Strings are bytes, for a broker does not require them to be UTF-8.
///
/// Source of the type list: the AMQP 0-9-1 errata as RabbitMQ implements them
/// (field types `t b B s u I i l f d D S A T F V x`).
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Void,
    Bool(bool),
    I8(i8),
    U8(u8),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    F32(f32),
    F64(f64),
    /// `value / 10^scale`.
    Decimal {
        scale: u8,
        value: u32,
    },
    /// A long string: usually text, not always UTF-8.
    Str(Vec<u8>),
    /// A byte array, kept apart from [`Value::Str`] as the broker does.
    Bytes(Vec<u8>),
    /// Seconds since the Unix epoch.
    Timestamp(u64),
    Array(Vec<Value>),
    Table(Table),
}

impl Value {
    /// A long string from text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Str(text.into().into_bytes())
    }

    /// The text of a long string that is UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Str(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Bytes this value takes in an AMQP header frame, its type tag included.
    pub fn wire_size(&self) -> usize {
        1 + match self {
            Self::Void => 0,
            Self::Bool(_) | Self::I8(_) | Self::U8(_) => 1,
            Self::I16(_) | Self::U16(_) => 2,
            Self::I32(_) | Self::U32(_) | Self::F32(_) => 4,
            Self::Decimal { .. } => 5,
            Self::I64(_) | Self::F64(_) | Self::Timestamp(_) => 8,
            Self::Str(bytes) | Self::Bytes(bytes) => 4 + bytes.len(),
            Self::Array(items) => 4 + items.iter().map(Self::wire_size).sum::<usize>(),
            Self::Table(table) => table.wire_size(),
        }
    }

    /// Levels of nesting: 0 for a plain value, 1 for an array or table of plain values.
    ///
    /// Recursive: values come only from decoders that bound their depth.
    pub fn depth(&self) -> usize {
        match self {
            Self::Array(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Table(table) => table.depth(),
            _ => 0,
        }
    }
}

/// An ordered map from names to values. Duplicate names can stand in it, as on the wire;
/// [`Table::get`] sees the first, [`Table::set`] leaves one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table(Vec<(String, Value)>);

impl Table {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    pub fn with_capacity(entries: usize) -> Self {
        Self(Vec::with_capacity(entries))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, (String, Value)> {
        self.0.iter()
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Replaces every value of `name` by one, in the first one's place, else at the end.
    pub fn set(&mut self, name: impl Into<String>, value: Value) {
        let name = name.into();
        let Some(at) = self.0.iter().position(|(key, _)| *key == name) else {
            self.0.push((name, value));
            return;
        };
        let mut index = 0;
        self.0.retain(|(key, _)| {
            index += 1;
            index - 1 <= at || *key != name
        });
        if let Some(entry) = self.0.get_mut(at) {
            entry.1 = value;
        }
    }

    /// Appends without looking for the name; for decoders that keep the wire as it came.
    pub fn push(&mut self, name: String, value: Value) {
        self.0.push((name, value));
    }

    /// Removes every value of `name`; says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(key, _)| key != name);
        self.0.len() != before
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Bytes this table takes in an AMQP frame, its length field included.
    pub fn wire_size(&self) -> usize {
        4 + self.0.iter().map(|(key, value)| 1 + key.len() + value.wire_size()).sum::<usize>()
    }

    /// Levels of nesting, this table included.
    pub fn depth(&self) -> usize {
        1 + self.0.iter().map(|(_, value)| value.depth()).max().unwrap_or(0)
    }
}

impl IntoIterator for Table {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<(String, Value)> for Table {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_leaves_one_value_of_a_name_in_the_first_ones_place() {
        let mut table = Table::new();
        table.push("a".into(), Value::I32(1));
        table.push("b".into(), Value::I32(2));
        table.push("a".into(), Value::I32(3));
        table.set("a", Value::Void);
        let entries: Vec<_> = table.iter().cloned().collect();
        assert_eq!(entries, [("a".into(), Value::Void), ("b".into(), Value::I32(2))]);
    }

    #[test]
    fn sizes_count_tags_lengths_and_nesting() {
        let inner: Table = [("k".to_owned(), Value::text("xy"))].into_iter().collect();
        assert_eq!(inner.wire_size(), 4 + 2 + 1 + 4 + 2);
        let outer: Table = [("t".to_owned(), Value::Table(inner))].into_iter().collect();
        assert_eq!(outer.wire_size(), 4 + 2 + 1 + 13);
        assert_eq!(outer.depth(), 2);
        assert_eq!(Value::Array(vec![Value::Void]).depth(), 1);
    }
}
