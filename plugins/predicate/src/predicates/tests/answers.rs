//! Answers: expressions with messages and what must come out.

use lockgate_plugin::testing::MessageBuilder;
use lockgate_plugin::{ArrayBuf, Body, Headers, Needs, Property, TableBuf, Value};

use crate::{EvalError, Predicate, Predicates};

const ORDER: &str = r#" {"id": 7, "status":"paid", "price": 10, "rate":1.5, "tags":["a","b",3],
    "customer":{"name":"Zo\u00eb","city":null,"vip":true}, "lines":[{"qty":2},{"qty":5}],
    "note":"say \"hi\"\n", "big": 18446744073709551615, "huge": 1e400, "": 1, "ключ": "да"} "#;

fn message(body: &[u8]) -> MessageBuilder {
    let mut table = TableBuf::new();
    table.push("count", Value::I64(3));
    let mut death = ArrayBuf::new();
    death.push(table.as_value());
    MessageBuilder::new()
        .exchange("orders")
        .routing_key("order.eu.new")
        .property(Property::ContentType, "application/json")
        .number(Property::Priority, 4)
        .header("x-tenant", Value::from("acme"))
        .header("n", Value::U16(9))
        .header("rate", Value::Decimal { scale: 2, value: 150 })
        .header("raw", Value::Str(b"\xff"))
        .header("void", Value::Void)
        .header("x-death", death.as_value())
        .header("t", table.as_value())
        .redelivered(true)
        .attempt(2)
        .body(body)
}

#[track_caller]
fn check(body: &[u8], cases: &[(&str, Result<bool, EvalError>)]) {
    let message = message(body);
    for (source, want) in cases {
        let predicate = match Predicate::compile(source) {
            Ok(predicate) => predicate,
            Err(error) => panic!("{source}: {error}"),
        };
        assert_eq!(predicate.eval(&message.view()), *want, "{source}");
    }
}

const YES: Result<bool, EvalError> = Ok(true);
const NO: Result<bool, EvalError> = Ok(false);
const MISSING: Result<bool, EvalError> = Err(EvalError::Missing);
const TYPE: Result<bool, EvalError> = Err(EvalError::Type);

#[test]
fn body() {
    check(
        ORDER.as_bytes(),
        &[
            (r#"body.status == "paid""#, YES),
            (r#"body["status"] != 'paid'"#, NO),
            ("body.id == 7 && body.id == 7.0 && body.id == 7u", YES),
            ("body.customer.name == 'Zoë'", YES),
            ("body.customer.vip", YES),
            ("body.customer.city == null", YES),
            ("body.note == 'say \"hi\"\\n'", YES),
            ("body['ключ'] == 'да' && body[''] == 1", YES),
            ("body.lines[1].qty > body.lines[0].qty", YES),
            ("body.lines[2].qty > 0", MISSING),
            ("body.nothing == 1", MISSING),
            ("body.status.nothing == 1", MISSING),
            ("body.status", Err(EvalError::NotBool)),
            ("body.big == 18446744073709551615u && body.huge > 1e308", YES),
            ("size(body.tags) == 3 && body.tags.size() == 3 && size(body.customer) == 3", YES),
            ("size(body.customer.name) == 3", YES),
            ("'a' in body.tags && 3.0 in body.tags && !('c' in body.tags)", YES),
            ("'name' in body.customer && !(1 in body.customer)", YES),
            ("null in body.customer", TYPE),
            ("body.status in ['paid', 'sent']", YES),
            ("body.status in ['new', body.nothing]", MISSING),
            ("has(body.customer.name) && !has(body.customer.age)", YES),
            ("has(body.nothing.more)", MISSING),
            ("has(body.status.more)", TYPE),
            ("body.tags == ['a', 'b', 3] && body.lines[0] == {'qty': 2}", YES),
            ("body.tags == body.tags && body.tags != body.lines", YES),
            ("body == body", YES),
            ("body.lines.exists(l, l.qty > 4) && !body.lines.all(l, l.qty > 4)", YES),
            ("body.lines.filter(l, l.qty > 4).size() == 1", YES),
            ("body.lines.map(l, l.qty * 1.5) == [3.0, 7.5]", YES),
            ("body.?nothing.orValue('x') == 'x'", YES),
            ("type(body.id) == int", YES),
        ],
    );
}

#[test]
fn operators() {
    check(
        ORDER.as_bytes(),
        &[
            ("body.nothing == 1 || true", YES),
            ("true || body.nothing == 1", YES),
            ("body.nothing == 1 && false", NO),
            ("body.nothing == 1 || false", MISSING),
            ("body.id || true", YES),
            ("!body.id", Err(EvalError::NotBool)),
            ("body.customer.vip ? body.id == 7 : body.nothing", YES),
            ("(body.id > 5 ? 'big' : 'small') == 'big'", YES),
            ("body.price * body.rate == 15.0 && body.price / 4 == 2 && body.price % 4 == 2", YES),
            ("body.price * 1.5 + 1 > 15", YES),
            ("[1].exists(x, body.price * 1.5 == 15.0)", YES),
            ("body.price / 0 == 1", Err(EvalError::Arithmetic)),
            ("body.big * 2u > 1u", Err(EvalError::Arithmetic)),
            ("body.rate % 2 == 1", TYPE),
            ("-body.price == -10 && -body.rate == -1.5", YES),
            ("body.status + '!' == 'paid!'", YES),
            ("body.status + 1 == 'paid1'", TYPE),
            ("body.status < 'q' && body.status >= 'paid'", YES),
            ("body.status < 1", TYPE),
            ("body.status == 1", NO),
            ("-1 < 1u && 18446744073709551615u > 1", YES),
            ("body.status.startsWith('pa') && body.status.endsWith('id')", YES),
            ("body.status.contains('ai') && !body.status.contains('x')", YES),
            ("body.id.contains('7')", TYPE),
            (r"body.status.matches('^p[a-z]{3}$') && matches(body.status, r'\w+')", YES),
            ("body.tags.exists(t, type(t) == string && t.matches('^b$'))", YES),
            ("body.status.upperAscii() == 'PAID'", YES),
            ("int(body.status) == 1", Err(EvalError::Function)),
            ("b'a' + b'b' == b'ab'", YES),
        ],
    );
}

/// Numbers that a double would take for one another. The second of each pair is interpreted.
#[test]
fn numbers_are_compared_exactly() {
    const INEXACT: Result<bool, EvalError> = Err(EvalError::Number);
    let body = br#"{"a":18446744073709551616,"b":18446744073709551617,"max":18446744073709551615,
        "neg":-9223372036854775809,"neg2":-9223372036854775810,"odd":9007199254740993,
        "f":0.1,"g":0.10000000000000001,"h":0.10000000000000000001,"one":1,"ten":10e-1,
        "l":[18446744073709551617,9007199254740993],"vast":1e400,"vast2":1e401,"tiny":1e-400,
        "beyond":1e99999999999999999999,"zero":-0}"#;
    for (source, want) in [
        ("body.a == body.b", NO),
        ("body.a != body.b && body.a < body.b && body.b > body.a && body.b >= body.b", YES),
        ("body.b == body.b && body.a in [body.a]", YES),
        ("body.a > body.max && body.max < body.a && body.neg < 0 && body.neg2 < body.neg", YES),
        ("body.neg == body.neg2", NO),
        ("body.a == 18446744073709551616.0", YES),
        ("body.max == 18446744073709551616.0 || body.max == body.a", NO),
        ("body.b == 18446744073709551616.0", INEXACT),
        ("body.b > 18446744073709551616.0", INEXACT),
        ("body.b > 1e19 && body.b < 1e20", YES),
        ("body.odd == 9007199254740992.0", NO),
        ("body.odd > 9007199254740992.0 && 9007199254740992.0 < body.odd", YES),
        ("body.odd in [9007199254740992.0]", NO),
        ("9007199254740992.0 in body.l", NO),
        ("body.b in body.l && !(body.a in body.l)", YES),
        ("18446744073709551616.0 in body.l", INEXACT),
        ("body.l == [body.b, body.odd]", YES),
        ("body.l == [body.a, body.odd]", NO),
        ("body.l == [18446744073709551616.0, 1]", NO),
        ("body.l == [18446744073709551616.0, body.odd]", INEXACT),
        ("{'x': body.b} == {'x': body.a}", NO),
        ("body.f == 0.1 && body.g == 0.1 && body.f == body.g", YES),
        ("body.h == body.f", INEXACT),
        ("body.h == body.h && body.h < 0.2 && body.h > 0", YES),
        ("body.one == body.ten && body.one == 1.0 && body.zero == 0 && -0.0 == body.zero", YES),
        ("body.vast == body.vast2", NO),
        ("body.vast < body.vast2 && body.vast > 1e308 && body.tiny > 0", YES),
        ("body.beyond > body.vast2", YES),
        ("body.beyond == body.beyond", INEXACT),
        ("body.a == 'x' || body.b == null || body.b == true", NO),
        ("body.b < 'x'", TYPE),
        ("body.b + 1 > 0", Err(EvalError::Arithmetic)),
        ("body.h * 10 > 0.9 && -body.h < 0 && -body.b < -1e19", YES),
        ("body.b in body", NO),
    ] {
        for source in [source.to_owned(), format!("[1].exists(i, {source})")] {
            check(body, &[(source.as_str(), want)]);
        }
    }
    check(
        body,
        &[
            ("string(body.b) == '18446744073709551617' && double(body.b) > 1e19", YES),
            ("body.l.exists(n, n == body.b) && body.l.exists_one(n, n > 1e19)", YES),
        ],
    );
}

#[test]
fn envelope() {
    check(
        b"plain text",
        &[
            ("body == null && body_text == 'plain text'", YES),
            ("body.status == 'paid'", MISSING),
            ("headers['x-tenant'] == 'acme' && headers.n + 1 == 10 && headers.rate == 1.5", YES),
            ("headers.raw == b'\\xff' && headers.void == null", YES),
            ("headers['x-death'][0].count == 3 && headers.t.count >= 3", YES),
            ("has(headers.t.count) && !has(headers.t.x) && size(headers['x-death']) == 1", YES),
            ("has(headers.n.x)", TYPE),
            ("headers.nothing == 1", MISSING),
            ("'n' in headers && !('m' in headers) && has(headers.n)", YES),
            ("size(headers) == 7 && headers.exists(h, h.startsWith('x-'))", YES),
            ("headers.t == {'count': 3} && headers['x-death'] == [{'count': 3}]", YES),
            ("exchange == 'orders' && routing_key.startsWith('order.')", YES),
            ("routing_key.split('.')[1] == 'eu'", YES),
            ("redelivered && attempt == 2", YES),
            ("properties.content_type == 'application/json' && properties.priority > 3", YES),
            ("has(properties.priority) && !has(properties.type) && 'app_id' in properties", NO),
            ("properties.message_id == ''", MISSING),
            ("size(properties) == 2", YES),
        ],
    );
}

/// Bodies that are no JSON, or stranger than most, have an answer and not a fault.
#[test]
fn strange_bodies() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
    let none: &[(&str, Result<bool, EvalError>)] =
        &[("body == null", YES), ("body.a == 1", MISSING), ("has(body.a)", TYPE)];
    let bodies = [
        Vec::new(),
        b"{".to_vec(),
        b"{} x".to_vec(),
        b"{\"a\":1,}".to_vec(),
        b"[1,]".to_vec(),
        b"[,1]".to_vec(),
        b"{\"a\" 1}".to_vec(),
        b"{\"a\":01}".to_vec(),
        b"{\"a\":\"\xff\"}".to_vec(),
        b"{\"a\":\"\\ud80\"}".to_vec(),
        b"{\"a\":\"\x01\"}".to_vec(),
        b"\xef\xbb\xbf\xef\xbb\xbf{\"a\":1}".to_vec(),
        b" \xef\xbb\xbf{\"a\":1}".to_vec(),
        b"\xef\xbb\xbf".to_vec(),
        "[".repeat(100_000).into_bytes(),
        "{\"a\":".repeat(100_000).into_bytes(),
        nested(100_000),
        nested(129),
    ];
    for body in &bodies {
        check(body, none);
    }
    check(
        b"\xef\xbb\xbf{\"a\":1}",
        &[
            ("body.a == 1", YES),
            ("[body.a].exists(x, x == 1)", YES),
            ("body_text == '{\"a\":1}'", YES),
        ],
    );
    check(
        b"{\"a\":\"x\\ud800\",\"\\udc00\":2}",
        &[
            (r"body.a == 'x\ufffd' && body['\ufffd'] == 2", YES),
            (r"[body.a].exists(x, x == 'x\ufffd') && body.map(k, k).exists(k, k == '\ufffd')", YES),
        ],
    );
    check(&nested(128), &[("body == null", NO), ("size(body) == 1", YES)]);
    check(b"{\"a\":1,\"a\":{\"b\":2}}", &[("body.a.b == 2 && size(body) == 1", YES)]);
    check(b"{\"a\":{\"b\":2},\"a\":{}}", &[("has(body.a.b)", NO), ("body.a == {}", YES)]);
    check(b"{\"\\u0061\":1}", &[("body.a == 1", YES)]);
    let mut huge = b"{\"a\":1,\"l\":[".to_vec();
    huge.resize(16 << 20, b'1');
    huge.extend(b"],\"b\":2}");
    check(&huge, &[("body.a + 1 == body.b", YES)]);
    let many = format!("{{\"l\":[{}0]}}", "0,".repeat(100_000)).into_bytes();
    let large = Err(EvalError::TooLarge);
    check(&many, &[("size(body.l) == 100001", YES), ("body.l.exists(x, x > 0)", large)]);
}

#[test]
fn needs_name_what_is_read() {
    let cases = [
        ("true", Needs::default()),
        ("attempt > 1 && redelivered && properties.priority > 1", Needs::default()),
        ("body.a == 1", Needs { body: Body::All, ..Needs::default() }),
        ("body_text == ''", Needs { body: Body::All, ..Needs::default() }),
        ("routing_key == ''", Needs { origin: true, ..Needs::default() }),
        ("properties.type == ''", Needs { properties: true, ..Needs::default() }),
        ("size(properties) == 0", Needs { properties: true, ..Needs::default() }),
        ("headers.size() == 0", Needs { headers: Headers::All, ..Needs::default() }),
        (
            "has(headers.b) || 'c' in headers || headers['a'].x == 1 || headers.?d.hasValue()",
            Needs {
                headers: Headers::Names(["a", "b", "c", "d"].map(str::to_owned).to_vec()),
                ..Needs::default()
            },
        ),
    ];
    for (source, needs) in cases {
        let predicate = Predicate::compile(source).unwrap_or_else(|e| panic!("{source}: {e}"));
        assert_eq!(predicate.needs(), needs, "{source}");
    }
}

#[test]
fn several_share_one_pass() {
    let set = Predicates::compile(["body.id == 7", "body.status == 'x'", "exchange == ''"]).ok();
    let set = set.expect("valid");
    let message = message(ORDER.as_bytes());
    let on = set.on(&message.view());
    assert_eq!([on.eval(0), on.eval(1), on.eval(2)], [YES, NO, NO]);
    assert_eq!(on.eval(3), MISSING);
    let errors = Predicates::compile(["true", "bdy", "1 +"]).err().expect("two are wrong");
    assert_eq!(errors.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 2]);
}
