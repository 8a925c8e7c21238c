//! JSON that a plugin says of itself, read strictly: a key that is unknown or stands there twice, or
//! a value of another type than its key takes, is an error that names the key. Left out in silence,
//! a mistyped `needs` cost every message of a stage its headers.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::text::clean;

/// Bytes of a plugin's key that an error shows.
const SHOWN: usize = 64;

/// Reads a text; an object in it may not have a key twice.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn parse(text: &[u8]) -> Result<Value, String> {
    let say = |error: serde_json::Error| error.to_string();
    let mut reader = serde_json::Deserializer::from_slice(text);
    reader.deserialize_any(Unique).map_err(say)?;
    serde_json::from_slice(text).map_err(say)
}

/// The fields of an object, none of them unknown.
pub(crate) struct Fields {
    /// Where the object stands; empty for the outermost.
    at: &'static str,
    fields: Map<String, Value>,
}

impl Fields {
    /// Those of `value`, which stands at `at` and may have the keys `known`.
    pub(crate) fn of(value: Value, at: &'static str, known: &[&str]) -> Result<Self, String> {
        let fields = Self::any(value, at)?;
        match fields.fields.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(unknown(at, key, known)),
            None => Ok(fields),
        }
    }

    /// As [`Fields::of`], whatever other keys there are.
    pub(crate) fn any(value: Value, at: &'static str) -> Result<Self, String> {
        match value {
            Value::Object(fields) => Ok(Self { at, fields }),
            _ if at.is_empty() => Err("it is not a JSON object".into()),
            _ => Err(format!("`{at}` is not an object")),
        }
    }

    /// The value of a key, which must be `what`; `None` where there is none.
    pub(crate) fn take<T: DeserializeOwned>(
        &mut self,
        key: &str,
        what: &str,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.fields.remove(key) else { return Ok(None) };
        let read = serde_json::from_value(value);
        read.map(Some).map_err(|_| format!("`{}` is not {what}", path(self.at, key)))
    }

    /// As [`Fields::take`], of a key that must be there.
    pub(crate) fn need<T: DeserializeOwned>(&mut self, key: &str, what: &str) -> Result<T, String> {
        self.take(key, what)?.ok_or_else(|| format!("`{}` is missing", path(self.at, key)))
    }
}

/// Says that a key is unknown, and which known one it may be a slip of.
pub(crate) fn unknown(at: &str, key: &str, known: &[&str]) -> String {
    let shown = path(at, &clean(key, SHOWN));
    match nearest(key, known) {
        Some(name) => format!("the key `{shown}` is unknown; did you mean `{name}`?"),
        None => format!("the key `{shown}` is unknown; there are `{}`", known.join("`, `")),
    }
}

/// The known key that `given` is most likely a slip of: at most a third of it wrong, case apart.
fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    if given.len() > SHOWN {
        return None;
    }
    let given = given.to_lowercase().replace('-', "_");
    let allowed = (given.chars().count() / 3).max(1);
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&given, name), *name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn path(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

/// Goes through a value and refuses an object that has a key twice; serde_json keeps the last.
struct Unique;

impl<'de> serde::de::DeserializeSeed<'de> for Unique {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Unique)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = fields.next_key::<String>()? {
            fields.next_value_seed(Unique)?;
            if seen.contains(&key) {
                let key = clean(&key, SHOWN);
                return Err(A::Error::custom(format_args!("the key `{key}` stands there twice")));
            }
            seen.insert(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_key_stands_twice_at_any_depth() {
        for good in [r#"{"a":1,"b":{"a":[{"a":null},{"a":-1.5}]},"c":"x"}"#, "[]", "\"a\""] {
            assert_eq!(
                parse(good.as_bytes()),
                serde_json::from_str(good).map_err(|_| String::new())
            );
        }
        for bad in [r#"{"a":1,"a":1}"#, r#"[{"b":{"x":1,"a":2,"a":3}}]"#, r#"{"\u0061":1,"a":2}"#] {
            assert!(parse(bad.as_bytes()).unwrap_err().contains("`a` stands there twice"), "{bad}");
        }
        assert!(parse(br#"{"a":1} x"#).is_err());
        assert!(parse("[".repeat(1000).as_bytes()).is_err());
    }

    #[test]
    fn the_nearest_key_is_named() {
        let known = ["needs", "routes", "unrouted"];
        let check = |key: &str, part: &str| {
            let said = Fields::of(json!({ key: 1 }), "ok", &known).err().unwrap();
            assert!(said.contains(part), "{said}");
        };
        check("need", "`ok.need` is unknown; did you mean `needs`?");
        check("Needs", "did you mean `needs`?");
        check("unroutet", "did you mean `unrouted`?");
        check("priority", "there are `needs`, `routes`, `unrouted`");
        check("a\u{1b}[2J", "`ok.a\\u{1b}[2J` is unknown");
        check(&"x".repeat(1000), "is unknown; there are");
    }

    #[test]
    fn values_have_their_types() {
        let mut fields = Fields::of(json!({ "a": "x", "b": 1 }), "", &["a", "b"]).unwrap();
        assert_eq!(
            fields.take::<bool>("a", "true or false").unwrap_err(),
            "`a` is not true or false"
        );
        assert_eq!(fields.need::<u32>("b", "a number"), Ok(1));
        assert_eq!(fields.need::<u32>("b", "a number").unwrap_err(), "`b` is missing");
        assert!(Fields::of(json!([]), "", &[]).err().unwrap().contains("not a JSON object"));
        assert!(Fields::of(json!(1), "ok", &[]).err().unwrap().contains("`ok` is not an object"));
    }
}
