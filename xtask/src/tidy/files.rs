//! Rules for each Rust file: a header, a limit on length, names that say something.

use super::Text;

/// Lines a file may have without its tests.
const MOST_LINES: usize = 600;

/// File and folder names that gather what belongs elsewhere.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "common", "helper", "helpers", "misc"];

pub(super) fn check(text: &Text) -> Vec<String> {
    if text.path.extension().is_none_or(|kind| kind != "rs") {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    if !text.content.starts_with("//! ") {
        wrong.push("must open with a `//!` line that says what it is for".to_owned());
    }
    if text.path.ends_with("mod.rs") {
        wrong.push("use `name.rs` beside `name/` instead of `mod.rs`".to_owned());
    }
    for part in text.path.with_extension("").iter() {
        if EMPTY_NAMES.iter().any(|name| part == *name) {
            wrong.push(format!("`{}` names nothing; name the concept", part.display()));
        }
    }
    let lines = lines_without_tests(text);
    if lines > MOST_LINES {
        wrong.push(format!("{lines} lines without tests, at most {MOST_LINES}: split it"));
    }
    wrong
}

/// Lines before the test module at a file's end; none for files that are tests as a whole.
fn lines_without_tests(text: &Text) -> usize {
    let all_tests = text.path.iter().any(|part| part == "tests.rs")
        || text.path.iter().skip(1).any(|part| part == "tests");
    if all_tests {
        return 0;
    }
    text.content.lines().take_while(|line| *line != "#[cfg(test)]").count()
}

#[cfg(test)]
mod tests {
    use super::{Text, check};

    #[test]
    fn each_rule_bites() {
        let long = format!("//! x\n{}", "//\n".repeat(700));
        let tested = format!("//! x\n#[cfg(test)]\n{}", "//\n".repeat(700));
        let cases = [
            ("host/a/src/lib.rs", "//! Fine.\n", 0),
            ("host/a/src/lib.rs", "use x;\n", 1),
            ("host/a/src/x/mod.rs", "//! Fine.\n", 1),
            ("host/a/src/utils.rs", "//! Fine.\n", 1),
            ("host/a/src/helpers/x.rs", "//! Fine.\n", 1),
            ("host/a/src/long.rs", &long, 1),
            ("host/a/src/long/tests.rs", &long, 0),
            ("tests/src/long.rs", &long, 1),
            ("host/a/src/long.rs", &tested, 0),
            ("docs/utils.md", "no Rust", 0),
        ];
        for (path, content, expected) in cases {
            let text = Text { path: path.into(), content: content.into() };
            assert_eq!(check(&text).len(), expected, "{path}: {:?}", check(&text));
        }
    }
}
