//! What is read of descriptions and init results, and what is refused.

use serde_json::Value as Json;

use super::*;

#[track_caller]
fn check(text: &str, expected: Result<(), &str>) {
    match (Description::parse(text.as_bytes()), expected) {
        (Ok(_), Ok(())) => {}
        (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
        (got, _) => panic!("{got:?}"),
    }
}

/// A description with one more field, as JSON.
fn with(field: &str) -> String {
    format!(r#"{{"name":"a","version":"1","contract":"0.1",{field}}}"#)
}

#[test]
fn descriptions() {
    check(r#"{"name":"a","version":"1","contract":"0.1"}"#, Ok(()));
    check(r#"{"name":"a","version":"1"}"#, Err("`contract` is missing"));
    check(r#"{"name":"a b","version":"1","contract":"0.1"}"#, Err("`name`"));
    check(r#"{"name":"a","version":"1","contract":"one"}"#, Err("major.minor"));
    check(&with(r#""reasons":["Bad"]"#), Err("reason `Bad`"));
    check(&with(r#""max_batch":0"#), Err("max_batch"));
    check("nonsense", Err("expected"));
    check("[]", Err("not a JSON object"));
}

#[test]
fn a_slip_in_a_description_is_named_with_the_nearest_key() {
    check(
        &with(r#""max_bach":1"#),
        Err("plugin `a`: the key `max_bach` is unknown; did you mean `max_batch`?"),
    );
    check(&with(r#""capabilites":[]"#), Err("did you mean `capabilities`?"));
    check(&with(r#""colour":"red""#), Err("there are `name`, `version`"));
    check(&with(r#""reasons":[],"reasons":["a"]"#), Err("`reasons` stands there twice"));
    check(&with(r#""max_batch":"64""#), Err("`max_batch` is not a number of messages"));
    check(&with(r#""max_batch":-1"#), Err("`max_batch` is not a number of messages"));
    check(&with(r#""reasons":"spam""#), Err("`reasons` is not a list of texts"));
    check(r#"{"name":1,"version":"1","contract":"0.1"}"#, Err("`name` is not a text"));
}

/// What a later contract may have added is not for this host to judge; that it does not speak that
/// contract is the error that helps.
#[test]
fn a_newer_contract_may_have_other_keys() {
    check(r#"{"name":"a","version":"1","contract":"0.2","lease":1}"#, Ok(()));
    check(r#"{"name":"a","version":"1","contract":"9.0","lease":1}"#, Ok(()));
    check(&with(r#""lease":1"#), Err("`lease` is unknown"));
}

#[track_caller]
fn refused(text: &str, part: &str) {
    let error = init_result(text).unwrap_err();
    assert!(error.contains(part), "{error}");
}

#[test]
fn init_results() {
    let ok = init_result(r#"{"ok":{"needs":{"body":true},"routes":["eu"]}}"#).unwrap().unwrap();
    assert_eq!((ok.routes, ok.unrouted), (vec!["eu".to_owned()], true));
    assert_eq!(init_result(r#"{"ok":{}}"#).unwrap().unwrap().needs, Needs::default());
    let errors = init_result(r#"{"err":[{"pointer":"/when","offset":3,"message":"a\u001b"}]}"#);
    let errors = errors.unwrap().unwrap_err();
    assert_eq!((errors[0].offset, errors[0].message.as_str()), (Some(3), "a\\u{1b}"));
    let errors = init_result(r#"{"err":[{"offset":null,"message":"m"}]}"#).unwrap().unwrap_err();
    assert_eq!((errors[0].offset, errors[0].pointer.as_str()), (None, ""));
}

#[test]
fn a_slip_in_an_init_result_is_named_with_the_nearest_key() {
    refused("{}", "neither `ok` nor `err`");
    refused(r#"{"ok":{},"err":[]}"#, "both `ok` and `err`");
    refused(r#"{"okk":{}}"#, "did you mean `ok`?");
    refused(r#"{"ok":{"need":{"body":true}}}"#, "`ok.need` is unknown; did you mean `needs`?");
    refused(r#"{"ok":{"needs":{"bodys":true}}}"#, "`needs.bodys` is unknown; did you mean `body`?");
    refused(r#"{"ok":{"needs":{"all":true}}}"#, "there are `origin`");
    refused(r#"{"ok":{"needs":{},"needs":{"body":true}}}"#, "`needs` stands there twice");
    refused(r#"{"ok":{"needs":{"body":true,"body":false}}}"#, "`body` stands there twice");
    refused(r#"{"ok":{"unrouted":"no"}}"#, "`ok.unrouted` is not true or false");
    refused(r#"{"ok":{"routes":["eu",1]}}"#, "`ok.routes` is not a list of texts");
    refused(r#"{"ok":{"needs":[]}}"#, "`needs` is not an object");
    refused(r#"{"ok":[]}"#, "`ok` is not an object");
    refused(r#"{"err":[{"mesage":"m"}]}"#, "`err.mesage` is unknown; did you mean `message`?");
    refused(r#"{"err":[{"pointer":"/a"}]}"#, "`err.message` is missing");
    refused(r#"{"err":[{"message":"m","offset":-1}]}"#, "`err.offset` is not a byte offset");
    refused(r#"{"err":"no"}"#, "`err` is not a list");
}

/// The golden vectors that every implementation is held against.
#[test]
fn answers_are_read_as_the_vectors_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugin-sdk/frame/vectors/answers.json");
    let json: Json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let vectors = json["vectors"].as_array().unwrap();
    assert!(vectors.len() > 20, "{}", vectors.len());
    for vector in vectors {
        let text = vector["text"].as_str().unwrap();
        let refused = match vector["answer"].as_str().unwrap() {
            "description" => Description::parse(text.as_bytes()).err(),
            _ => init_result(text).err(),
        };
        let name = &vector["name"];
        assert_eq!(refused.is_some(), !vector["refused"].is_null(), "{name}: {refused:?}");
        for part in ["key", "nearest"].iter().filter_map(|key| vector[*key].as_str()) {
            assert!(refused.as_ref().unwrap().contains(part), "{name}: {refused:?}");
        }
    }
}
