//! Where serde says what is wrong, as JSON pointers.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the errors are looked at")]
struct Settings {
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    names: BTreeMap<String, u8>,
    limit: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only the errors are looked at")]
enum Rule {
    Set { key: String },
    Drop,
}

fn check(json: &str, pointer: &str, message: &str) {
    let error = read::<Settings>(json).unwrap_err();
    assert_eq!((error.pointer.as_str(), error.message.as_str()), (pointer, message), "{json}");
}

#[test]
fn errors_point_at_the_setting() {
    check("{}", "", "missing field `limit`");
    check("7", "", "invalid type: integer `7`, expected struct Settings");
    check(r#"{"limit":-1}"#, "/limit", "invalid value: integer `-1`, expected u32");
    check(r#"{"limit":1,"limt":2}"#, "/limt", UNKNOWN);
    check(r#"{"names":{"a/b":"x"}}"#, "/names/a~1b", "invalid type: string \"x\", expected u8");
    check(r#"{"rules":["drop",{"set":{"key":1}}]}"#, "/rules/1/set/key", WRONG_KEY);
    check(r#"{"rules":["drp"]}"#, "/rules/0", "unknown variant `drp`, expected `set` or `drop`");
    check(r#"{"limit":1} x"#, "", "trailing characters");
    check("", "", "EOF while parsing a value");
}

const UNKNOWN: &str = "unknown field `limt`, expected one of `rules`, `names`, `limit`";
const WRONG_KEY: &str = "invalid type: integer `1`, expected a string";
