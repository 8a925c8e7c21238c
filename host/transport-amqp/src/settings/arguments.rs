//! Arguments of queues, exchanges, bindings and consumers: what brokers take of them.

use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lockgate_transport::declare::{Argument, Arguments, SettingsError};

use super::SHORT_STRING_MAX;

/// Nesting of arguments, the outermost table included; brokers know none deeper than three.
const DEPTH_MAX: usize = 8;

/// Reports what no broker takes.
pub(super) fn check(arguments: &Arguments, path: &str, errors: &mut Vec<SettingsError>) {
    check_table(arguments, path, 1, errors);
}

fn check_table(arguments: &Arguments, path: &str, depth: usize, errors: &mut Vec<SettingsError>) {
    for (key, value) in &arguments.0 {
        if key.len() > SHORT_STRING_MAX {
            errors.push(SettingsError::new(
                path,
                format!("a key is {} bytes long, more than {SHORT_STRING_MAX}", key.len()),
            ));
        } else {
            check_value(value, &format!("{path}.{key}"), depth, errors);
        }
    }
}

fn check_value(value: &Argument, path: &str, depth: usize, errors: &mut Vec<SettingsError>) {
    match value {
        _ if depth > DEPTH_MAX => {
            errors.push(SettingsError::new(path, format!("nests deeper than {DEPTH_MAX}")));
        }
        Argument::Float(number) if !number.is_finite() => {
            errors.push(SettingsError::new(path, "must be finite"));
        }
        Argument::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                check_value(item, &format!("{path}[{n}]"), depth + 1, errors);
            }
        }
        Argument::Table(table) => check_table(table, path, depth + 1, errors),
        Argument::Bool(_) | Argument::Int(_) | Argument::Float(_) | Argument::Text(_) => {}
    }
}

/// As the client takes it. Call after [`check`]: keys too long are left out.
pub(crate) fn field_table(arguments: &Arguments) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in &arguments.0 {
        if let Ok(key) = ShortString::try_new(key.as_str()) {
            table.insert(key, field_value(value));
        }
    }
    table
}

/// Integers are sent as 32 bits where they fit, as other clients do.
fn field_value(value: &Argument) -> AMQPValue {
    match value {
        Argument::Bool(value) => AMQPValue::Boolean(*value),
        Argument::Int(value) => match i32::try_from(*value) {
            Ok(value) => AMQPValue::LongInt(value),
            Err(_) => AMQPValue::LongLongInt(*value),
        },
        Argument::Float(value) => AMQPValue::Double(*value),
        Argument::Text(text) => AMQPValue::LongString(LongString::from(text.as_bytes())),
        Argument::Array(items) => {
            AMQPValue::FieldArray(items.iter().map(field_value).collect::<Vec<_>>().into())
        }
        Argument::Table(table) => AMQPValue::FieldTable(field_table(table)),
    }
}
