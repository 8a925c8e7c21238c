//! The tree speaks of itself alone: no paths of somebody's machine, no private registries.

use super::Text;

/// Starts of paths that exist on one machine only. Split, so that this file passes too.
const PATHS: [&str; 4] =
    [concat!("/", "work/"), concat!("/", "root/"), concat!("/", "home/"), concat!("/", "Users/")];

/// The one registry that lock files may name.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn check(text: &Text) -> Vec<String> {
    let lock = text.path.ends_with("Cargo.lock");
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(text.content.lines()) {
        if let Some(path) = PATHS.iter().find(|path| names_path(line, path)) {
            wrong.push(format!("line {number} names a path of one machine, `{path}…`"));
        }
        if lock && line.starts_with("source = ") && !line.contains(CRATES_IO) {
            wrong.push(format!("line {number} takes a crate from elsewhere than crates.io"));
        }
        if is_setting(text) && line.contains("index-url") {
            wrong.push(format!("line {number} sets a package index; that is the user's to do"));
        }
    }
    wrong
}

/// Whether `path` stands in `line` as an absolute path, not within a URL or a longer path.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        before.is_none_or(|c| !c.is_alphanumeric() && !"./_-}~)".contains(c))
    })
}

fn is_setting(text: &Text) -> bool {
    text.path
        .extension()
        .is_some_and(|kind| ["toml", "txt", "cfg", "ini", "sh"].iter().any(|it| kind == *it))
}

#[cfg(test)]
mod tests {
    use super::{Text, check};

    #[test]
    fn machine_paths_and_registries_are_found() {
        let path = concat!("/", "work/main");
        let cases = [
            ("a.md", format!("see {path}"), 1),
            ("a.md", format!("see `{path}`"), 1),
            ("a.md", format!("https://example.org{path}"), 0),
            ("a.md", "a/work/list".to_owned(), 0),
            ("Cargo.lock", "source = \"registry+https://example.org/i\"".to_owned(), 1),
            ("Cargo.lock", format!("source = \"{}\"", super::CRATES_IO), 0),
            ("requirements.txt", "--index-url https://example.org".to_owned(), 1),
        ];
        for (name, content, expected) in cases {
            let text = Text { path: name.into(), content };
            assert_eq!(check(&text).len(), expected, "{name}: {}", text.content);
        }
    }
}
