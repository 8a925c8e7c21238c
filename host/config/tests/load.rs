//! Loading as a daemon does it: what cannot be a golden file, specs from valid files, places of
//! plugin settings, routes, host settings; and that nothing at all makes it panic.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "context/support.rs"]
mod support;

use std::path::Path;
use std::time::Duration;

use lockgate_config::{
    Capability, Code, Diagnostic, Isolation, KeySource, LogFormat, OnError, Order, PipelineSpec,
    PluginRef, SourceFile, StageRoutes, Wait, load, load_host, parse_pipeline, render_text,
    validate_routes,
};
use proptest::prelude::*;
use serde_json::json;

fn parse(text: &str) -> (Option<PipelineSpec>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let file = SourceFile::new("tests/ui/valid/test.toml", text);
    let spec = parse_pipeline(&file, &support::context(), &mut diagnostics);
    (spec, diagnostics)
}

fn codes(diagnostics: &[Diagnostic]) -> Vec<Code> {
    diagnostics.iter().map(|one| one.code).collect()
}

fn load_one(path: &str) -> PipelineSpec {
    let mut loaded = load(&[path.into()], &support::context());
    loaded.pipelines.remove(0)
}

#[test]
fn unreadable_files() {
    let folder = tempfile::tempdir().unwrap();
    let huge = folder.path().join("huge.toml");
    std::fs::write(&huge, "#".repeat((1 << 20) + 1)).unwrap();
    let largest = folder.path().join("largest.toml");
    std::fs::write(&largest, "#".repeat(1 << 20)).unwrap();
    let check = |path: &Path, code| {
        let loaded = load(&[path.to_owned()], &support::context());
        assert_eq!(codes(&loaded.diagnostics), [code]);
        assert!(loaded.pipelines.is_empty());
    };
    check(&huge, Code::TooLarge);
    check(&largest, Code::BadVersion);
    check(Path::new("no-such.toml"), Code::Unreadable);
    check(Path::new("/dev/null"), Code::Unreadable);
    assert_eq!(codes(&load(&[], &support::context()).diagnostics), [Code::NoPipelines]);
}

#[test]
fn a_file_given_twice_is_loaded_once() {
    let folder = "tests/ui/valid/folder";
    let paths = [folder.into(), format!("{folder}/a.toml").into()];
    let loaded = load(&paths, &support::context());
    assert_eq!(loaded.diagnostics.len(), 0);
    let names: Vec<&str> = loaded.pipelines.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["orders", "b"]);
}

#[test]
fn everything_comes_through() {
    let spec = load_one("tests/ui/valid/everything.toml");
    assert_eq!(spec.name, "everything_2");
    assert_eq!(spec.lanes, Some(2));
    assert_eq!(spec.source.kind, "amqp");
    assert_eq!(spec.delivery.order, Order::Key(KeySource::Header("customer".into())));
    assert_eq!(spec.delivery.retry.policy.attempts, 3);
    assert_eq!(spec.delivery.retry.policy.backoff.max, Duration::from_secs(1));
    assert!(!spec.delivery.retry.hold);
    assert_eq!(spec.delivery.retry.wait, Wait::Queue);
    assert_eq!(spec.delivery.drain_timeout, Duration::from_secs(10));
    assert_eq!(spec.delivery.in_flight, Some(500));
    assert_eq!(spec.delivery.in_flight_bytes, Some(32 << 20));
    assert_eq!(spec.batch.max, 32);
    assert_eq!(spec.route("default").unwrap().target.kind, "http");
    assert_eq!(spec.dead_letter.unwrap().kind, "memory");

    let stage = &spec.stages[0];
    assert_eq!(stage.retry.attempts, 7);
    // What a stage leaves out is the pipeline's.
    assert_eq!(stage.retry.backoff, spec.delivery.retry.policy.backoff);
    assert!(matches!(&stage.plugin, PluginRef::File(path) if path.is_file()));
    assert_eq!(stage.sha256.unwrap()[..2], [0xe3, 0xb0]);
    assert_eq!(stage.grant, [Capability::Clock, Capability::Random]);
    assert_eq!(stage.isolation, Isolation::Message);
    assert_eq!(stage.on_error, OnError::Retry);
    assert_eq!(stage.limits.time, Duration::from_millis(50));
    assert_eq!(stage.limits.memory, 32 << 20);
    let expected = json!({
        "when": "body.status == \"paid\"\n",
        "price": "$5",
        "nested": { "list": [1, 2.5, true, "x"], "a/b": { "~": "y" } },
    });
    assert_eq!(stage.config.json(), &expected);

    #[derive(serde::Deserialize)]
    struct Url {
        url: String,
        password: lockgate_config::Secret,
        #[serde(flatten)]
        _rest: serde_json::Value,
    }
    let settings: Url = spec.source.settings.parse().unwrap();
    assert_eq!(settings.url, "amqp://user:hunter2@127.0.0.1");
    assert_eq!(settings.password.expose(), "s3cret-from-file");
}

#[test]
fn defaults() {
    let spec = load_one("tests/ui/valid/design-example.toml");
    assert_eq!(spec.stages.len(), 4);
    assert_eq!(spec.stages[0].plugin, PluginRef::Shipped("filter".into()));
    assert_eq!(spec.stages[1].limits.time, Duration::from_millis(100));
    assert_eq!(spec.stages[1].on_error, OnError::DeadLetter);
    assert_eq!(spec.batch.max, 64);
    assert_eq!(spec.delivery.order, Order::None);
    let names: Vec<&str> = spec.routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["eu", "rest", "quarantine"]);
}

const STAGE: &str = r#"version = 1
name = "orders"
source = { memory = { queue = "in" } }
dead_letter = { memory = { queue = "dead" } }
[[stage]]
name = "a"
plugin = "filter"
[stage.config]
plain = 'ab > cd'
escaped = "\u00e9 == ${QUEUE} $$ && x"
folded = """
one \
   two"""
rules = [{ when = "x", to = ["eu"] }, { when = "y", "a/b" = 5 }]
"#;

#[test]
fn places_of_settings() {
    let (spec, _) = parse(STAGE);
    let stage = &spec.unwrap().stages[0];
    let check = |pointer: &str, offset, expected: &str| {
        let place = stage.locate(pointer, offset);
        assert_eq!(&STAGE[place.range.unwrap()], expected, "{pointer} {offset:?}");
    };
    check("/plain", None, "'ab > cd'");
    check("/plain", Some(5), "cd");
    check("/plain", Some(7), "'");
    check("/plain", Some(8), "'ab > cd'");
    check("/escaped", Some(0), "\\u00e9 == ${QUEUE} $$ && x");
    // é is two bytes, " == " four; then a variable of nine.
    check("/escaped", Some(3), "== ${QUEUE} $$ && x");
    check("/escaped", Some(6), "${QUEUE}");
    check("/escaped", Some(14), "${QUEUE}");
    check("/escaped", Some(16), "$$");
    check("/escaped", Some(18), "&& x");
    check("/folded", Some(4), "two");
    check("/rules/1/a~1b", None, "5");
    check("/rules/0/to/0", Some(1), "u");
    check("/rules/7/to", None, "[{ when = \"x\", to = [\"eu\"] }, { when = \"y\", \"a/b\" = 5 }]");
    check("/nothing", None, "[stage.config]");
    check("", None, "[stage.config]");

    let error = stage.setting_error("/escaped", Some(6), "unknown name `orders.in`");
    assert_eq!(error.message, "stage `a`: unknown name `***`");
}

#[test]
fn routes_against_stages() {
    let text = format!(
        "{STAGE}[[stage]]\nname = \"b\"\nplugin = \"route\"\nconfig = {{ on = \"route:spma\" }}\n\
         [route.eu]\nmemory = {{ queue = \"eu\" }}\n[route.spam]\nmemory = {{ queue = \"s\" }}\n"
    );
    let check = |text: &str, stages: [(&[&str], bool); 2], expected: &[(Code, &str)]| {
        let stages = stages.map(|(routes, unrouted)| StageRoutes {
            routes: routes.iter().map(|route| (*route).to_owned()).collect(),
            unrouted,
        });
        let found: Vec<(Code, String)> = validate_routes(&parse(text).0.unwrap(), &stages)
            .into_iter()
            .map(|one| (one.code, text[one.place.unwrap().range.unwrap()].to_owned()))
            .collect();
        let found: Vec<(Code, &str)> =
            found.iter().map(|(code, at)| (*code, at.as_str())).collect();
        assert_eq!(found, expected);
    };
    check(&text, [(&["eu"], true), (&["spam"], false)], &[]);
    check(&text, [(&[], true), (&["eu", "spam"], true)], &[(Code::MayLeaveUnrouted, "\"b\"")]);
    check(
        &text,
        [(&["eu"], true), (&["spma"], false)],
        &[(Code::UndeclaredRoute, "\"route:spma\""), (Code::UnusedRoute, "spam")],
    );
    check(&text, [(&["spam", "eu"], false), (&[], false)], &[(Code::UnreachableStage, "\"b\"")]);
    check(
        &text,
        [(&["spam", "nope"], true), (&["eu"], false)],
        &[(Code::UndeclaredRoute, "\"filter\"")],
    );
    let default = format!("{text}[route.default]\nmemory = {{ queue = \"d\" }}\n");
    check(&default, [(&["eu"], true), (&["spam"], true)], &[]);
    check(&default, [(&["eu"], true), (&["spam"], false)], &[(Code::UnusedRoute, "default")]);
    let pass = text.replace("plugin = \"route\"", "plugin = \"route\"\non_error = \"pass\"");
    check(&pass, [(&["eu"], true), (&["spam"], false)], &[(Code::MayLeaveUnrouted, "\"b\"")]);
}

#[test]
fn an_undeclared_route_is_suggested() {
    let text = format!("{STAGE}[route.spam]\nmemory = {{ queue = \"s\" }}\n");
    let stages = [StageRoutes { routes: vec!["spma".into(), "spam".into()], unrouted: false }];
    let diagnostics = validate_routes(&parse(&text).0.unwrap(), &stages);
    let help = diagnostics[0].help.as_deref().unwrap();
    assert_eq!(help, "declare it with `[route.spma]`; did you mean `spam`?");
}

#[test]
fn host_settings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lockgate.toml");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let mut diagnostics = Vec::new();
        let spec = load_host(Some(&path), &support::environment, &mut diagnostics);
        (spec, codes(&diagnostics))
    };
    let (spec, found) = read(
        "version = 1\ncache_dir = \"cache\"\n[admin]\nlisten = \"0.0.0.0:80\"\n\
         token = \"0123456789abcdef\"\n[log]\nlevel = \"debug\"\nformat = \"json\"\n",
    );
    assert_eq!(found, []);
    let spec = spec.unwrap();
    assert_eq!(spec.cache_dir, Some(folder.path().join("cache")));
    assert_eq!((spec.log.level, spec.log.format), ("debug", LogFormat::Json));
    assert_eq!(spec.admin.token.unwrap().expose(), "0123456789abcdef");

    let (spec, found) = read("version = 1\n[state]\ndir = \"kept\"\nquota = \"1MiB\"\nkeys = 7\n");
    assert_eq!(found, []);
    let state = spec.unwrap().state;
    assert_eq!(state.dir, Some(folder.path().join("kept")));
    assert_eq!((state.quota, state.keys, state.redis), (1 << 20, 7, None));
    let (spec, found) = read("version = 1\n[state]\nredis = \"rediss://u:p@h:1/2\"\n");
    assert_eq!(found, []);
    let state = spec.unwrap().state;
    assert_eq!(state.redis.unwrap().expose(), "rediss://u:p@h:1/2");
    assert_eq!((state.dir, state.quota, state.keys), (None, 64 << 20, 1_000_000));

    let (spec, found) = read("version = 1\n[admin]\nlisten = \"off\"\n");
    assert!(found.is_empty() && spec.unwrap().admin.listen.is_none());
    let (spec, _) = read("version = 1\n");
    assert_eq!(spec.unwrap().admin.listen.unwrap().to_string(), "127.0.0.1:8642");

    let refused = |text: &str, expected: &[Code]| {
        let (spec, found) = read(text);
        assert!(spec.is_none(), "{text}");
        assert_eq!(found, expected, "{text}");
    };
    refused("", &[Code::BadVersion]);
    refused("version = 1\n[admin]\nlisten = \"[::]:80\"", &[Code::TokenRequired]);
    refused("version = 1\n[admin]\nlisten = \"localhost\"", &[Code::BadValue]);
    refused("version = 1\n[admin]\ntoken = \"short\"", &[Code::BadValue]);
    refused(
        "version = 1\n[log]\nlevle = 1\nformat = \"xml\"",
        &[Code::UnknownKey, Code::WrongType],
    );
    refused(
        "version = 1\n[admin]\nlisten = \"0.0.0.0:1\"\ntoken = \"${NO}\"",
        &[Code::UnsetVariable],
    );

    refused("version = 1\n[state]\nquota = \"0B\"\nkeys = 0", &[Code::BadValue, Code::BadValue]);
    refused("version = 1\n[state]\nquota = 5\nkeys = -1", &[Code::WrongType, Code::WrongType]);
    refused("version = 1\n[state]\nredis = \"http://h\"", &[Code::BadValue]);
    refused(
        "version = 1\n[state]\nredis = \"redis://h\"\ndir = \"d\"\nquota = \"1B\"\nkeys = 1",
        &[Code::BadValue, Code::BadValue, Code::BadValue],
    );

    let mut diagnostics = Vec::new();
    assert!(
        load_host(Some(Path::new("no-such.toml")), &support::environment, &mut diagnostics)
            .is_none()
    );
    assert_eq!(codes(&diagnostics), [Code::Unreadable]);
}

/// Lines that mean something, to be put together into files that nearly do.
fn lines() -> impl Strategy<Value = String> {
    let known = include_str!("ui/valid/everything.toml");
    let lines: Vec<&str> = known.lines().collect();
    proptest::collection::vec(proptest::sample::select(lines), 0..40).prop_map(|l| l.join("\n"))
}

fn never_panics(text: &str) {
    let (spec, diagnostics) = parse(text);
    render_text(&diagnostics, true);
    serde_json::to_string(&diagnostics).unwrap();
    if let Some(spec) = spec {
        validate_routes(&spec, &[]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text(text in any::<String>()) {
        never_panics(&text);
    }

    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        std::fs::write(&path, bytes).unwrap();
        load(&[path], &support::context());
    }

    #[test]
    fn shuffled_lines(text in lines()) {
        never_panics(&text);
    }

    #[test]
    fn damaged_files(at in any::<proptest::sample::Index>(), put in "\\PC{0,3}|[\"'\\[\\]{}=.\\\\$\n]{1,3}", take in 0usize..6) {
        let text = include_str!("ui/valid/everything.toml");
        let start = text.floor_char_boundary(at.index(text.len()));
        let end = text.floor_char_boundary((start + take).min(text.len()));
        never_panics(&format!("{}{put}{}", &text[..start], &text[end..]));
    }

    #[test]
    fn places_are_in_the_file(offset in 0usize..60, text in "([a-z$ é\"'\\\\]|\\$\\{QUEUE\\}|\n){0,12}") {
        let toml = format!("{}x = {}\n", STAGE, toml::Value::String(text));
        if let (Some(spec), _) = parse(&toml) {
            let range = spec.stages[0].locate("/x", Some(offset)).range.unwrap();
            prop_assert!(toml.get(range.clone()).is_some());
            prop_assert!(range.start >= STAGE.len());
        }
    }
}
