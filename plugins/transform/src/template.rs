//! Templates: text with `{{routing_key}}`, `{{exchange}}`, `{{property.NAME}}`, `{{header.NAME}}`
//! and `{{body.PATH}}` in it.

use std::fmt::Write as _;

use jq::Val;
use lockgate_plugin::{Message, Property, SettingError, Value};

use crate::fault::Fault;
use crate::settings::property;

/// A text and what to put into it.
pub(crate) struct Template(Vec<Piece>);

enum Piece {
    Text(String),
    RoutingKey,
    Exchange,
    Property(Property),
    Header(String),
    Body(Vec<String>),
}

impl Template {
    /// Reads a template; `pointer` says where it stands in the settings.
    pub(crate) fn parse(text: &str, pointer: &str) -> Result<Self, SettingError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let at = text.len() - after.len() - 2;
            let error = |message: String| {
                SettingError::at(pointer, message).with_offset(u32::try_from(at).unwrap_or(0))
            };
            let (inside, tail) =
                after.split_once("}}").ok_or_else(|| error("`{{` without `}}`".to_owned()))?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::parse(inside.trim()).map_err(error)?);
            rest = tail;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The headers that it reads.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Header(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether it reads the body.
    pub(crate) fn reads_body(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Body(_)))
    }

    /// Whether it reads exchange or routing key.
    pub(crate) fn reads_origin(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::RoutingKey | Piece::Exchange))
    }

    /// Whether it reads properties.
    pub(crate) fn reads_properties(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Property(_)))
    }

    /// The text for a message as it came and its body as it leaves. What a message has not, and
    /// null, is empty text; an array or object is JSON.
    pub(crate) fn render(&self, message: &Message<'_>, body: &Val) -> Result<String, Fault> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::RoutingKey => out.push_str(message.routing_key()),
                Piece::Exchange => out.push_str(message.exchange()),
                Piece::Property(property) => put_property(*property, message, &mut out),
                Piece::Header(name) => {
                    if let Some(value) = message.header(name) {
                        put_header(value, &mut out);
                    }
                }
                Piece::Body(path) => put_body(lookup(body, path), &mut out)?,
            }
        }
        Ok(out)
    }
}

impl Piece {
    fn parse(inside: &str) -> Result<Self, String> {
        match inside.split_once('.') {
            None if inside == "routing_key" => Ok(Self::RoutingKey),
            None if inside == "exchange" => Ok(Self::Exchange),
            Some(("property", name)) => {
                property(name, "").map(Self::Property).map_err(|error| error.message)
            }
            Some(("header", name)) if !name.is_empty() => Ok(Self::Header(name.to_owned())),
            Some(("body", path)) if path.split('.').all(|step| !step.is_empty()) => {
                Ok(Self::Body(path.split('.').map(str::to_owned).collect()))
            }
            _ => Err(format!(
                "unknown placeholder `{inside}`; there are routing_key, exchange, property.NAME, \
                 header.NAME and body.PATH"
            )),
        }
    }
}

fn put_property(property: Property, message: &Message<'_>, out: &mut String) {
    let number = match property {
        Property::DeliveryMode => message.delivery_mode().map(u64::from),
        Property::Priority => message.priority().map(u64::from),
        Property::Timestamp => message.timestamp(),
        text => return out.push_str(message.property(text).unwrap_or_default()),
    };
    if let Some(number) = number {
        put(out, format_args!("{number}"));
    }
}

fn put_header(value: Value<'_>, out: &mut String) {
    match value {
        Value::Bool(truth) => put(out, format_args!("{truth}")),
        Value::F32(number) => put(out, format_args!("{number}")),
        Value::F64(number) => put(out, format_args!("{number}")),
        value => match (value.as_str(), value.as_i64()) {
            (Some(text), _) => out.push_str(text),
            (_, Some(number)) => put(out, format_args!("{number}")),
            // Void, bytes, decimals, arrays and tables have no text.
            (None, None) => {}
        },
    }
}

/// Writing to a string does not fail.
fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

/// What stands at a path: keys of objects, numbers of elements.
fn lookup<'v>(body: &'v Val, path: &[String]) -> Option<&'v Val> {
    path.iter().try_fold(body, |value, step| match value {
        Val::Obj(members) => members.get(step),
        Val::Arr(elements) => elements.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

fn put_body(value: Option<&Val>, out: &mut String) -> Result<(), Fault> {
    match value {
        None | Some(Val::Null) => {}
        Some(Val::Str(text)) => out.push_str(text),
        Some(value) => {
            let mut json = Vec::new();
            jq::write(value, &mut json)?;
            out.push_str(&String::from_utf8_lossy(&json));
        }
    }
    Ok(())
}
