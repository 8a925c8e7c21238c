//! What settings say, refuse and normalise.

use super::*;
use crate::guard::FRAME_MAX;

fn source(text: &str) -> SourceSettings {
    toml::from_str(text).unwrap()
}

fn endpoint(url: &str) -> Endpoint {
    source(&format!("url = '{url}'\nqueue = 'q'")).endpoint().unwrap()
}

#[test]
fn urls_are_normalised() {
    for (url, host, port, vhost) in [
        ("amqp://h", "h", 5672, "/"),
        ("amqp://h/", "h", 5672, "/"),
        ("amqp://h/%2f", "h", 5672, "/"),
        ("amqp://h/%2F", "h", 5672, "/"),
        ("amqp://h:1/shop", "h", 1, "shop"),
        ("amqp://u:p@h/a%2fb", "h", 5672, "a/b"),
        ("amqps://h", "h", 5671, "/"),
        ("amqp://[::1]:7/", "::1", 7, "/"),
        ("amqp://u:p%40@[fe80::2]", "fe80::2", 5672, "/"),
        ("amqp://127.0.0.1/", "127.0.0.1", 5672, "/"),
    ] {
        let uri = endpoint(url).uri;
        let found = (&*uri.authority.host, uri.authority.port, &*uri.vhost);
        assert_eq!(found, (host, port, vhost), "{url}");
    }
}

#[test]
fn several_urls_are_hosts_in_their_order() {
    let array = "url = ['amqp://a', 'amqp://u:p,w@b:7/']";
    let text = "url = 'amqp://a,amqp://u:p,w@b:7/'";
    let spaced = "url = 'amqp://a, amqp://u:p,w@b:7/'";
    for url in [array, text, spaced] {
        let endpoint = source(&format!("{url}\nqueue = 'q'")).endpoint().unwrap();
        assert_eq!(endpoint.to_string(), "amqp://a:5672, amqp://b:7", "{url}");
        let hosts: Vec<_> = endpoint.hosts().map(|host| host.to_string()).collect();
        assert_eq!(hosts, ["amqp://a:5672", "amqp://b:7"]);
        let last = endpoint.hosts().last().unwrap().uri.authority.userinfo;
        assert_eq!((&*last.username, &*last.password), ("u", "p,w"));
        let route: RouteSettings = toml::from_str(&format!("{url}\nexchange = 'x'")).unwrap();
        assert_eq!(route.endpoint().unwrap(), Some(endpoint));
    }
    let wrong = |url: &str| {
        let settings = source(&format!("{url}\nqueue = 'q'"));
        settings.endpoint().unwrap_err().into_iter().map(|error| error.message).collect::<Vec<_>>()
    };
    let errors = wrong("url = ['amqp://a', 'http://b']");
    assert!(errors.len() == 1 && errors[0].contains("expected amqp://"), "{errors:?}");
    assert!(wrong("url = 'amqp://a:1,b:2/'").len() == 1);
    let errors = wrong("url = 'amqp://a,b/'");
    assert!(errors[0].contains("several whole URLs"), "{errors:?}");
    assert_eq!(wrong("url = []").len(), 1);
    assert!(toml::from_str::<SourceSettings>("url = 3\nqueue = 'q'").is_err());
}

#[test]
fn defaults_and_limits_apply() {
    let settings = source("url = 'amqp://h'\nqueue = 'q'");
    assert_eq!(settings.prefetch, 1000);
    let uri = settings.endpoint().unwrap().uri;
    assert_eq!(uri.query.heartbeat, Some(10));
    assert_eq!(uri.query.frame_max, Some(FRAME_MAX));
    assert_eq!(uri.authority.userinfo.username, "guest");
    let uri = endpoint("amqp://h?heartbeat=7&frame_max=99999999").uri;
    assert_eq!((uri.query.heartbeat, uri.query.frame_max), (Some(7), Some(FRAME_MAX)));
}

#[test]
fn keys_beside_the_url_override_it() {
    let settings = source("url = 'amqp://a:b@h'\nqueue = 'q'\nusername = 'c'\npassword = 'd'");
    let user = settings.endpoint().unwrap().uri.authority.userinfo;
    assert_eq!((&*user.username, &*user.password), ("c", "d"));
}

/// The paths of what is wrong.
fn check(errors: &[SettingsError], expected: &[&str]) {
    let paths: Vec<_> = errors.iter().map(|error| &*error.path).collect();
    assert_eq!(paths, expected, "{errors:?}");
    let shown = format!("{errors:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn everything_wrong_with_a_source_is_told() {
    let base = "url = 'amqp://h'\nqueue = 'q'\n";
    let long = "x".repeat(256);
    for (text, expected) in [
        (base.to_owned(), &[][..]),
        ("url = 'http://u:s3cret@h'\nqueue = ''".into(), &["url", "queue"]),
        ("url = 'amqp:u:s3cret'\nqueue = 'q'".into(), &["url"]),
        ("url = ''\nqueue = 'q'".into(), &["url"]),
        ("url = 'amqp://u:s3cret@h:99999'\nqueue = 'q'".into(), &["url"]),
        (format!("url = 'amqp://u:s3cret@h/{long}'\nqueue = '{long}'"), &["url", "queue"]),
        (format!("{base}prefetch = 0\nheartbeat = 0"), &["heartbeat", "prefetch"]),
        ("url = 'amqp://h?heartbeat=0'\nqueue = 'q'".into(), &["url"]),
        (format!("{base}auth_mechanism = 'magic'"), &["auth_mechanism"]),
        (format!("{base}auth_mechanism = 'external'"), &["auth_mechanism"]),
        (format!("{base}tls = {{ ca_file = 'x' }}"), &["tls"]),
        ("url = 'amqps://h'\nqueue = 'q'\ntls = { cert_file = 'x' }".into(), &["tls.key_file"]),
        (
            format!("{base}[declare]\nqueue = {{ auto_delete = true, arguments = {{ x = nan }} }}"),
            &["declare.queue.arguments.x", "declare.queue.auto_delete"],
        ),
        (
            format!("{base}[declare]\nbindings = [{{}}, {{ exchange = '' }}]"),
            &["declare.bindings[0].exchange", "declare.bindings[1].exchange"],
        ),
        (
            format!("{base}[declare.exchange]\nname = ''\ntype = ''"),
            &["declare.exchange.name", "declare.exchange.type"],
        ),
        (
            format!("{base}arguments = {{ a = [[[[[[[[[1]]]]]]]]] }}"),
            &["arguments.a[0][0][0][0][0][0][0][0]"],
        ),
    ] {
        check(&source(&text).validate(), expected);
    }
}

#[test]
fn everything_wrong_with_a_route_is_told() {
    for (text, expected) in [
        ("exchange = 'x'", &[][..]),
        ("exchange = ''", &[]),
        ("exchange = 'x'\nconfirm_timeout = 0\nmax_body = 0", &["confirm_timeout", "max_body"]),
        ("exchange = 'x'\nheartbeat = 5\npassword = 's3cret'", &["password", "heartbeat"]),
        ("exchange = ''\ndeclare = {}", &["declare"]),
        ("exchange = 'x'\nurl = 'amqp://u:s3cret@h:x'", &["url"]),
    ] {
        let route: RouteSettings = toml::from_str(text).unwrap();
        check(&route.validate(), expected);
    }
}

#[test]
fn a_url_must_say_where_its_password_ends() {
    for url in [
        "amqp://guest:/s3cret@h/",
        "amqp://guest:12/s3cret@h/",
        "amqp://guest:s3c@ret@h/",
        "amqp://guest:12#s3cret@h",
        "amqp://guest:12?s3cret@h",
        "amqp://s3cret/x@h",
        "amqps://:/s3cret@h/v",
        "amqp://guest:x@s3cret#z@h",
    ] {
        let errors = source(&format!("url = '{url}'\nqueue = 'q'")).validate();
        check(&errors, &["url"]);
        assert_eq!(errors[0].kind, ErrorKind::Unescaped, "{url}");
        assert!(errors[0].message.contains("%2F") && errors[0].message.contains("`password`"));
    }
    // What is escaped, or ends nothing, stays good.
    for url in ["amqp://u:p%2f%40%23@h/v", "amqp://u:p:w@h", "amqp://h/v?heartbeat=5"] {
        assert_eq!(source(&format!("url = '{url}'\nqueue = 'q'")).validate(), [], "{url}");
    }
}

proptest::proptest! {
    /// Whatever a password is, and wherever it stands: what prints does not show it.
    #[test]
    fn no_password_is_ever_printed(
        password in "[ -~é]{0,6}S3CRET[ -~é]{0,6}",
        start in proptest::sample::select(vec!["", "/", "1/", "5672/", "@", "#", "?", "[", "\\"]),
        form in 0..5usize,
    ) {
        let password = format!("{start}{password}");
        let encoded: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let url = match form {
            0 => format!("amqp://guest:{password}@127.0.0.1:1/v"),
            1 => format!("amqps://{password}@127.0.0.1/"),
            2 => format!("amqp://guest:{encoded}@127.0.0.1"),
            3 => format!("guest:{password}@127.0.0.1"),
            _ => format!("amqp:{password}@127.0.0.1"),
        };
        let mut settings = source("url = 'amqp://h'\nqueue = 'q'");
        settings.url = Secret::new(url.clone());
        let mut shown = format!("{settings:?}");
        match settings.endpoint() {
            Ok(endpoint) => shown.push_str(&format!("{endpoint} {endpoint:?}")),
            Err(errors) => errors.iter().for_each(|error| shown.push_str(&error.to_string())),
        }
        proptest::prop_assert!(!shown.contains("S3CRET"), "{url}: {shown}");
        proptest::prop_assert!(!shown.contains("S3cret") && !shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn a_stream_is_no_source_and_holds_no_dead_letters() {
    let base = "url = 'amqp://h'\nqueue = 'q'\n";
    for (text, path) in [
        (
            "declare = { queue = { arguments = { x-queue-type = 'stream' } } }",
            "declare.queue.arguments.x-queue-type",
        ),
        ("arguments = { x-stream-offset = 'first' }", "arguments.x-stream-offset"),
    ] {
        let errors = source(&format!("{base}{text}")).validate();
        check(&errors, &[path]);
        assert_eq!(errors[0].kind, ErrorKind::Stream);
    }
    let route = "exchange = 'x'\n[[declare.queues]]\nname = 'a'\n[[declare.queues]]\nname = 'b'\n\
                 arguments = { x-queue-type = 'stream' }";
    let route: RouteSettings = toml::from_str(route).unwrap();
    // As a target it is as good as any.
    check(&route.validate(), &[]);
    let errors = route.validate_dead_letter();
    check(&errors, &["declare.queues[1].arguments.x-queue-type"]);
    assert_eq!(errors[0].kind, ErrorKind::Stream);
}

#[test]
fn nothing_prints_a_credential() {
    let settings = source("url = 'amqp://user:s3cret@h/v'\nqueue = 'q'\npassword = 's3cret'");
    let endpoint = settings.endpoint().unwrap();
    for shown in [format!("{settings:?}"), format!("{endpoint:?}"), endpoint.to_string()] {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    assert_eq!(endpoint.to_string(), "amqp://h:5672/v");
}

#[test]
fn unknown_keys_are_refused() {
    for text in ["url = ''\nqueue = ''\nqueu = ''", "url = ''\nqueue = ''\n[declare]\nquue = {}"] {
        assert!(toml::from_str::<SourceSettings>(text).is_err());
    }
}

#[test]
fn arguments_keep_their_types() {
    use lapin::types::AMQPValue as V;
    let arguments: Arguments = toml::from_str(
        "a = 1\nb = 5000000000\nc = true\nd = 'x'\ne = 1.5\nf = [1, 'x']\ng = { h = 2 }",
    )
    .unwrap();
    let table = field_table(&arguments);
    let inner = table.inner();
    assert_eq!(inner.get("a"), Some(&V::LongInt(1)));
    assert_eq!(inner.get("b"), Some(&V::LongLongInt(5_000_000_000)));
    assert_eq!(inner.get("c"), Some(&V::Boolean(true)));
    assert_eq!(inner.get("d"), Some(&V::LongString("x".into())));
    assert_eq!(inner.get("e"), Some(&V::Double(1.5)));
    let items = vec![V::LongInt(1), V::LongString("x".into())];
    assert_eq!(inner.get("f"), Some(&V::FieldArray(items.into())));
    assert!(matches!(inner.get("g"), Some(V::FieldTable(_))));
}

#[test]
fn routes_share_a_sink_where_they_can() {
    let routes: Vec<RouteSettings> = [
        "exchange = 'a'",
        "exchange = 'b'",
        "exchange = 'c'\nmandatory = false",
        "exchange = 'd'\nurl = 'amqp://other'",
        "exchange = 'e'\nurl = 'amqp://h/'",
    ]
    .into_iter()
    .map(|text| toml::from_str(text).unwrap())
    .collect();
    let shared = crate::AmqpSink::for_routes(Some(&endpoint("amqp://h")), &routes).unwrap();
    assert_eq!(shared.of_route, [0, 0, 1, 2, 0]);
    assert_eq!(shared.sinks.len(), 3);
    let errors = crate::AmqpSink::for_routes(None, &routes).unwrap_err();
    let of: Vec<_> = errors.iter().map(|(n, error)| (*n, &*error.path)).collect();
    assert_eq!(of, [(0, "url"), (1, "url"), (2, "url")]);
}
