//! As JSON: a letter without any loss: typed headers in their order, bytes in base64.

use lockgate_message::{Head, Property, Table, Value};
use serde_json::{Map, Value as Json, json};

use super::as_text::{kind, time};
use super::letter::{
    ATTEMPTS, ERROR, Earlier, GENERATION, Letter, Opened, PIPELINE, PLUGIN, STAGE,
};

/// A whole letter.
pub(super) fn letter(letter: &Letter) -> Json {
    let head = letter.head();
    let mut json = json!({
        "position": letter.position,
        "reason": letter.reason(),
        "error": letter.text(ERROR),
        "pipeline": letter.text(PIPELINE),
        "generation": letter.number(GENERATION),
        "stage": letter.text(STAGE),
        "plugin": letter.text(PLUGIN),
        "attempts": letter.number(ATTEMPTS),
        "failed_at": letter.failed_at().map(time),
        "origin": letter.origin().map(|(exchange, key)| origin(exchange, key)),
        "history": letter.history().iter().map(earlier).collect::<Vec<_>>(),
        "exchange": head.exchange,
        "routing_key": head.routing_key,
        "redelivered": letter.delivery.redelivered,
        "properties": properties(head),
        "headers": headers(&head.headers),
        "body": body(letter.delivery.message.body()),
    });
    let quarantine = letter.delivery.quarantine.as_ref();
    let unreadable = quarantine
        .map(|bad| json!({ "reason": bad.reason, "header_base64": base64(&bad.raw_header) }));
    if let Some(all) = json.as_object_mut() {
        all.extend(unreadable.map(|bad| ("unreadable".to_owned(), bad)));
        all.extend(letter.open().map(|opened| ("envelope".to_owned(), envelope(&opened))));
    }
    json
}

/// A name that is no text is given as its bytes.
fn origin(exchange: &[u8], routing_key: &[u8]) -> Json {
    let mut out = Map::new();
    for (name, bytes) in [("exchange", exchange), ("routing_key", routing_key)] {
        match std::str::from_utf8(bytes) {
            Ok(text) => out.insert(name.to_owned(), text.into()),
            Err(_) => out.insert(format!("{name}_base64"), base64(bytes).into()),
        };
    }
    Json::Object(out)
}

fn earlier(letter: &Earlier) -> Json {
    json!({
        "reason": letter.reason,
        "error": letter.error,
        "pipeline": letter.pipeline,
        "stage": letter.stage,
        "failed_at": letter.failed_at.map(time),
        "origin": letter.origin.as_ref().map(|(exchange, key)| origin(exchange, key)),
    })
}

fn envelope(opened: &Opened) -> Json {
    let head = opened.head.as_ref();
    json!({
        "header_base64": base64(&opened.raw_header),
        "unreadable": head.err(),
        "properties": head.ok().map(properties),
        "headers": head.ok().map(|head| headers(&head.headers)),
        "body": body(&opened.body),
    })
}

fn properties(head: &Head) -> Json {
    let properties = &head.properties;
    let value = |property| match property {
        Property::DeliveryMode => properties.delivery_mode.map(Json::from),
        Property::Priority => properties.priority.map(Json::from),
        Property::Timestamp => properties.timestamp.map(Json::from),
        text => properties.text(text).map(Json::from),
    };
    let set = Property::ALL.into_iter();
    Json::Object(set.filter_map(|one| Some((one.name().to_owned(), value(one)?))).collect())
}

fn headers(table: &Table) -> Vec<Json> {
    table.iter().map(|(name, value)| typed(Some(name), value)).collect()
}

/// `{name, type, value}`; instead of `value` `base64` where it is no text.
fn typed(name: Option<&str>, value: &Value) -> Json {
    let mut out = Map::new();
    out.extend(name.map(|name| ("name".to_owned(), name.into())));
    out.insert("type".to_owned(), kind(value).into());
    let (key, content) = match value {
        Value::Str(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => ("value", text.into()),
            Err(_) => ("base64", base64(bytes).into()),
        },
        Value::Bytes(bytes) => ("base64", base64(bytes).into()),
        other => ("value", plain(other)),
    };
    out.insert(key.to_owned(), content);
    Json::Object(out)
}

/// Recursive: the values of a delivery are at most 32 levels deep.
fn plain(value: &Value) -> Json {
    match value {
        Value::Void | Value::Str(_) | Value::Bytes(_) => Json::Null,
        Value::Bool(v) => (*v).into(),
        Value::I8(v) => (*v).into(),
        Value::U8(v) => (*v).into(),
        Value::I16(v) => (*v).into(),
        Value::U16(v) => (*v).into(),
        Value::I32(v) => (*v).into(),
        Value::U32(v) => (*v).into(),
        Value::I64(v) => (*v).into(),
        // JSON has no infinities.
        Value::F32(v) if !v.is_finite() => v.to_string().into(),
        Value::F64(v) if !v.is_finite() => v.to_string().into(),
        Value::F32(v) => (*v).into(),
        Value::F64(v) => (*v).into(),
        Value::Decimal { scale, value } => json!({ "scale": scale, "unscaled": value }),
        Value::Timestamp(v) => (*v).into(),
        Value::Array(items) => items.iter().map(|item| typed(None, item)).collect(),
        Value::Table(table) => headers(table).into(),
    }
}

fn body(bytes: &[u8]) -> Json {
    json!({
        "bytes": bytes.len(),
        "text": std::str::from_utf8(bytes).ok(),
        "base64": base64(bytes),
    })
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for n in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * n) & 63) as usize).copied();
            out.push(if n <= chunk.len() { char::from(digit.unwrap_or(b'=')) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::letter::samples;
    use super::*;

    #[test]
    fn base64_as_the_rfc_says() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }

    #[test]
    fn headers_keep_type_order_and_doubles() {
        let mut table = Table::new();
        table.push("a".into(), Value::Bytes(vec![0xff]));
        table.push("a".into(), Value::Array(vec![Value::I8(-1), Value::text("x")]));
        table.push("n".into(), Value::F64(f64::NAN));
        let expected = json!([
            { "name": "a", "type": "bytes", "base64": "/w==" },
            { "name": "a", "type": "array", "value": [
                { "type": "i8", "value": -1 }, { "type": "text", "value": "x" }
            ] },
            { "name": "n", "type": "f64", "value": "NaN" },
        ]);
        assert_eq!(Json::from(headers(&table)), expected);
    }

    #[test]
    fn a_letter_and_what_is_in_its_envelope() {
        let json = letter(&samples::envelope(samples::RAW_HEADER));
        assert_eq!(json["origin"], json!({ "exchange": "in", "routing_key": "k" }));
        assert_eq!(json["failed_at"], "2023-11-14T22:13:20Z");
        assert_eq!(json["history"], json!([]));
        let expected = json!({ "exchange": "x", "routing_key_base64": "/ms=" });
        assert_eq!(origin(b"x", b"\xfek"), expected);
        assert_eq!(letter(&samples::from_broker())["history"][0]["reason"], "trap");
        assert_eq!(json["envelope"]["headers"][0]["value"], true);
        assert_eq!(json["envelope"]["body"]["text"], "inner");
        let broken = letter(&samples::envelope(b"\xff\xfe"));
        assert_eq!(broken["envelope"]["unreadable"], "malformed");
        assert_eq!(broken["envelope"]["header_base64"], "//4=");
    }
}
