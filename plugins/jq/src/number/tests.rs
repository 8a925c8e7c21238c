//! Tests: numbers as text, in order, and in arithmetic.

use std::cmp::Ordering;

use super::{Num, parse_loose};

fn text(number: &Num) -> String {
    let mut out = Vec::new();
    number.write(&mut out);
    String::from_utf8(out).unwrap()
}

fn num(text: &str) -> Num {
    Num::from_json(text).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn doubles_are_written_as_jq_writes_them() {
    for (number, expected) in [
        (1e17, "1e+17"),
        (1e15, "1000000000000000"),
        (1e19, "1e+19"),
        (0.00001, "1e-05"),
        (0.0001, "0.0001"),
        (123_456_789_012_345_680.0, "123456789012345680"),
        (1.5e300, "1.5e+300"),
        (-2.5, "-2.5"),
        (5e-324, "5e-324"),
        (-0.0, "-0"),
        (5.0, "5"),
        (f64::INFINITY, "1.7976931348623157e+308"),
        (f64::NAN, "null"),
    ] {
        assert_eq!(text(&Num::from(number)), expected);
    }
}

#[test]
fn loose_numbers_become_json_or_nothing() {
    for (loose, expected) in [
        ("+5.43", Some("5.43")),
        ("00.5", Some("0.5")),
        ("01e2", Some("1e2")),
        (".5", Some("0.5")),
        ("5.", Some("5")),
        ("5.e3", Some("5e3")),
        ("-007", Some("-7")),
        ("1.50", Some("1.50")),
        ("", None),
        ("-", None),
        (".", None),
        ("1 2", None),
        ("2024-05-01", None),
        ("12 EUR", None),
        (" 1", None),
        ("0x10", None),
        ("nan", None),
        ("1e", None),
        ("--1", None),
    ] {
        assert_eq!(parse_loose(loose).map(|number| text(&number)).as_deref(), expected, "{loose}");
    }
}

#[test]
fn order_is_by_all_digits() {
    for (left, right, expected) in [
        ("9007199254740993", "9007199254740992", Ordering::Greater),
        ("9007199254740992.0", "9007199254740992", Ordering::Equal),
        ("100000000000000000000", "100000000000000000001", Ordering::Less),
        ("-100000000000000000000", "-100000000000000000001", Ordering::Greater),
        ("1e2", "100", Ordering::Equal),
        ("0.10", "0.1", Ordering::Equal),
        ("0", "-0", Ordering::Equal),
        ("0.12345678901234567890123456789", "0.12345678901234567890123456788", Ordering::Greater),
        ("1e999", "1e998", Ordering::Equal),
        ("1e1000000", "2", Ordering::Greater),
    ] {
        let found = num(left).cmp(&num(right));
        // Beyond the doubles a short number counts as the largest double.
        assert_eq!(found, expected, "{left} {right}");
    }
}

#[test]
fn whole_numbers_are_exact() {
    let big = num("123456789012345678901234567890");
    assert_eq!(text(&big.add(&num("1"))), "123456789012345678901234567891");
    assert_eq!(text(&num("9223372036854775807").add(&num("1"))), "9223372036854775808");
    assert_eq!(text(&num("3037000500").mul(&num("3037000500"))), "9223372037000250000");
    assert_eq!(text(&num("500").div(&num("100")).unwrap()), "5");
    assert_eq!(text(&num("1").div(&num("4")).unwrap()), "0.25");
    assert!(num("1").div(&num("0.0")).is_none());
    assert_eq!(text(&num("5").rem(&num("-3")).unwrap()), "2");
    assert_eq!(text(&num("-5.9").rem(&num("3")).unwrap()), "-2");
    assert_eq!(text(&num("1.0").add(&num("1"))), "2");
}
