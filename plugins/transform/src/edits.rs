//! Changes of headers, routing key and properties, ready to be made on each message.

use jaq_json::Val;
use lockgate_plugin::{Delta, Message, Property, SettingError, Value};

use crate::fault::Fault;
use crate::settings::{Scalar, Settings, header_name, pointer, property};
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
            keep(header_name(to, &pointer("rename_headers", from)));
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
            Source::Text(template) => Some(template),
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
        for (from, to) in &self.rename {
            if let Some(value) = message.header(from) {
                delta.remove_header(from).header(to, value);
            }
        }
        for name in &self.remove {
            delta.remove_header(name);
        }
        for (name, source) in &self.set {
            match source {
                Source::Bool(truth) => delta.header(name, Value::Bool(*truth)),
                Source::Integer(number) => delta.header(name, Value::I64(*number)),
                Source::Float(number) => delta.header(name, Value::F64(*number)),
                Source::Text(template) => {
                    delta.header(name, template.render(message, body)?.as_str().into())
                }
            };
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
}

impl Source {
    fn new(scalar: &Scalar, place: &str) -> Result<Self, SettingError> {
        Ok(match scalar {
            Scalar::Bool(truth) => Self::Bool(*truth),
            Scalar::Integer(number) => Self::Integer(*number),
            Scalar::Float(number) => Self::Float(*number),
            Scalar::Text(text) => Self::Text(Template::parse(text, place)?),
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
                    _ => return Err(Fault::Number { what: what(), text }),
                };
            }
            (Self::Integer(number), _) => {
                delta.number(property, u64::try_from(*number).unwrap_or(0));
            }
            // Refused by `for_property`.
            (Self::Bool(_) | Self::Float(_), _) => {}
        }
        Ok(())
    }
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
