//! Pattern: what a document says that a command prints, against what it prints.
//!
//! `…` stands for anything within a line, and alone on a line for any lines. Times, digests and the
//! ids of publishes differ from run to run, so that any stands for any other.

/// Whether `printed` is what `said` says.
pub(crate) fn matches(said: &[String], printed: &str) -> bool {
    let tidy = |line: &str| neutral(line).split_whitespace().collect::<Vec<_>>().join(" ");
    let said: Vec<String> = said.iter().map(|line| tidy(line)).collect();
    let printed: Vec<String> = printed.lines().map(tidy).collect();
    lines(trimmed(&said), trimmed(&printed))
}

/// Without empty lines at both ends.
fn trimmed(lines: &[String]) -> &[String] {
    let Some(first) = lines.iter().position(|line| !line.is_empty()) else { return &[] };
    let last = lines.iter().rposition(|line| !line.is_empty()).unwrap_or(first);
    lines.get(first..=last).unwrap_or_default()
}

fn lines(said: &[String], printed: &[String]) -> bool {
    let Some((pattern, rest)) = said.split_first() else { return printed.is_empty() };
    if pattern == "…" {
        return (0..=printed.len())
            .any(|skip| lines(rest, printed.get(skip..).unwrap_or_default()));
    }
    let Some((first, more)) = printed.split_first() else { return false };
    line(pattern, first) && lines(rest, more)
}

fn line(pattern: &str, line: &str) -> bool {
    let mut pieces = pattern.split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut pieces: Vec<_> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

/// A line with its times, digests and ids of publishes made the same.
fn neutral(line: &str) -> String {
    let words = line.split_inclusive(|c: char| c.is_whitespace() || c == '"' || c == ',');
    words.fold(String::new(), |mut text, word| {
        let end = word.trim_end_matches(|c: char| c.is_whitespace() || c == '"' || c == ',');
        let stands_for = if is_time(end) {
            "TIME"
        } else if end.starts_with("sha256:") {
            "DIGEST"
        } else if is_id(end) {
            "ID"
        } else {
            end
        };
        text.push_str(stands_for);
        text.push_str(word.get(end.len()..).unwrap_or_default());
        text
    })
}

/// `2026-11-21T17:35:04Z`
fn is_time(word: &str) -> bool {
    let form: String = word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    form == "0000-00-00T00:00:00Z"
}

/// `1-0-10`
fn is_id(word: &str) -> bool {
    let parts: Vec<_> = word.split('-').collect();
    let number = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(number)
}

#[test]
fn dots_stand_for_anything_and_nothing_else_does() {
    let said = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (pattern, printed, expected) in [
        ("a\nb", "a\nb\n", true),
        ("a  b", "a b", true),
        ("a\nb", "a\nc\n", false),
        ("a", "a\nb", false),
        ("a\n…\nb", "a\nb", true),
        ("a\n…\nb", "a\n1\n2\nb", true),
        ("a\n…", "a\n1\n2", true),
        ("…\nb", "a\n1\n2", false),
        ("a … c", "a b c", true),
        ("in … s: … lost", "in 0.3 s: 0 lost", true),
        ("in … s: 1 lost", "in 0.3 s: 0 lost", false),
        ("", "", true),
        ("", "a", false),
        ("at 2026-11-21T17:35:04Z, by sha256:00", "at 2027-01-01T00:00:00Z, by sha256:ff", true),
        ("at 2026-11-21T17:35:04Z", "at noon", false),
        ("text \"1-0-10\"", "text \"3-1-7\"", true),
    ] {
        assert_eq!(matches(&said(pattern), printed), expected, "{pattern:?} {printed:?}");
    }
}
