//! Agree: random expressions on random documents. The compact form must answer as the interpreter
//! does, and both as the bare `cel` crate on a document read by `serde_json`; the differences meant
//! are arithmetic between an integer and a double, an error there, and numbers that it rounds.

use std::collections::HashMap;

use cel::{Context, Env};
use lockgate_plugin::Value;
use lockgate_plugin::testing::MessageBuilder;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use crate::Predicates;

const TERMS: &[&str] = &[
    "body.a",
    "body.b",
    "body.c.a",
    "body.c.b",
    "body['a']",
    "body.l[0]",
    "body.l[1].a",
    "body.l",
    "body.c",
    "body",
    "headers.h",
    "headers['x-n']",
    "headers.none",
    "attempt",
    "exchange",
    "0",
    "1",
    "2u",
    "-1",
    "1.5",
    "2.0",
    "'a'",
    "'ab'",
    "''",
    "true",
    "null",
    "9007199254740993",
    "18446744073709551615u",
    "18446744073709551616.0",
    "9007199254740992.0",
    "0.1",
    "[1, 'a']",
    "{'a': 1}",
    "[]",
    "b'a'",
];

/// Values to compare.
fn term() -> BoxedStrategy<String> {
    let leaf = select(TERMS).prop_map(str::to_owned);
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            3 => (inner.clone(), select(vec!["+", "-", "*", "/", "%"]), inner.clone())
                .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            1 => inner.clone().prop_map(|a| format!("size({a})")),
            1 => inner.clone().prop_map(|a| format!("{a}.size()")),
            1 => inner.prop_map(|a| format!("-({a})")),
        ]
    })
    .boxed()
}

fn condition() -> BoxedStrategy<String> {
    let comparison = select(vec!["==", "!=", "<", "<=", ">", ">=", "in"]);
    let test = select(vec!["startsWith", "endsWith", "contains", "matches"]);
    let part = select(vec!["'a'", "'^a'", "body.a", "''"]);
    let has = ["body.a", "body.c.a", "body.c.a.b", "body.l[0].a", "headers.h", "headers.h.x"];
    let plain = select(vec!["true", "false", "body.b", "'a' in headers", "'a' in body"]);
    let leaf = prop_oneof![
        6 => (term(), comparison, term()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => (term(), term(), term()).prop_map(|(a, b, c)| format!("({a} in [{b}, {c}])")),
        1 => (term(), test, part).prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
        1 => select(has.to_vec()).prop_map(|path| format!("has({path})")),
        1 => plain.prop_map(str::to_owned),
        1 => term().prop_map(|a| format!("body.l.exists(x, x == {a})")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
    .boxed()
}

fn document() -> BoxedStrategy<serde_json::Value> {
    let leaf = select(vec![
        json!(0),
        json!(1),
        json!(-1),
        json!(2),
        json!(1.5),
        json!(2.0),
        json!(u64::MAX),
        json!(9_007_199_254_740_992_i64),
        json!(true),
        json!(false),
        json!(null),
        json!("a"),
        json!("ab"),
        json!("é\n"),
        json!(""),
        json!("#18446744073709551616"),
        json!("#18446744073709551617"),
        json!("#18446744073709552000"),
        json!("#-9223372036854775809"),
        json!("#9007199254740993.0"),
        json!("#0.10000000000000000001"),
        json!("#0.1"),
        json!("#1e400"),
    ]);
    let key = || select(vec!["a", "b", "c", "l"]).prop_map(str::to_owned);
    let value = leaf.prop_recursive(3, 16, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(serde_json::Value::from),
            prop::collection::hash_map(key(), inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    });
    let object = prop::collection::hash_map(key(), value.clone(), 1..5)
        .prop_map(|map| serde_json::Value::Object(map.into_iter().collect()));
    prop_oneof![9 => object, 1 => value].boxed()
}

fn cel_value(value: &serde_json::Value) -> cel::Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => cel::Value::Null,
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => value.into(),
            (_, Some(value)) => value.into(),
            _ => number.as_f64().unwrap().into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(list) => list.iter().map(cel_value).collect::<Vec<_>>().into(),
        Json::Object(map) => {
            let map = map.iter().map(|(key, value)| (key.clone(), cel_value(value)));
            map.collect::<HashMap<_, _>>().into()
        }
    }
}

/// The bare crate's answer.
fn bare(source: &str, document: &serde_json::Value) -> Option<bool> {
    let program = Env::stdlib().compile(source).expect("both parsers take it");
    let mut context = Context::with_env(crate::interpret::environment());
    context.add_variable_from_value("body", cel_value(document));
    let headers = HashMap::from([("h", cel_value(&json!("ab"))), ("x-n", cel_value(&json!(2)))]);
    context.add_variable_from_value("headers", headers);
    context.add_variable_from_value("attempt", 1_i64);
    context.add_variable_from_value("exchange", "a");
    match program.execute(&context) {
        Ok(cel::Value::Bool(answer)) => Some(answer),
        _ => None,
    }
}

/// Whether the expression was taken. A text that begins with `#` stands in the document for a
/// number that `serde_json` cannot hold. The bare crate rounds those, and integers beside doubles.
fn check(source: &str, document: &serde_json::Value) -> bool {
    let Ok(set) = Predicates::compile([source]) else { return false };
    let text = document.to_string();
    let rounds = text.contains('#') || ["900719", "184467"].iter().any(|n| source.contains(n));
    let pieces = text.split("\"#").enumerate();
    let text: String = pieces
        .map(|(at, piece)| if at == 0 { piece.to_owned() } else { piece.replacen('"', "", 1) })
        .collect();
    let message = MessageBuilder::new()
        .exchange("a")
        .header("h", Value::from("ab"))
        .header("x-n", Value::I32(2))
        .body(text.as_str());
    let on = set.on(&message.view());
    let compact = on.eval(0).ok();
    let interpreted = set.compiled[0].whole.eval(&on.frame).ok();
    assert_eq!(compact, interpreted, "compact, interpreted: {source}\n{text}");
    if rounds {
        return true;
    }
    let bare = bare(source, document);
    let arithmetic = [" + ", " - ", " * ", " / "].iter().any(|op| source.contains(op));
    if bare.is_some() || !arithmetic {
        assert_eq!(compact, bare, "ours, the bare crate: {source}\n{document}");
    }
    true
}

/// Syntax trees without the numbers of their nodes, which the two parsers give differently.
fn shape(expr: &cel::parser::Expression) -> String {
    let text = format!("{expr:?}");
    text.split("id: ").map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit())).collect()
}

/// Whether the generated parser takes it too; ours also takes `!-x` and line breaks in texts.
fn same_shape(source: &str) -> bool {
    let (ours, generated) = (crate::compile::parse(source), Env::stdlib().parser().parse(source));
    let (Ok(ours), Ok(generated)) = (ours, generated) else { return false };
    assert_eq!(shape(&ours), shape(&generated), "{source}");
    true
}

/// Pieces that make up texts which are often expressions, and often nearly so.
const PIECES: &str = "(body|\\.a|\\[|\\]|\\(|\\)|\\{|\\}|1|0x|'|\"|'a'|\\\\|==|=|<|&&|\\|\\||!|-|,\
    |\\?|:| |in|has\\(|\\.exists\\(x,|true|`|é|\n|//|r'|b\"|1e|1u|\\.|\"\"\"){0,10}";

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn forms_agree(source in condition(), document in document()) {
        prop_assume!(check(&source, &document));
    }

    #[test]
    fn parsers_agree(source in condition()) {
        prop_assume!(same_shape(&source));
    }

    /// No text makes the compiler panic.
    #[test]
    fn any_text_is_taken_or_refused(source in PIECES) {
        drop(Predicates::compile([source.as_str()]));
        same_shape(&source);
    }
}
