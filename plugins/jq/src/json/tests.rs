//! Tests: the reader against serde_json, and what is written against what was read.

use proptest::prelude::*;

use super::{read, write};

/// Takes what serde_json takes, and writes it so that serde_json reads the same.
fn check(text: &[u8]) {
    let ours = read(text);
    let theirs = serde_json::from_slice::<serde_json::Value>(text);
    let shown = String::from_utf8_lossy(text);
    assert_eq!(ours.is_ok(), theirs.is_ok(), "{shown}: {:?} {:?}", ours.err(), theirs.err());
    if let (Ok(value), Ok(expected)) = (ours, theirs) {
        let mut out = Vec::new();
        write(&value, &mut out).unwrap();
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&out).unwrap(), expected, "{shown}");
        assert!(!out.contains(&b'\n'));
    }
}

#[test]
fn takes_json_and_nothing_else() {
    for text in [
        "null",
        "nul",
        "nullx",
        "true",
        "false",
        "truefalse",
        "0",
        "-",
        "-0",
        "+1",
        "01",
        "1.",
        ".5",
        "1.5",
        "1e",
        "1e5",
        "1E+05",
        "-1.5e-3",
        "18446744073709551616",
        "NaN",
        "Infinity",
        "\"\"",
        "\"",
        "\"\\\"",
        "\"\\q\"",
        "\"\\u00e4\"",
        "\"\\u00g4\"",
        "\"\\ud83d\\ude00\"",
        "\"\u{1}\"",
        "\"\u{7f}\"",
        "\"a\nb\"",
        "'a'",
        "b\"a\"",
        "[]",
        "[ ]",
        "[,]",
        "[1,]",
        "[1 2]",
        "[1,2",
        "]",
        "{}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:2}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":{\"b\":[1,{\"c\":null}]}}",
        "[1]#",
        "#\n1",
        "1 2",
        " \t\r\n1 ",
        "",
        " ",
    ] {
        check(text.as_bytes());
    }
    check(b"\"\xff\"");
    check(b"\"\\n\xff\"");
}

/// What other readers refuse and senders write all the same.
#[test]
fn a_mark_is_skipped_and_half_a_pair_is_replaced() {
    for (text, expected) in [
        ("\u{feff}{\"a\":1}", r#"{"a":1}"#),
        (r#""\ud83d""#, "\"\u{fffd}\""),
        (r#""\ude00x""#, "\"\u{fffd}x\""),
        (r#""\ud83d\ud83d\ude00""#, "\"\u{fffd}\u{1f600}\""),
        (r#""\ud83d\n""#, "\"\u{fffd}\\n\""),
    ] {
        let mut out = Vec::new();
        write(&read(text.as_bytes()).unwrap(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
    }
    assert_eq!(read("1\u{feff}".as_bytes()).ok(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Texts of what JSON is made of, most of them broken.
    #[test]
    fn fragments(parts in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"a\"", "\"b\\n\"", "\"", "\\u0041", "1", "-2.50", "e3",
        "null", "true", " ", "ä",
    ]), 0..12)) {
        check(parts.concat().as_bytes());
    }

    /// JSON of any shape.
    #[test]
    fn values(value in value()) {
        check(value.to_string().as_bytes());
    }
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}
