//! Arguments of queues, exchanges, bindings and consumers, typed as TOML types them.

use std::collections::BTreeMap;

use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use serde::Deserialize;

use super::{SHORT_STRING_MAX, SettingsError};

/// A table of arguments.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Arguments(pub BTreeMap<String, Argument>);

/// One argument.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Argument {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Array(Vec<Argument>),
    Table(Arguments),
}

/// Nesting of arguments, the outermost table included; brokers know none deeper than three.
const DEPTH_MAX: usize = 8;

impl Arguments {
    pub(crate) fn validate(&self, path: &str, errors: &mut Vec<SettingsError>) {
        self.check(path, 1, errors);
    }

    fn check(&self, path: &str, depth: usize, errors: &mut Vec<SettingsError>) {
        for (key, value) in &self.0 {
            if key.len() > SHORT_STRING_MAX {
                errors.push(SettingsError::new(
                    path,
                    format!("a key is {} bytes long, more than {SHORT_STRING_MAX}", key.len()),
                ));
            } else {
                value.check(&format!("{path}.{key}"), depth, errors);
            }
        }
    }

    /// As the client takes it. Call after `validate`: keys too long are left out.
    pub(crate) fn to_table(&self) -> FieldTable {
        let mut table = FieldTable::default();
        for (key, value) in &self.0 {
            if let Ok(key) = ShortString::try_new(key.as_str()) {
                table.insert(key, value.to_value());
            }
        }
        table
    }
}

impl Argument {
    fn check(&self, path: &str, depth: usize, errors: &mut Vec<SettingsError>) {
        match self {
            _ if depth > DEPTH_MAX => {
                errors.push(SettingsError::new(path, format!("nests deeper than {DEPTH_MAX}")));
            }
            Self::Float(number) if !number.is_finite() => {
                errors.push(SettingsError::new(path, "must be finite"));
            }
            Self::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    item.check(&format!("{path}[{n}]"), depth + 1, errors);
                }
            }
            Self::Table(table) => table.check(path, depth + 1, errors),
            Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Text(_) => {}
        }
    }

    /// Integers are sent as 32 bits where they fit, as other clients do.
    fn to_value(&self) -> AMQPValue {
        match self {
            Self::Bool(value) => AMQPValue::Boolean(*value),
            Self::Int(value) => match i32::try_from(*value) {
                Ok(value) => AMQPValue::LongInt(value),
                Err(_) => AMQPValue::LongLongInt(*value),
            },
            Self::Float(value) => AMQPValue::Double(*value),
            Self::Text(text) => AMQPValue::LongString(LongString::from(text.as_bytes())),
            Self::Array(items) => {
                AMQPValue::FieldArray(items.iter().map(Self::to_value).collect::<Vec<_>>().into())
            }
            Self::Table(table) => AMQPValue::FieldTable(table.to_table()),
        }
    }
}
