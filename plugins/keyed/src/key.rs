//! Key: what tells a message from others, as bytes that state can be kept by.

use lockgate_plugin::{Message, Needs, SettingError};
use predicate::Text;
use sha2::{Digest, Sha256};

/// Longer texts are kept by their SHA-256: a key of state has at most 512 bytes, and a plugin may
/// add to this one.
const MAX_TEXT: usize = 255;

/// What tells a message from others.
pub struct Key(Text);

impl Key {
    /// `property:` or `header:` and a name, or an expression in CEL.
    ///
    /// # Errors
    /// What is wrong with it; `pointer` names the setting.
    pub fn compile(pointer: &str, setting: &str) -> Result<Self, SettingError> {
        let named = |prefix, map| Some((prefix, map, setting.strip_prefix(prefix)?));
        let named = named("property:", "properties").or_else(|| named("header:", "headers"));
        let (source, skipped) = match named {
            Some((prefix, _, "")) => {
                let message = format!("a name is missing after `{prefix}`");
                return Err(SettingError::at(pointer, message));
            }
            Some((prefix, map, name)) => {
                let name = name.replace('\\', r"\\").replace('"', r#"\""#);
                (format!("{map}[\"{name}\"]"), prefix.len())
            }
            None => (setting.to_owned(), 0),
        };
        Text::compile(&source).map(Self).map_err(|error| {
            let offset = match skipped {
                0 => error.offset,
                // Of the source that stands for it only the name is the setting's.
                skipped => u32::try_from(skipped).unwrap_or(0),
            };
            SettingError::at(pointer, error.message).with_offset(offset)
        })
    }

    /// The parts of a message that it reads.
    pub fn needs(&self) -> Needs {
        let mut needs = self.0.needs();
        content::need(&mut needs);
        needs
    }

    /// The key of this message, 1 to 256 bytes; `None` if what it is made of is missing, empty, or
    /// no text, number or boolean.
    pub fn of(&self, message: &Message<'_>) -> Option<Vec<u8>> {
        let body = content::read(message, content::MAX_CONTENT).ok()?;
        let text = self.0.eval(&message.with_body(&body)).ok().filter(|text| !text.is_empty())?;
        // The first byte keeps a text from being taken for a digest.
        Some(if text.len() <= MAX_TEXT {
            [b"t", text.as_bytes()].concat()
        } else {
            [&b"h"[..], &Sha256::digest(text.as_bytes())].concat()
        })
    }
}

#[cfg(test)]
mod tests {
    use lockgate_plugin::testing::MessageBuilder;
    use lockgate_plugin::{Property, Value};

    use super::*;

    #[track_caller]
    fn check(setting: &str, expected: Option<&[u8]>) {
        let key = Key::compile("/key", setting).unwrap_or_else(|error| panic!("{error:?}"));
        let message = MessageBuilder::new()
            .property(Property::MessageId, "m-1")
            .header("x-id", Value::I32(7))
            .header(r#"a "b\"#, Value::from("quoted"))
            .body(r#"{"id":"o-1","empty":"","none":null}"#);
        assert_eq!(key.of(&message.view()).as_deref(), expected, "{setting}");
    }

    #[test]
    fn keys_are_properties_headers_or_expressions() {
        check("property:message_id", Some(b"tm-1"));
        check("header:x-id", Some(b"t7"));
        check(r#"header:a "b\"#, Some(b"tquoted"));
        check("body.id", Some(b"to-1"));
        check("properties.message_id + '/' + body.id", Some(b"tm-1/o-1"));
        for missing in
            ["property:app_id", "header:none", "body.none", "body.empty", "body.x", "body"]
        {
            check(missing, None);
        }
    }

    /// As doubles these would be one.
    #[test]
    fn long_numbers_are_keys_of_their_own() {
        let key = Key::compile("/key", "body.id").ok().unwrap();
        let of = |id: &str| key.of(&MessageBuilder::new().body(format!("{{\"id\":{id}}}")).view());
        let ids = ["18446744073709551616", "18446744073709551617", "18446744073709551618", "1e400"];
        for id in ids {
            assert_eq!(of(id), Some([b"t", id.as_bytes()].concat()));
        }
        assert_eq!(of("7.0"), of("7"));
        assert_eq!(of("1e99999999999999999999"), None);
    }

    #[test]
    fn long_keys_are_kept_by_their_digest() {
        let key = Key::compile("/key", "body_text").ok().unwrap();
        let of = |text: &str| key.of(&MessageBuilder::new().body(text).view()).unwrap();
        assert_eq!(of(&"x".repeat(255)).len(), 256);
        let (a, b) = (of(&"x".repeat(256)), of(&format!("{}y", "x".repeat(255))));
        assert_eq!((a.len(), b.len(), a == b), (33, 33, false));
    }

    #[test]
    fn errors_say_where() {
        for (setting, offset, message) in [
            ("property:", None, "a name is missing after `property:`"),
            (
                "property:mesage_id",
                Some(9),
                "unknown property `mesage_id`; did you mean `message_id`?",
            ),
            ("body.a +", Some(8), "the expression ends too early"),
            (
                "message_id",
                Some(0),
                "unknown variable `message_id`; write `properties.message_id` for the property, \
                 `body.message_id` for the body's key",
            ),
        ] {
            let error = Key::compile("/key", setting).err().unwrap();
            assert_eq!((error.offset, error.message.as_str()), (offset, message), "{setting}");
        }
    }
}
