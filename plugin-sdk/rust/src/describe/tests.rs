//! The description as JSON.

use super::*;

const FULL: Description = Description::new("all", "1.2.3")
    .max_batch(4_294_967_295)
    .capabilities(&["clock", "random"])
    .reasons(&["a", "b_2"])
    .schema(r#"{ "type": "object" }"#)
    .samples(r#"[{"body":"x"}]"#);

#[test]
fn the_json_is_what_the_format_says() {
    const LENGTH: usize = FULL.json_len();
    const JSON: [u8; LENGTH] = FULL.json();
    // One that every host takes, in the golden vectors.
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../frame/vectors/answers.json");
    let vectors: serde_json::Value =
        serde_json::from_slice(&std::fs::read(vectors).unwrap()).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    let everything = vectors.iter().find(|vector| vector["name"] == "everything").unwrap();
    let expected = everything["text"].as_str().unwrap();
    assert_eq!(str::from_utf8(&JSON), Ok(expected));
    assert_eq!(FULL.to_json(), JSON);
    let parsed: serde_json::Value = serde_json::from_slice(&JSON).unwrap();
    assert_eq!(parsed["max_batch"], 4_294_967_295_u32);
}

#[test]
fn the_default_is_small() {
    let json = Description::new("n", "1").to_json();
    let parsed: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(parsed["max_batch"], 64);
    assert_eq!(parsed["reasons"], serde_json::json!([]));
}

#[test]
fn words_are_checked() {
    for (word, good) in [
        ("a", true),
        ("no_tenant_2", true),
        ("", false),
        ("2a", false),
        ("_a", false),
        ("A", false),
        ("a-b", false),
        ("a\"", false),
        (&"a".repeat(48), true),
        (&"a".repeat(49), false),
    ] {
        assert_eq!(is_word(word), good, "{word}");
    }
    assert!(is_label("a-b_1.0+x"));
    for bad in ["", "grün", "a b", "a\\b", "a\"b", "a\nb", &"a".repeat(65)] {
        assert!(!is_label(bad), "{bad}");
    }
}
