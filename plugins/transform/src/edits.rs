//! Changes of headers, routing key and properties, ready to be made on each message.

use content::Encoding;
use jq::Val;
use lockgate_plugin::{Delta, Message, Property, SettingError, Value};

use crate::fault::Fault;
use crate::settings::{Scalar, Settings, Typed, header_name, pointer, property};
use crate::template::Template;

/// Bytes of a routing key or a text property at most.
const SHORT: usize = 255;

/// What the settings change beside the body.
pub(crate) struct Edits {
    rename: Vec<(String, String)>,
    remove: Vec<String>,
    set: Vec<(String, Source)>,
    routing_key: Option<Template>,
    properties: Vec<(Property, Source)>,
    clear: Vec<Property>,
}

enum Source {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Template),
    Number(Template),
    Boolean(Template),
}

impl Edits {
    /// Reads the settings.
    ///
    /// # Errors
    /// Every one that is wrong.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Vec<SettingError>> {
        let mut errors = Vec::new();
        let mut keep = |result: Result<(), SettingError>| errors.extend(result.err());
        let mut edits = Self {
            rename: Vec::new(),
            remove: settings.remove_headers.clone(),
            set: Vec::new(),
            routing_key: None,
            properties: Vec::new(),
            clear: Vec::new(),
        };
        for (from, to) in &settings.rename_headers {
            let place = pointer("rename_headers", from);
            keep(header_name(to, &place));
            if let Some((first, _)) = edits.rename.iter().find(|(_, other)| other == to) {
                let message =
                    format!("`{first}` becomes `{to}` as well: one of them would be lost");
                keep(Err(SettingError::at(&place, message)));
            }
            edits.rename.push((from.clone(), to.clone()));
        }
        for (name, scalar) in &settings.set_headers {
            let place = pointer("set_headers", name);
            keep(header_name(name, &place));
            keep(Source::new(scalar, &place).map(|source| edits.set.push((name.clone(), source))));
        }
        if let Some(text) = &settings.routing_key {
            keep(Template::parse(text, "/routing_key").map(|key| edits.routing_key = Some(key)));
        }
        for (name, scalar) in &settings.properties {
            let place = pointer("properties", name);
            let source = property(name, &place).and_then(|property| {
                Ok((property, Source::for_property(property, scalar, &place)?))
            });
            keep(source.map(|source| edits.properties.push(source)));
        }
        for (at, name) in settings.remove_properties.iter().enumerate() {
            let found = property(name, &format!("/remove_properties/{at}"));
            keep(found.map(|property| edits.clear.push(property)));
        }
        if errors.is_empty() { Ok(edits) } else { Err(errors) }
    }

    /// Whether there is nothing to change.
    pub(crate) fn is_empty(&self) -> bool {
        self.rename.is_empty()
            && self.remove.is_empty()
            && self.set.is_empty()
            && self.routing_key.is_none()
            && self.properties.is_empty()
            && self.clear.is_empty()
    }

    /// All templates.
    pub(crate) fn templates(&self) -> impl Iterator<Item = &Template> {
        let texts = self.set.iter().map(|(_, source)| source);
        let texts = texts.chain(self.properties.iter().map(|(_, source)| source));
        let texts = texts.filter_map(|source| match source {
            Source::Text(template) | Source::Number(template) | Source::Boolean(template) => {
                Some(template)
            }
            _ => None,
        });
        texts.chain(&self.routing_key)
    }

    /// The headers that are read.
    pub(crate) fn headers(&self) -> Vec<String> {
        let renamed = self.rename.iter().map(|(from, _)| from.as_str());
        let mut names: Vec<String> = renamed
            .chain(self.templates().flat_map(Template::headers))
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Writes the changes for a message as it came and its body as it leaves.
    pub(crate) fn write(
        &self,
        message: &Message<'_>,
        body: &Val,
        delta: &mut Delta,
    ) -> Result<(), Fault> {
        self.write_renamed(message, delta);
        for name in &self.remove {
            delta.remove_header(name);
        }
        for (name, source) in &self.set {
            source.set_header(name, message, body, delta)?;
        }
        if let Some(template) = &self.routing_key {
            let key = template.render(message, body)?;
            delta.routing_key(short(&key, || "the routing key".to_owned())?);
        }
        for property in &self.clear {
            delta.clear_property(*property);
        }
        for (property, source) in &self.properties {
            source.set_property(*property, message, body, delta)?;
        }
        Ok(())
    }

    /// All renames read the names as the message came with them: `{ a = "b", b = "a" }` swaps.
    fn write_renamed(&self, message: &Message<'_>, delta: &mut Delta) {
        let found =
            self.rename.iter().filter_map(|(from, to)| Some((from, to, message.header(from)?)));
        let found: Vec<_> = found.collect();
        for (from, _, _) in &found {
            // What gets another's value needs not be removed first.
            if !found.iter().any(|(_, to, _)| to == from) {
                delta.remove_header(from);
            }
        }
        for (_, to, value) in found {
            delta.header(to, value);
        }
    }

    /// The encoding of a body that leaves: as the message says on leaving.
    pub(crate) fn encoding(&self, message: &Message<'_>, body: &Val) -> Result<Encoding, Fault> {
        let is_it = |property: &Property| *property == Property::ContentEncoding;
        let set = self.properties.iter().find(|(property, _)| is_it(property));
        if let Some((_, Source::Text(template))) = set {
            return Ok(Encoding::named(Some(&template.render(message, body)?)));
        }
        if self.clear.iter().any(is_it) {
            return Ok(Encoding::Plain);
        }
        Ok(Encoding::named(message.property(Property::ContentEncoding)))
    }
}

impl Source {
    fn new(scalar: &Scalar, place: &str) -> Result<Self, SettingError> {
        Ok(match scalar {
            Scalar::Bool(truth) => Self::Bool(*truth),
            Scalar::Integer(number) => Self::Integer(*number),
            Scalar::Float(number) => Self::Float(*number),
            Scalar::Text(text) => Self::Text(Template::parse(text, place)?),
            Scalar::Typed(Typed::Number(text)) => Self::Number(Template::parse(text, place)?),
            Scalar::Typed(Typed::Boolean(text)) => Self::Boolean(Template::parse(text, place)?),
        })
    }

    fn for_property(
        property: Property,
        scalar: &Scalar,
        place: &str,
    ) -> Result<Self, SettingError> {
        match (scalar, largest(property)) {
            (Scalar::Text(text), None) if text.len() > SHORT && !text.contains("{{") => {
                Err(SettingError::at(place, "a property is longer than 255 bytes"))
            }
            (Scalar::Text(_), _) => Self::new(scalar, place),
            (Scalar::Integer(number), Some(largest))
                if u64::try_from(*number).is_ok_and(|number| number <= largest) =>
            {
                Self::new(scalar, place)
            }
            (_, Some(largest)) => {
                let message = format!("a whole number from 0 to {largest}, or a template");
                Err(SettingError::at(place, message))
            }
            (_, None) => Err(SettingError::at(place, "this property is text")),
        }
    }

    fn set_header(
        &self,
        name: &str,
        message: &Message<'_>,
        body: &Val,
        delta: &mut Delta,
    ) -> Result<(), Fault> {
        let wrong = |text, wanted| Fault::Type { what: format!("header {name}"), text, wanted };
        match self {
            Self::Bool(truth) => delta.header(name, Value::Bool(*truth)),
            Self::Integer(number) => delta.header(name, Value::I64(*number)),
            Self::Float(number) => delta.header(name, Value::F64(*number)),
            Self::Text(template) => {
                delta.header(name, template.render(message, body)?.as_str().into())
            }
            Self::Number(template) => {
                let text = template.render(message, body)?;
                match number(&text) {
                    Some(value) => delta.header(name, value),
                    None => return Err(wrong(text, "number that fits")),
                }
            }
            Self::Boolean(template) => {
                let text = template.render(message, body)?;
                match text.parse() {
                    Ok(truth) => delta.header(name, Value::Bool(truth)),
                    Err(_) => return Err(wrong(text, "truth value")),
                }
            }
        };
        Ok(())
    }

    fn set_property(
        &self,
        property: Property,
        message: &Message<'_>,
        body: &Val,
        delta: &mut Delta,
    ) -> Result<(), Fault> {
        let what = || format!("property {}", property.name());
        match (self, largest(property)) {
            (Self::Text(template), None) => {
                let text = template.render(message, body)?;
                delta.property(property, short(&text, what)?);
            }
            (Self::Text(template), Some(largest)) => {
                let text = template.render(message, body)?;
                match text.parse() {
                    Ok(number) if number <= largest => delta.number(property, number),
                    _ => {
                        let wanted = "number that fits";
                        return Err(Fault::Type { what: what(), text, wanted });
                    }
                };
            }
            (Self::Integer(number), _) => {
                delta.number(property, u64::try_from(*number).unwrap_or(0));
            }
            // Refused by `for_property`.
            (Self::Bool(_) | Self::Float(_) | Self::Number(_) | Self::Boolean(_), _) => {}
        }
        Ok(())
    }
}

/// A number of JSON as a header: whole if it is, and of 64 bits. A number that a double changes is
/// none.
fn number(text: &str) -> Option<Value<'static>> {
    if let Ok(whole) = text.parse() {
        return Some(Value::I64(whole));
    }
    let number = jq::Num::from_json(text)?.as_f64();
    let whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    (!whole && number.is_finite()).then_some(Value::F64(number))
}

/// The largest value of a numeric property.
fn largest(property: Property) -> Option<u64> {
    match property {
        Property::DeliveryMode | Property::Priority => Some(255),
        Property::Timestamp => Some(u64::MAX),
        _ => None,
    }
}

fn short(text: &str, what: impl Fn() -> String) -> Result<&str, Fault> {
    if text.len() <= SHORT { Ok(text) } else { Err(Fault::Long { what: what() }) }
}
