//! The scan takes exactly what `serde_json` takes, and finds what it finds.

use proptest::prelude::*;

use super::{Elements, Kind, Slot, scan, unescape};
use crate::paths::{Paths, Step};

fn taken(text: &str) -> bool {
    let paths = Paths::new();
    let mut slots = vec![Slot::default(); paths.len()];
    scan(text, &paths, &mut slots)
}

/// Whether `serde_json` takes it, which refuses half of a surrogate pair: a letter stands for it.
/// `None` where `serde_json` stops at a number out of a double's range, which JSON allows.
fn serde_takes(text: &str) -> Option<bool> {
    let text = text.replace(r"\ud83d\ude00", "ab").replace(r"\ud83d", "a");
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(_) => Some(true),
        Err(error) if error.to_string().starts_with("number out of range") => None,
        Err(_) => Some(false),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn takes_what_serde_json_takes(
        text in "([\\[\\]{},: \"\\\\]|\"a\"|\"\\\\u00e9\"|\"\\\\ud83d\\\\ude00\"|\"\\\\ud83d\"|true|null|-|0|1|12|1e5|0\\.5|\"b\":|\\{\"a\":|\\[1,|\\]|\\}){0,12}"
    ) {
        if let Some(want) = serde_takes(&text) {
            prop_assert_eq!(taken(&text), want, "{}", text);
        }
    }

    #[test]
    fn takes_what_is_left_of_a_document(at in 0_usize..150, byte in any::<u8>()) {
        let mut bytes = br#"{"id":12,"s":"a\n\u0041bcdefgh","l":[1,-2.5e3,true,null,{"x":[]}],"o":{}}"#.to_vec();
        let len = bytes.len();
        bytes[at % len] = byte & 0x7f;
        let text = String::from_utf8(bytes).unwrap();
        if let Some(want) = serde_takes(&text) {
            prop_assert_eq!(taken(&text), want, "{}", text);
        }
    }
}

#[test]
fn finds_paths() {
    let text = r#"{"a": [10, {"b": "x"}], "c": "\u0041", "a2": {"b": [1, 2]}}"#;
    let key = |key: &str| Step::Key(key.to_owned());
    let cases = [
        (vec![], Kind::Object, text),
        (vec![key("a"), Step::Index(0)], Kind::Number, "10"),
        (vec![key("a"), Step::Index(1), key("b")], Kind::String, "x"),
        (vec![key("a"), Step::Index(2)], Kind::Missing, ""),
        (vec![key("a"), key("b")], Kind::Missing, ""),
        (vec![key("c")], Kind::Escaped, "\\u0041"),
        (vec![key("a2")], Kind::Object, r#"{"b": [1, 2]}"#),
        (vec![key("a2"), key("b")], Kind::Array, "[1, 2]"),
    ];
    let mut paths = Paths::new();
    let nodes: Vec<_> = cases.iter().map(|(path, ..)| paths.intern(path).unwrap()).collect();
    let mut slots = vec![Slot::default(); paths.len()];
    assert!(scan(text, &paths, &mut slots));
    for (node, (path, kind, found)) in nodes.into_iter().zip(&cases) {
        let slot = slots[usize::from(node)];
        assert_eq!((slot.kind, slot.of(text)), (*kind, *found), "{path:?}");
    }
}

#[test]
fn counts_elements() {
    let cases = [
        ("[]", 0),
        (" [ ] ", 0),
        ("[1]", 1),
        ("[[1,2],{\"a\":1,\"b\":[3,4]},\",[\",\"\\\",\"]", 4),
        ("[ 1 , 2 ,3]", 3),
    ];
    for (text, count) in cases {
        let paths = Paths::new();
        let mut slots = vec![Slot::default(); paths.len()];
        assert!(scan(text, &paths, &mut slots), "{text}");
        assert_eq!(Elements::new(text, slots[0]).count(), count, "{text}");
        assert_eq!(Elements::new(text, slots[0]).fold(0, |sum, _| sum + 1), count, "{text}");
    }
}

#[test]
fn half_of_a_surrogate_pair_is_read_as_a_replacement() {
    for (escaped, text) in [
        (r"\ud83d\ude00", "\u{1f600}"),
        (r"\ud800", "\u{fffd}"),
        (r"\udc00", "\u{fffd}"),
        (r"a\uD800b", "a\u{fffd}b"),
        (r"\ud800\u0041", "\u{fffd}A"),
        (r"\ud800\n", "\u{fffd}\n"),
        (r"\ud800\ud83d\ude00", "\u{fffd}\u{1f600}"),
        (r"\ud83d\ude00\ude00", "\u{1f600}\u{fffd}"),
        (r"\ud800xxdc00", "\u{fffd}xxdc00"),
    ] {
        assert!(taken(&format!("\"{escaped}\"")), "{escaped}");
        assert_eq!(unescape(escaped), text, "{escaped}");
    }
    for refused in [r#""\ud80""#, r#""\ud800\u""#, r#""\ud800\x""#] {
        assert!(!taken(refused), "{refused}");
    }
}
