//! Tests: what Oniguruma matches, and how searching ends.

use super::{Options, Regex};

/// The first match, and its groups.
fn find(pattern: &str, text: &str) -> Option<Vec<Option<String>>> {
    let regex = Regex::new(pattern, Options::default())
        .unwrap_or_else(|fault| panic!("{pattern}: {fault}"));
    let chars: Vec<char> = text.chars().collect();
    let found = regex.find(&chars, 0).unwrap()?;
    let piece = |(start, end): (usize, usize)| chars[start..end].iter().collect();
    Some(found.into_iter().map(|place| place.map(piece)).collect())
}

#[track_caller]
fn check(pattern: &str, text: &str, expected: Option<&str>) {
    let whole = find(pattern, text).and_then(|found| found[0].clone());
    assert_eq!(whole.as_deref(), expected, "{pattern} on {text}");
}

#[test]
fn matches_as_oniguruma() {
    check("a.c", "xabc", Some("abc"));
    check("a+?", "aaa", Some("a"));
    check("a{2,3}", "aaaa", Some("aaa"));
    check("a{,2}b", "aaab", Some("aab"));
    check("x{a}", "x{a}", Some("x{a}"));
    check("^b", "a\nb", None);
    check("(?m)^b$", "a\nb\nc", Some("b"));
    check("b$", "ab\n", Some("b"));
    check(r"b\z", "ab\n", None);
    check("a.b", "a\nb", None);
    check("(?s)a.b", "a\nb", Some("a\nb"));
    check("(?i)STRASSE", "strasse", Some("strasse"));
    check("(?i:A)b", "aB", None);
    check("[^a-c]+", "abcxyz", Some("xyz"));
    check("[[:alpha:]_]+", "1a_b2", Some("a_b"));
    check("[a-z&&[^aeiou]]+", "aeixyz", Some("xyz"));
    check(r"\bcat\b", "concat cat", Some("cat"));
    check(r"[\d-]+", "a1-2", Some("1-2"));
    check(r"\p{Lu}\w+", "ab Äb", Some("Äb"));
    check("(?=u)", "qux", Some(""));
    check("q(?!u)", "qu qx", Some("q"));
    check(r"(?<=\$)\d+", "a1 $23", Some("23"));
    check(r"(?<!\$)\b\d+", "$23 45", Some("45"));
    check(r"(a|b)\1", "abb", Some("bb"));
    check(r"(?<x>a|b)\k<x>", "abb", Some("bb"));
    check("(?>a+)ab", "aaab", None);
    check("a++b", "aaab", Some("aaab"));
    check("(a*)*b", "aab", Some("aab"));
    check("(?x) a b # c", "ab", Some("ab"));
    check(r"\x41\u0042\x{43}", "ABC", Some("ABC"));
    check("", "a", Some(""));
    assert_eq!(find("(a)|(b)", "b").unwrap(), [Some("b".to_owned()), None, Some("b".to_owned())]);
}

#[test]
fn what_is_wrong_is_an_error() {
    for pattern in ["(", ")", "[a", "*", r"\", "(?<n", r"\2", r"\k<x>", "[b-a]", "(a{1000}){1000}"]
    {
        assert!(Regex::new(pattern, Options::default()).is_err(), "{pattern}");
    }
}

#[test]
fn an_endless_search_ends() {
    let regex = Regex::new("(a|aa)+$", Options::default()).unwrap();
    let text: Vec<char> = "a".repeat(200).chars().chain(['b']).collect();
    assert_eq!(regex.find(&text, 0).unwrap_err(), "match-stack limit over");
}
