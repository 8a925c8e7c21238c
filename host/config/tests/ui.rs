//! Golden files: every file or folder in `ui/valid` and `ui/invalid` is loaded, and what is said
//! about it compared with the `.txt` beside it, and with the `.json` where there is one.
//! `BLESS=1` writes them anew.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "context/support.rs"]
mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lockgate_config::{Diagnostic, Loaded, has_errors, load, render_text};

fn check(case: &Path) {
    // As a checkout leaves it: anybody can read it, which is warned about.
    let readable = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions("tests/ui/secrets/password", readable).unwrap();
    let Loaded { pipelines, diagnostics } = load(&[case.to_owned()], &support::context());
    let valid = case.starts_with("tests/ui/valid");
    let text = render_text(&diagnostics, false);
    assert_eq!(has_errors(&diagnostics), !valid, "{}:\n{text}", case.display());
    assert!(!valid || !pipelines.is_empty(), "{}", case.display());
    compare(&case.with_extension("txt"), &text);
    for secret in ["hunter2", "s3cret"] {
        assert!(!format!("{pipelines:?}").contains(secret), "{}", case.display());
        assert!(!as_json(&diagnostics).contains(secret), "{}", case.display());
        assert!(!render_text(&diagnostics, true).contains(secret), "{}", case.display());
    }
    let json = case.with_extension("json");
    if json.exists() {
        compare(&json, &as_json(&diagnostics));
    }
}

fn as_json(diagnostics: &[Diagnostic]) -> String {
    serde_json::to_string_pretty(diagnostics).unwrap() + "\n"
}

fn compare(golden: &Path, actual: &str) {
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(golden, actual).unwrap();
    }
    let expected = std::fs::read_to_string(golden).unwrap_or_default();
    assert_eq!(actual, expected, "{} (BLESS=1 writes it anew)", golden.display());
}

/// The test's working folder is the package's, so that paths in the golden files are short.
fn cases(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.is_dir() || path.extension().is_some_and(|end| end == "toml"));
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

#[test]
fn valid() {
    cases("tests/ui/valid").iter().for_each(|case| check(case));
}

#[test]
fn invalid() {
    cases("tests/ui/invalid").iter().for_each(|case| check(case));
}
