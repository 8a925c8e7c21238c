//! What is refused, where and why; and that the two parsers of the `cel` crate agree.

use crate::{MAX_LENGTH, Predicate};

#[track_caller]
fn check(source: &str, offset: u32, message: &str) {
    let error = Predicate::compile(source).err();
    let error = error.unwrap_or_else(|| panic!("{source} was taken"));
    assert_eq!((error.offset, error.message.as_str()), (offset, message), "{source}");
}

#[test]
fn errors_say_where_and_what() {
    check("", 0, "the expression is empty");
    check("bdy.a == 1", 0, "unknown variable `bdy`; did you mean `body`?");
    check(
        "1 == 1 && zzzzz == 1",
        10,
        "unknown variable `zzzzz`; a key of the body is written `body.zzzzz`, and a text in quotes",
    );
    check("body.bdy == 1 && bdy", 17, "unknown variable `bdy`; did you mean `body`?");
    check("body.l.exists(line, lines.x)", 20, "unknown variable `lines`; did you mean `line`?");
    check("body.a.matchs('x')", 7, "unknown function `matchs`; did you mean `matches`?");
    check("body.a.startswith('x')", 7, "unknown function `startswith`; did you mean `startsWith`?");
    check("lower(body.a) == 'x'", 0, "unknown function `lower`");
    check("startsWith(body.a, 'x')", 0, "`startsWith` is called as `x.startsWith(…)`");
    check("body.a.int() == 1", 7, "`int` is called as `int(x)`");
    check("body.a.contains('x', 'y')", 7, "`contains` takes 1 argument, not 2");
    check("body.l.exists(x > 1)", 7, "`exists` is written `list.exists(x, condition)`");
    check(
        "timestamp(body.t) > 0",
        0,
        "`timestamp` is not available: compare RFC 3339 texts, or seconds as numbers",
    );
    check(
        "properties.contenttype == ''",
        11,
        "unknown property `contenttype`; did you mean `content_type`?",
    );
    check("properties['x'] == ''", 11, "unknown property `x`");
    check("properties.type.x == ''", 0, "property `type` is a plain value; nothing is inside it");
    check("exchange.name == ''", 0, "`exchange` is a plain value; nothing is inside it");
    check("headers[0] == ''", 0, "headers are read by name: `headers[\"name\"]`");
    check("body.a == 1 and body.b == 2", 12, "write `&&` for `and`");
    check("body.a = 1", 7, "write `==` to compare");
    check("body.ä = 1", 5, "syntax error: unexpected character");
    check("body.a.matches('ab(')", 15, "not a regular expression: unclosed group");
    check("body.a == (1 + ", 15, "the expression ends too early");
    check("body.price * 2", 0, "the expression gives a number or text, not true or false");
    check("'paid'", 0, "the expression gives a text, not true or false");
    check("Order{a: 1} == 1", 0, "there is no message type `Order`");
}

/// What people write who know another language, or the message better than CEL.
#[test]
fn errors_say_the_way_out() {
    check(
        "status == 'paid'",
        0,
        "unknown variable `status`; a key of the body is written `body.status`, and a text in quotes",
    );
    check(
        "body.status == paid",
        15,
        "unknown variable `paid`; a key of the body is written `body.paid`, and a text in quotes",
    );
    check(
        "message_id == 'a'",
        0,
        "unknown variable `message_id`; write `properties.message_id` for the property, \
         `body.message_id` for the body's key",
    );
    check("body.a == True", 10, "unknown variable `True`; write `true`");
    check("body.a == None", 10, "unknown variable `None`; write `null`");
    check("true && header['x'] == 'a'", 8, "unknown variable `header`; write `headers`");
    check("payload.status == 'a'", 0, "unknown variable `payload`; write `body`");
    let dash = "is a subtraction; a name with a dash is written";
    check(
        "headers.x-tenant == 'a'",
        8,
        &format!("`headers.x-tenant` {dash} `headers[\"x-tenant\"]`"),
    );
    check(
        "true && headers.x-tenant-id == 'a'",
        16,
        &format!("`headers.x-tenant-id` {dash} `headers[\"x-tenant-id\"]`"),
    );
    check(
        "1 + body.a.order-id.x > 2",
        11,
        &format!("`body.a.order-id` {dash} `body.a[\"order-id\"]`"),
    );
    check(
        "properties.content-type == 'a'",
        11,
        "`properties.content-type` is a subtraction; names of properties have underscores: \
         `properties.content_type`",
    );
    check(
        "body.a - b > 1",
        9,
        "unknown variable `b`; a key of the body is written `body.b`, and a text in quotes",
    );
    assert_eq!(Predicate::compile("body.a-attempt > 1 && body.b - body.c > 0").err(), None);
    check("body.a or body.b", 7, "write `||` for `or`");
    check("not body.a", 4, "write `!` for `not`; `!(x in list)` for `x not in list`");
    check("body.a not in ['x']", 7, "write `!` for `not`; `!(x in list)` for `x not in list`");
    check("body.a & body.b", 7, "write `&&`; CEL has no `&`");
    check("body.a | body.b", 7, "write `||`; CEL has no `|`");
    check("body.a === 'x'", 9, "write `==` for `===`, and `!=` for `!==`");
    check("body.a !== 'x'", 9, "write `==` for `===`, and `!=` for `!==`");
    check("body.a <> 'x'", 8, "write `!=` for `<>`");
    check("body.a =~ 'x'", 7, "write `text.matches(\"pattern\")` for `=~`");
    check("body.a is null", 7, "write `==` for `is`");
    check(
        "body.a contains 'x'",
        7,
        "write `text.contains(\"part\")`; likewise `startsWith`, `endsWith` and `matches`",
    );
    let signs = "a value of the message is written without signs around it: `body.name`";
    check("${body.a} == 'x'", 0, signs);
    check("$.a == 'x'", 0, signs);
    check("body.a == \u{201c}x\u{201d}", 10, "a text stands in straight quotes: `\"text\"`");
}

#[test]
fn sizes_are_bounded() {
    let nested = "the expression is nested too deeply";
    check(&format!("{}true{}", "(".repeat(33), ")".repeat(33)), 32, nested);
    check(&format!("body{} == 1", ".a".repeat(300)), 4 + 2 * 256, nested);
    check(&format!("1{} == 1", " + 1".repeat(300)), 2 + 4 * 256, nested);
    check(&format!("{}true", "!".repeat(300)), 256, nested);
    check(&" ".repeat(MAX_LENGTH + 1), 16384, "the expression is longer than 16384 bytes");
    for taken in [
        format!("{}true{}", "(".repeat(31), ")".repeat(31)),
        format!("{}true{}", "[true].all(x, ".repeat(16), ")".repeat(16)),
        vec!["body.a == 1"; 1000].join(" || "),
        format!("body.a in [{}0]", "1, ".repeat(4000)),
        format!("{}true", "true ? false : ".repeat(60)),
        "body.a == '((((((((((((((((((((((((((((((((((((((((' // ((((((((((((((((((((((".to_owned(),
    ] {
        assert_eq!(Predicate::compile(&taken).err(), None, "{taken}");
    }
}

#[test]
fn huge_regular_expressions_are_refused() {
    let error = Predicate::compile(r"body.a.matches('(\\w{100}){100}')").err().expect("refused");
    assert!(error.message.contains("size limit"), "{error}");
}
