//! Needs: the parts of a message that a plugin asked for. Nothing else is packed for it.

use lockgate_message::Table;
use serde_json::Value;

/// Names of headers that one plugin may ask for.
const MAX_NAMES: usize = 256;

/// What a plugin can ask for.
const KEYS: [&str; 4] = ["origin", "properties", "headers", "body"];

/// What `init` said these settings need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Exchange and routing key.
    pub origin: bool,
    /// The ten short-string properties.
    pub properties: bool,
    pub headers: HeaderNeeds,
    pub body: BodyNeeds,
}

/// Which headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HeaderNeeds {
    #[default]
    None,
    All,
    /// Those of these names, whether the message has them or not; none for an empty set.
    Named(Names),
}

/// How much of the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyNeeds {
    #[default]
    None,
    All,
    /// At most so many bytes from the start.
    Prefix(u32),
}

/// A set of header names, quick to ask for the few that plugins name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    fn has(&self, name: &str) -> bool {
        // Up to here comparing each is quicker, for most differ in length.
        const FEW: usize = 8;
        match self.0.as_slice() {
            few if few.len() <= FEW => few.iter().any(|one| one == name),
            many => many.binary_search_by(|one| one.as_str().cmp(name)).is_ok(),
        }
    }
}

impl FromIterator<String> for Names {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        let mut names: Vec<String> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        Self(names)
    }
}

impl HeaderNeeds {
    /// The headers asked for, in the message's order.
    pub(crate) fn of<'a>(
        &'a self,
        headers: &'a Table,
    ) -> impl Iterator<Item = &'a (String, lockgate_message::Value)> {
        headers.iter().filter(move |(name, _)| match self {
            Self::None => false,
            Self::All => true,
            Self::Named(names) => names.has(name),
        })
    }
}

impl Needs {
    /// Everything there is.
    pub const ALL: Self =
        Self { origin: true, properties: true, headers: HeaderNeeds::All, body: BodyNeeds::All };

    /// The frame's mask of parts present.
    pub(crate) fn mask(&self) -> u32 {
        (u32::from(self.origin) << 1)
            | (u32::from(self.properties) << 2)
            | (u32::from(self.headers != HeaderNeeds::None) << 3)
            | (u32::from(self.body != BodyNeeds::None) << 4)
    }

    /// Reads the `needs` of an init result; missing ones are false, unknown ones are refused,
    /// for a part silently left out would be a wrong verdict later.
    pub(crate) fn parse(value: &Value) -> Result<Self, String> {
        let Value::Object(fields) = value else {
            return Err("`needs` is not an object".into());
        };
        let mut needs = Self::default();
        for (key, value) in fields {
            match (key.as_str(), value) {
                ("origin", Value::Bool(on)) => needs.origin = *on,
                ("properties", Value::Bool(on)) => needs.properties = *on,
                ("headers", Value::Bool(false)) => needs.headers = HeaderNeeds::None,
                ("headers", Value::Bool(true)) => needs.headers = HeaderNeeds::All,
                ("headers", Value::Array(names)) => needs.headers = names_of(names)?,
                ("body", Value::Bool(false)) => needs.body = BodyNeeds::None,
                ("body", Value::Bool(true)) => needs.body = BodyNeeds::All,
                ("body", Value::Number(len)) => {
                    let len = len.as_u64().and_then(|len| u32::try_from(len).ok());
                    let len = len.ok_or("`needs.body` is not a length")?;
                    needs.body = BodyNeeds::Prefix(len);
                }
                ("origin" | "properties" | "headers" | "body", _) => {
                    return Err(format!("`needs.{key}` has the wrong type"));
                }
                _ => return Err(crate::json::unknown("needs", key, &KEYS)),
            }
        }
        Ok(needs)
    }
}

fn names_of(names: &[Value]) -> Result<HeaderNeeds, String> {
    if names.len() > MAX_NAMES {
        return Err(format!("`needs.headers` names more than {MAX_NAMES} headers"));
    }
    let names: Option<Names> = names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
    match names {
        None => Err("`needs.headers` holds something other than names".into()),
        Some(names) => Ok(HeaderNeeds::Named(names)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(value: Value, expected: Result<Needs, &str>) {
        assert_eq!(Needs::parse(&value), expected.map_err(str::to_owned));
    }

    #[test]
    fn parses() {
        check(json!({}), Ok(Needs::default()));
        check(
            json!({"origin": true, "properties": true, "headers": true, "body": true}),
            Ok(Needs::ALL),
        );
        let named = HeaderNeeds::Named(["a".to_owned()].into_iter().collect());
        check(
            json!({"headers": ["a"], "body": 16}),
            Ok(Needs { headers: named, body: BodyNeeds::Prefix(16), ..Needs::default() }),
        );
        let nothing = HeaderNeeds::Named(Names::default());
        check(
            json!({"headers": [], "body": 0}),
            Ok(Needs { headers: nothing, body: BodyNeeds::Prefix(0), ..Needs::default() }),
        );
        check(json!({"body": -1}), Err("`needs.body` is not a length"));
        check(json!({"body": "all"}), Err("`needs.body` has the wrong type"));
        check(
            json!({"trailers": true}),
            Err(
                "the key `needs.trailers` is unknown; there are `origin`, `properties`, `headers`, `body`",
            ),
        );
        check(json!([]), Err("`needs` is not an object"));
        check(json!({"headers": [1]}), Err("`needs.headers` holds something other than names"));
    }

    #[test]
    fn names_are_found_be_they_few_or_many() {
        for count in [0, 1, 8, 9, 100] {
            let names: Names = (0..count).rev().map(|n| format!("h{n}")).collect();
            assert!((0..count).all(|n| names.has(&format!("h{n}"))), "{count}");
            assert!(!names.has("h") && !names.has("other"), "{count}");
        }
    }
}
