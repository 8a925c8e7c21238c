//! What the settings need and where messages can go, as `check` sees it.

use lockgate_plugin::testing::Session;
use lockgate_plugin::{Body, Headers};

use crate::Router;

#[track_caller]
fn check(settings: &str, routes: &[&str], unrouted: bool) {
    let session = Session::<Router>::open(settings).unwrap_or_else(|e| panic!("{settings}: {e:?}"));
    assert_eq!(session.init().routes, routes, "{settings}");
    assert_eq!(session.init().unrouted, unrouted, "{settings}");
}

#[test]
fn routes_are_named_and_leaving_unrouted_is_known() {
    let a = r#"{"when":"body.a == 1","to":["x","y"]}"#;
    let b = r#"{"when":"body.b == 1","to":["y","z"]}"#;
    let all = r#"{"when":"true","to":["w"]}"#;
    check(&format!(r#"{{"rules":[{a},{b}]}}"#), &["x", "y", "z"], true);
    check(&format!(r#"{{"rules":[{a}],"otherwise":"pass"}}"#), &["x", "y"], true);
    check(&format!(r#"{{"rules":[{a}],"otherwise":["r"]}}"#), &["x", "y", "r"], false);
    check(&format!(r#"{{"rules":[{a}],"otherwise":"drop"}}"#), &["x", "y"], false);
    check(&format!(r#"{{"rules":[{a}],"otherwise":"reject"}}"#), &["x", "y"], false);
    check(&format!(r#"{{"rules":[{a},{all}]}}"#), &["x", "y", "w"], false);
}

#[test]
fn only_what_rules_read_is_needed() {
    let settings = r#"{"rules":[{"when":"headers.region == 'EU'","to":["eu"]},
        {"when":"exchange == 'x'","to":["x"]}]}"#;
    let session = Session::<Router>::open(settings).expect("valid");
    let needs = &session.init().needs;
    assert_eq!(needs.headers, Headers::Names(vec!["region".to_owned()]));
    assert_eq!((needs.origin, needs.body), (true, Body::None));
}
