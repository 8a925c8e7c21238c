//! One string of a JSON body, found without building the rest.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The string at a path of keys and element numbers. None if something else or nothing is there,
/// or the body is not JSON from its first to its last byte. Of a key that comes twice the last
/// value counts.
pub(crate) fn string_at<'b>(body: &'b [u8], path: &[String]) -> Option<Cow<'b, str>> {
    let mut found = None;
    let mut json = serde_json::Deserializer::from_slice(body);
    At { path, found: &mut found }.deserialize(&mut json).ok()?;
    json.end().ok()?;
    found
}

/// Reads one value, and keeps the string at `path` below it.
struct At<'p, 'f, 'b> {
    path: &'p [String],
    found: &'f mut Option<Cow<'b, str>>,
}

impl<'b> DeserializeSeed<'b> for At<'_, '_, 'b> {
    type Value = ();

    fn deserialize<D: Deserializer<'b>>(self, value: D) -> Result<(), D::Error> {
        *self.found = None;
        value.deserialize_any(self)
    }
}

impl<'b> Visitor<'b> for At<'_, '_, 'b> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'b str) -> Result<(), E> {
        if self.path.is_empty() {
            *self.found = Some(Cow::Borrowed(text));
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if self.path.is_empty() {
            *self.found = Some(Cow::Owned(text.to_owned()));
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'b>>(self, mut members: A) -> Result<(), A::Error> {
        let (step, rest) = self.path.split_first().unzip();
        while let Some(is_step) = members.next_key_seed(Is(step.map(String::as_str)))? {
            match rest {
                Some(path) if is_step => {
                    members.next_value_seed(At { path, found: &mut *self.found })?;
                }
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut elements: A) -> Result<(), A::Error> {
        let (step, rest) = self.path.split_first().unzip();
        let wanted = step.and_then(|step| step.parse().ok());
        for at in 0_usize.. {
            let more = match rest {
                Some(path) if wanted == Some(at) => {
                    elements.next_element_seed(At { path, found: &mut *self.found })?.is_some()
                }
                _ => elements.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Whether a key is this one.
struct Is<'k>(Option<&'k str>);

impl<'b> DeserializeSeed<'b> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'b>>(self, key: D) -> Result<bool, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        Ok(self.0 == Some(key))
    }
}
