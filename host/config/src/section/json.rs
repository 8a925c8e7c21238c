//! A table as JSON, for a plugin's settings.

use serde_json::{Map, Number, Value as Json};

use super::Section;
use crate::diagnostic::{Code, Diagnostic};
use crate::document::{Node, Value};

/// The section's value as JSON. What JSON has no word for (`inf`, `nan`) is reported and null.
pub(crate) fn to_json(section: &Section, diagnostics: &mut Vec<Diagnostic>) -> Json {
    convert(section, section.node(), diagnostics)
}

fn convert(section: &Section, node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Json {
    match &node.value {
        Value::Text(text) => Json::String(text.value.clone()),
        Value::Integer(number) => Json::Number((*number).into()),
        Value::Float(number) => match Number::from_f64(*number) {
            Some(number) => Json::Number(number),
            None => {
                let message = "a plugin's settings are JSON, which has no infinity and no NaN";
                let place = section.place_of(node.span.clone());
                diagnostics.push(Diagnostic::new(Code::BadValue, message).at(place));
                Json::Null
            }
        },
        Value::Boolean(flag) => Json::Bool(*flag),
        Value::Array(elements) => {
            elements.iter().map(|element| convert(section, element, diagnostics)).collect()
        }
        Value::Table(entries) => {
            let pairs = entries
                .iter()
                .map(|entry| (entry.key.clone(), convert(section, &entry.node, diagnostics)));
            Json::Object(pairs.collect::<Map<_, _>>())
        }
        Value::Broken => Json::Null,
    }
}
